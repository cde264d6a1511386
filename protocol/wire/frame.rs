//! The frame: 16 bytes of header, big-endian, then the body. Parsed in place, encoded once.

use bytes::Bytes;
use prost::Message;

use crate::{Code, Command, pb};

/// "IM", the first two bytes of every frame.
pub const MAGIC: u16 = 0x494D;
/// The protocol version that this crate speaks.
pub const VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_LEN: usize = 16;

/// The header of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Command id; it may be unknown.
    pub cmd: u16,
    /// Status in responses, 0 otherwise.
    pub code: u16,
    /// The client's number for the request, 0 in notifications.
    pub seq: u32,
    /// Length of the body, bytes.
    pub len: u32,
}

/// One received frame; the body still lies in the receive buffer.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Exactly `header.len` bytes.
    pub body: &'a [u8],
}

/// Why bytes are not a frame. Each closes the connection; all but `Magic` are answered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not this protocol at all.
    #[error("wrong magic {0:#06x}")]
    Magic(u16),
    /// A version this crate does not speak.
    #[error("unsupported version {version}")]
    Version {
        /// As announced.
        version: u8,
        /// The rest of the header, for the answer.
        header: Header,
    },
    /// Flag bits that version 1 does not know.
    #[error("unknown flags {flags:#04x}")]
    Flags {
        /// As announced.
        flags: u8,
        /// The rest of the header, for the answer.
        header: Header,
    },
    /// A body above the limit that holds for this connection now.
    #[error("body of {} bytes is over the limit", header.len)]
    TooLarge {
        /// With the announced length.
        header: Header,
    },
}

impl FrameError {
    /// The header to answer to; `None` where the peer does not speak this protocol.
    pub fn header(self) -> Option<Header> {
        match self {
            FrameError::Magic(_) => None,
            FrameError::Version { header, .. }
            | FrameError::Flags { header, .. }
            | FrameError::TooLarge { header } => Some(header),
        }
    }
}

impl Header {
    /// The 16 bytes on the wire.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0..2].copy_from_slice(&MAGIC.to_be_bytes());
        out[2] = VERSION;
        out[4..6].copy_from_slice(&self.cmd.to_be_bytes());
        out[6..8].copy_from_slice(&self.code.to_be_bytes());
        out[8..12].copy_from_slice(&self.seq.to_be_bytes());
        out[12..16].copy_from_slice(&self.len.to_be_bytes());
        out
    }

    /// Reads and checks a header; the length is compared with `body_max`.
    pub fn decode(bytes: &[u8; HEADER_LEN], body_max: usize) -> Result<Header, FrameError> {
        let [m0, m1, version, flags, c0, c1, k0, k1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        let magic = u16::from_be_bytes([m0, m1]);
        if magic != MAGIC {
            return Err(FrameError::Magic(magic));
        }
        let header = Header {
            cmd: u16::from_be_bytes([c0, c1]),
            code: u16::from_be_bytes([k0, k1]),
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            len: u32::from_be_bytes([l0, l1, l2, l3]),
        };
        if version != VERSION {
            return Err(FrameError::Version { version, header });
        }
        if flags != 0 {
            return Err(FrameError::Flags { flags, header });
        }
        if usize::try_from(header.len).map_or(true, |len| len > body_max) {
            return Err(FrameError::TooLarge { header });
        }
        Ok(header)
    }
}

/// The first frame in `bytes`, or `None` if it is not complete yet. A wrong magic is reported from
/// its first two bytes on. The frame takes `HEADER_LEN + body.len()` bytes.
pub fn parse_frame(bytes: &[u8], body_max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        let magic = MAGIC.to_be_bytes();
        return match bytes {
            [first, ..] if *first != magic[0] => Err(FrameError::Magic(u16::from(*first) << 8)),
            [_, second, ..] if *second != magic[1] => {
                Err(FrameError::Magic(u16::from_be_bytes([magic[0], *second])))
            }
            _ => Ok(None),
        };
    };
    let header = Header::decode(head, body_max)?;
    Ok(rest.get(..header.len as usize).map(|body| Frame { header, body }))
}

/// Bytes that fit into the head of an [`OutFrame`]: a small response as a whole, or the part of a
/// push that differs per recipient.
pub const HEAD_BYTES_MAX: usize = 64;

/// A frame to send: a short head of its own, then a tail that other frames may share.
#[derive(Clone, Debug)]
pub struct OutFrame {
    head: [u8; HEAD_BYTES_MAX],
    head_len: u8,
    tail: Bytes,
}

impl OutFrame {
    /// A frame made of `head` (which holds header and the first bytes of the body) and `tail`.
    /// Panics if the head is longer than `HEAD_BYTES_MAX`: callers know their size.
    pub fn new(head_bytes: &[u8], tail: Bytes) -> Self {
        let mut head = [0; HEAD_BYTES_MAX];
        let room = head.get_mut(..head_bytes.len()).expect("callers know the size of their heads");
        room.copy_from_slice(head_bytes);
        Self { head, head_len: head_bytes.len() as u8, tail }
    }

