//! Bytes to frames under arbitrary cuts: parsed in place, only an incomplete tail is kept.

use aldis_wire::limits::BODY_BYTES_MAX;
use aldis_wire::{Frame, FrameError, HEADER_LEN, parse_frame};

/// The incomplete tail of what was received.
#[derive(Debug, Default)]
pub(super) struct Deframer {
    tail: Vec<u8>,
}

impl Deframer {
    /// Calls `visit` with each complete frame of what was kept and `bytes`, until it says stop.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut visit: impl FnMut(Frame<'_>) -> Next,
    ) -> Result<(), FrameError> {
        if self.tail.is_empty() {
            let used = parse_all(bytes, &mut visit)?;
            self.tail.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        // The tail holds less than one frame, so it never grows past a frame and one read.
        self.tail.extend_from_slice(bytes);
        let used = parse_all(&self.tail, &mut visit)?;
        self.tail.drain(..used);
        if self.tail.is_empty() {
            self.tail = Vec::new(); // an idle client owns no buffer
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.tail = Vec::new();
    }
}

/// Whether the visitor wants the frames behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    More,
    Stop,
}

fn parse_all(bytes: &[u8], visit: &mut impl FnMut(Frame<'_>) -> Next) -> Result<usize, FrameError> {
    let mut used = 0;
    while let Some(frame) = parse_frame(bytes.get(used..).unwrap_or_default(), BODY_BYTES_MAX)? {
        used += HEADER_LEN + frame.body.len();
        if visit(frame) == Next::Stop {
            return Ok(bytes.len()); // the connection ends: what follows is of no use
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use aldis_wire::{Code, Command, OutFrame, pb};

    use super::*;

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        for seq in 1..=3 {
            let body = pb::Error { message: "x".repeat(seq as usize * 50), retry_after_ms: 1 };
            let cmd = Command::MsgSendResp.id();
            bytes.extend(OutFrame::encode(cmd, Code::Busy, seq, &body).to_vec());
        }
        for size in 1..bytes.len() {
            let mut deframer = Deframer::default();
            let mut seen = Vec::new();
            for chunk in bytes.chunks(size) {
                let visit = |frame: Frame<'_>| {
                    seen.push((frame.header.seq, frame.body.len()));
                    Next::More
                };
                deframer.push(chunk, visit).unwrap();
            }
            assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2, 3], "cut at {size}");
            assert!(deframer.tail.is_empty());
        }
    }
}
