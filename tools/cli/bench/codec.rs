//! Frames as cheaply as a generator needs them: templates that are patched, responses that are
//! walked field by field only as far as they are checked. Knows no socket and no measurement.

use aldis_wire::{Code, Command, HEADER_LEN, Header, Message, OutFrame, pb};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;

/// Header seq of requests whose answer nobody waits for (heartbeats that keep a session alive).
pub const SEQ_KEEP_ALIVE: u32 = u32::MAX;
/// Header seq of MSG_SYNC; one at most is in flight per connection.
pub const SEQ_SYNC: u32 = u32::MAX - 1;
/// Header seq of requests made while setting up.
pub const SEQ_SET_UP: u32 = u32::MAX - 2;
/// Bytes of a content that carry the run, the message number and the time: the smallest payload.
pub const STAMP_LEN: usize = 8 + 16 + 16;
/// What the rest of a content consists of; its last byte is compared.
const FILLER: u8 = b'.';

/// A value of one protobuf field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, which none of our messages uses.
    Fixed,
}

/// Walks the fields of one message; ends early, with `broken` set, at bytes that are none.
pub struct Fields<'a> {
    rest: &'a [u8],
    broken: bool,
}

impl<'a> Fields<'a> {
    /// All fields of this message.
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message, broken: false }
    }

    /// Whether the walk ended at bytes that are no field.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.broken = true;
            self.rest = &[];
        }
        field
    }
}

/// What is looked at in a MessageData.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryView<'a> {
    /// In the reader's mailbox.
    pub seq: u64,
    /// In the conversation.
    pub conv_seq: u64,
    /// Who.
    pub sender: u64,
    /// Number of the MsgType.
    pub kind: u64,
    /// What it says.
    pub content: &'a [u8],
}

/// The entry in these bytes, or `None` if they are no message.
pub fn entry(message: &[u8]) -> Option<EntryView<'_>> {
    let mut view = EntryView::default();
    let mut fields = Fields::of(message);
    for field in fields.by_ref() {
        match field {
            (1, Value::Varint(seq)) => view.seq = seq,
            (3, Value::Varint(conv_seq)) => view.conv_seq = conv_seq,
            (4, Value::Varint(sender)) => view.sender = sender,
            (7, Value::Varint(kind)) => view.kind = kind,
            (8, Value::Bytes(content)) => view.content = content,
            _ => {}
        }
    }
    (!fields.is_broken()).then_some(view)
}

/// What is looked at in a MsgSendResp: its conv_seq.
pub fn ack_conv_seq(body: &[u8]) -> Option<u64> {
    Fields::of(body).find_map(|field| match field {
        (3, Value::Varint(conv_seq)) => Some(conv_seq),
        _ => None,
    })
}

/// Which run a message belongs to: anything else in a mailbox is not ours to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTag(pub u32);

/// What a content carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the message among its sender's, from 1.
    pub no: u64,
    /// When it should have been sent, ns since the start of the process.
    pub due_ns: u64,
}