    /// A frame with this body.
    pub fn encode(cmd: u16, code: Code, seq: u32, body: &impl Message) -> Self {
        let len = body.encoded_len();
        let header = Header { cmd, code: code.as_u16(), seq, len: len as u32 };
        let mut head = [0; HEAD_BYTES_MAX];
        head[..HEADER_LEN].copy_from_slice(&header.encode());
        if HEADER_LEN + len <= HEAD_BYTES_MAX {
            let mut rest = &mut head[HEADER_LEN..];
            body.encode(&mut rest).expect("the length was checked");
            Self { head, head_len: (HEADER_LEN + len) as u8, tail: Bytes::new() }
        } else {
            let tail = Bytes::from(body.encode_to_vec());
            Self { head, head_len: HEADER_LEN as u8, tail }
        }
    }

    /// Its command.
    pub fn cmd(&self) -> u16 {
        u16::from_be_bytes([self.head[4], self.head[5]])
    }

    /// Its code.
    pub fn code(&self) -> u16 {
        u16::from_be_bytes([self.head[6], self.head[7]])
    }

    /// The OK response to a request.
    pub fn response(request: Command, seq: u32, body: &impl Message) -> Self {
        Self::encode(request.response().id(), Code::Ok, seq, body)
    }

    /// An error response to the request with this id, known or not.
    pub fn error(cmd: u16, seq: u32, code: Code, message: &str, retry_after_ms: u32) -> Self {
        let body = pb::Error { message: message.to_owned(), retry_after_ms };
        Self::encode(cmd.wrapping_add(1), code, seq, &body)
    }

    /// A notification.
    pub fn notification(command: Command, body: &impl Message) -> Self {
        Self::encode(command.id(), Code::Ok, 0, body)
    }

    /// A notification whose body was encoded before, for many.
    pub fn shared_notification(command: Command, body: Bytes) -> Self {
        let len = body.len() as u32;
        let header = Header { cmd: command.id(), code: Code::Ok.as_u16(), seq: 0, len };
        Self::new(&header.encode(), body)
    }

    /// The part of its own.
    pub fn head(&self) -> &[u8] {
        // It is never longer than the array.
        self.head.get(..usize::from(self.head_len)).unwrap_or_default()
    }

    /// The shared part; may be empty.
    pub fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        usize::from(self.head_len) + self.tail.len()
    }

    /// Never true: a frame has a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One contiguous copy, for tests and for transports that must copy anyway.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        out.extend_from_slice(self.head());
        out.extend_from_slice(&self.tail);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::BODY_BYTES_MAX;

    #[test]
    fn a_body_at_the_limit_passes_and_one_above_does_not() {
        let mut header = Header { cmd: 1, code: 0, seq: 9, len: BODY_BYTES_MAX as u32 };
        assert_eq!(Header::decode(&header.encode(), BODY_BYTES_MAX), Ok(header));
        header.len += 1;
        assert_eq!(
            Header::decode(&header.encode(), BODY_BYTES_MAX),
            Err(FrameError::TooLarge { header })
        );
        header.len = u32::MAX;
        assert!(Header::decode(&header.encode(), BODY_BYTES_MAX).is_err());
    }

    #[test]
    fn a_wrong_magic_is_seen_from_its_first_wrong_byte() {
        assert!(matches!(parse_frame(b"G", 10), Err(FrameError::Magic(_))));
        assert!(matches!(parse_frame(b"IX", 10), Err(FrameError::Magic(_))));
        assert!(matches!(parse_frame(b"I", 10), Ok(None)));
        assert!(matches!(parse_frame(b"IM", 10), Ok(None)));
        assert!(matches!(parse_frame(b"", 10), Ok(None)));
    }

    #[test]
    fn version_and_flags_are_checked() {
        let header = Header { cmd: 1, code: 0, seq: 0, len: 0 };
        let mut bytes = header.encode();
        bytes[2] = 2;
        assert_eq!(Header::decode(&bytes, 0), Err(FrameError::Version { version: 2, header }));
        bytes[2] = VERSION;
        bytes[3] = 0x80;
        assert_eq!(Header::decode(&bytes, 0), Err(FrameError::Flags { flags: 0x80, header }));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed_back_at_every_cut(
            cmd: u16, seq: u32, body in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..220,
        ) {
            let header = Header { cmd, code: 0, seq, len: body.len() as u32 };
            let frame = OutFrame::new(&header.encode(), Bytes::from(body.clone()));
            let bytes = frame.to_vec();
            let parsed = parse_frame(&bytes, 1000).unwrap().unwrap();
            prop_assert_eq!(parsed.header, header);
            prop_assert_eq!(parsed.body, &body[..]);
            if cut < bytes.len() {
                prop_assert!(parse_frame(&bytes[..cut], 1000).unwrap().is_none());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_frame(&bytes, 32);
        }
    }

    #[test]
    fn small_bodies_are_inline_and_large_ones_shared() {
        let small =
            pb::HeartbeatResp { head_seq: u64::MAX, server_time_ms: 1 << 42, heads: vec![] };
        let frame = OutFrame::response(Command::Heartbeat, 7, &small);
        assert!(frame.tail().is_empty());
        let bytes = frame.to_vec();
        let parsed = parse_frame(&bytes, 100).unwrap().unwrap();
        assert_eq!(pb::HeartbeatResp::decode(parsed.body).unwrap(), small);
        let large = OutFrame::error(0x2001, 7, Code::BadRequest, &"x".repeat(100), 0);
        assert_eq!(large.head().len(), HEADER_LEN);
        let bytes = large.to_vec();
        let parsed = parse_frame(&bytes, 1000).unwrap().unwrap();
        assert_eq!(parsed.header.cmd, 0x2002);
        assert_eq!(pb::Error::decode(parsed.body).unwrap().message.len(), 100);
    }
}