fn write_hex(mut value: u64, out: &mut [u8]) {
    for byte in out.iter_mut().rev() {
        *byte = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn read_hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// The stamp of a content of this run, or `None` if it did not arrive as it was sent.
pub fn read_stamp(content: &[u8], tag: RunTag, payload_len: usize) -> Option<Stamp> {
    let (stamp, filler) = content.split_at_checked(STAMP_LEN)?;
    let intact = content.len() == payload_len
        && filler.last().is_none_or(|last| *last == FILLER)
        && read_hex(&stamp[..8]) == Some(u64::from(tag.0));
    if !intact {
        return None;
    }
    Some(Stamp { no: read_hex(&stamp[8..24])?, due_ns: read_hex(&stamp[24..])? })
}

/// Whom a sender writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A user.
    User(u64),
    /// A group.
    Group(u64),
}

/// A MSG_SEND frame with everything filled in but what differs from message to message.
pub struct SendTemplate {
    frame: Vec<u8>,
    client_msg_id_at: usize,
    content_at: usize,
    tag: RunTag,
    unix_ms_at_start: u64,
}

impl SendTemplate {
    /// Messages of `payload_len` bytes to `target`. `unix_ms_at_start` is the wall clock when the
    /// process clock was 0; it makes the ids time-ordered.
    pub fn new(target: Target, payload_len: usize, tag: RunTag, unix_ms_at_start: u64) -> Self {
        debug_assert!(payload_len >= STAMP_LEN, "the arguments were checked");
        let mut content = vec![FILLER; payload_len];
        write_hex(u64::from(tag.0), &mut content[..8]);
        let (receiver_id, group_id) = match target {
            Target::User(user) => (user, 0),
            Target::Group(group) => (0, group),
        };
        let request = pb::MsgSendReq {
            receiver_id,
            group_id,
            client_msg_id: Bytes::from_static(&[0; 16]),
            r#type: pb::MsgType::Text.into(),
            content: content.into(),
            extra: Bytes::new(),
            reply_to_msg_id: 0,
            mention_ids: Vec::new(),
        };
        let frame = request_frame(Command::MsgSend, 0, &request);
        let offset_of = |number| {
            let value = Fields::of(&frame[HEADER_LEN..]).find_map(|field| match field {
                (found, Value::Bytes(bytes)) if found == number => Some(bytes),
                _ => None,
            });
            let value = value.expect("prost wrote the field");
            value.as_ptr() as usize - frame.as_ptr() as usize
        };
        let (client_msg_id_at, content_at) = (offset_of(3), offset_of(5));
        Self { frame, client_msg_id_at, content_at, tag, unix_ms_at_start }
    }

    /// Appends the frame of a message; the same stamp gives the same bytes, as a resend needs.
    pub fn write(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        frame[8..12].copy_from_slice(&(stamp.no as u32).to_be_bytes());
        let unix_ms = self.unix_ms_at_start + stamp.due_ns / 1_000_000;
        // RFC 9562 version 7: 48 bits of ms, version, 12 bits, variant, 62 bits.
        let high = (unix_ms << 16) | 0x7000 | ((stamp.due_ns / 244) & 0xFFF);
        let run = u64::from(self.tag.0 & 0x3FFF_FFFF) << 32;
        let low = (1 << 63) | run | (stamp.no & 0xFFFF_FFFF);
        let id = self.client_msg_id_at;
        frame[id..id + 8].copy_from_slice(&high.to_be_bytes());
        frame[id + 8..id + 16].copy_from_slice(&low.to_be_bytes());
        let content = &mut frame[self.content_at..][8..STAMP_LEN];
        write_hex(stamp.no, &mut content[..16]);
        write_hex(stamp.due_ns, &mut content[16..]);
    }
}

/// The bytes of a request.
pub fn request_frame(command: Command, seq: u32, body: &impl Message) -> Vec<u8> {
    OutFrame::encode(command.id(), Code::Ok, seq, body).to_vec()
}

/// A body that is decoded as a whole, where cost does not count.
pub fn decode<M: Message + Default>(header: Header, body: &[u8]) -> Result<M> {
    let code = Code::from_u16(header.code).context("unknown status code")?;
    if code != Code::Ok {
        let error = pb::Error::decode(body).unwrap_or_default();
        anyhow::bail!("{code}: {}", error.message);
    }
    let command = Command::from_server(header.cmd);
    ensure!(command.is_some(), "unknown command {:#06x}", header.cmd);
    M::decode(body).with_context(|| format!("body of {command:?}"))
}

/// How long the server asks to wait in the error with this body.
pub fn retry_after_ms(body: &[u8]) -> u64 {
    pb::Error::decode(body).map_or(0, |error| u64::from(error.retry_after_ms))
}

#[cfg(test)]
mod tests {
    use aldis_wire::parse_frame;

    use super::*;

    #[test]
    fn a_patched_template_is_what_prost_would_have_written() {
        let template = SendTemplate::new(Target::User(10_002), 100, RunTag(7), 1_700_000_000_000);
        let stamp = Stamp { no: 3, due_ns: 5_000_000_123 };
        let mut out = b"before".to_vec();
        template.write(stamp, &mut out);
        let frame = parse_frame(&out[6..], 10_000).unwrap().unwrap();
        assert_eq!((frame.header.cmd, frame.header.seq), (Command::MsgSend.id(), 3));
        let body = pb::MsgSendReq::decode(frame.body).unwrap();
        assert_eq!((body.receiver_id, body.group_id), (10_002, 0));
        assert_eq!(read_stamp(&body.content, RunTag(7), 100), Some(stamp));
        assert!(std::str::from_utf8(&body.content).is_ok());
        assert_eq!(&body.client_msg_id[..6], &1_700_000_005_000u64.to_be_bytes()[2..]);
        assert_eq!((body.client_msg_id[6] >> 4, body.client_msg_id[8] >> 6), (7, 2));
    }

    #[test]
    fn a_content_that_changed_is_not_accepted() {
        let template = SendTemplate::new(Target::Group(9), STAMP_LEN + 5, RunTag(7), 0);
        let mut out = Vec::new();
        template.write(Stamp { no: 1, due_ns: 2 }, &mut out);
        let content = out[out.len() - STAMP_LEN - 5..].to_vec();
        assert!(read_stamp(&content, RunTag(7), STAMP_LEN + 5).is_some());
        assert_eq!(read_stamp(&content, RunTag(8), STAMP_LEN + 5), None);
        assert_eq!(read_stamp(&content[..STAMP_LEN + 4], RunTag(7), STAMP_LEN + 5), None);
        for at in [0, 8, 30, STAMP_LEN + 4] {
            let mut changed = content.clone();
            changed[at] = b'!';
            assert_eq!(read_stamp(&changed, RunTag(7), STAMP_LEN + 5), None, "byte {at}");
        }
    }

    #[test]
    fn an_entry_is_read_as_prost_reads_it() {
        let message = pb::MessageData {
            seq: 300,
            msg_id: 1 << 60,
            conv_seq: 9,
            sender_id: 10_001,
            receiver_id: 10_002,
            r#type: 1,
            content: Bytes::from_static(b"abc"),
            client_msg_id: Bytes::from_static(&[1; 16]),
            ..Default::default()
        };
        let bytes = message.encode_to_vec();
        let want = EntryView { seq: 300, conv_seq: 9, sender: 10_001, kind: 1, content: b"abc" };
        assert_eq!(entry(&bytes), Some(want));
        for cut in 1..bytes.len() {
            let _ = entry(&bytes[..cut]);
        }
        assert_eq!(entry(&[0x0A, 200, 1]), None);
        assert_eq!(entry(&[0xFF; 12]), None);
    }
}
