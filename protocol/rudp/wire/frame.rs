//! Frames: messages, parts of messages, and the little that a session says besides. Knows no state.

use super::header::Shape;
use super::varint::{self, Reader};
use super::{Malformed, varint::unzigzag, varint::zigzag};

/// A frame that is nothing.
pub(crate) const PADDING: u8 = 0;
const PING: u8 = 1;
const WINDOW: u8 = 2;
const CLOSE: u8 = 3;
const REPAIR: u8 = 4;
const MESSAGE: u8 = 0x40;
const ORDERED: u8 = 0x01;
const HAS_PREDECESSOR: u8 = 0x02;
const HAS_LEN: u8 = 0x04;
const HAS_STEP: u8 = 0x08;
const FRAGMENT: u8 = 0x10;

/// Bytes that a message takes besides its content, at most: type, id, flow, predecessor, place of a
/// part, length.
pub(crate) const FRAME_OVERHEAD_MAX: usize = 1 + varint::LEN_MAX + 5 + 4 + 6 + 3;
/// Bytes of a length in front of a message that others follow, at most.
pub(crate) const LENGTH_BYTES_MAX: usize = 3;

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Unordered,
    /// The message so many ids before it; 0 if everything before it in its flow was acknowledged.
    InFlow {
        /// The flow.
        flow: u32,
        /// Distance to the message that precedes it in the flow.
        predecessor: u32,
    },
}

/// Which part of a message a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Bytes of the whole message.
    pub total: u32,
    /// Where the part begins.
    pub offset: u32,
}

/// A message, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageFrame<'a> {
    /// The message's id.
    pub id: u64,
    /// What it waits for.
    pub order: Order,
    /// `None` if it is whole.
    pub part: Option<Part>,
    /// Its bytes.
    pub data: &'a [u8],
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Asks for an acknowledgement.
    Ping,
    /// How many bytes of messages may have been sent in total.
    Window(u64),
    /// The session is over.
    Close,
    /// A combination of other datagrams, up to the end; see `redundancy`.
    Repair(&'a [u8]),
    /// See there.
    Message(MessageFrame<'a>),
}

/// Bytes that a message takes besides its content if it reaches to the end of the datagram and
/// `expected` is the id that needs no mention.
pub(crate) fn overhead(id: u64, expected: u64, order: Order, part: Option<Part>) -> usize {
    let step = match id == expected {
        true => 0,
        false => varint::len(zigzag(id.wrapping_sub(expected) as i64)),
    };
    let flow = match order {
        Order::Unordered => 0,
        Order::InFlow { flow, predecessor: 0 } => varint::len(u64::from(flow)),
        Order::InFlow { flow, predecessor } => {
            varint::len(u64::from(flow)) + varint::len(u64::from(predecessor))
        }
    };
    let part = part
        .map_or(0, |part| varint::len(u64::from(part.total)) + varint::len(u64::from(part.offset)));
    1 + step + flow + part
}

/// Appends a ping.
pub(crate) fn put_ping(out: &mut Vec<u8>) {
    out.push(PING);
}

/// Appends a window.
pub(crate) fn put_window(out: &mut Vec<u8>, limit: u64) {
    out.push(WINDOW);
    varint::put(out, limit);
}

/// Appends the end of the session.
pub(crate) fn put_close(out: &mut Vec<u8>) {
    out.push(CLOSE);
}

/// Begins a repair; its content is appended after it and reaches to the end of the datagram.
pub(crate) fn put_repair(out: &mut Vec<u8>) {
    out.push(REPAIR);
}

/// The order's part of a lone message, whose shape says the rest.
pub(crate) fn put_lone_order(out: &mut Vec<u8>, order: Order) -> Shape {
    match order {
        Order::Unordered => Shape::Unordered,
        Order::InFlow { flow, predecessor: 0 } => {
            varint::put(out, u64::from(flow));
            Shape::First
        }
        Order::InFlow { flow, predecessor } => {
            varint::put(out, u64::from(flow));
            varint::put(out, u64::from(predecessor));
            Shape::Next
        }
    }
}

/// Appends messages of one datagram; ids are told by their distance to the one before.
#[derive(Debug)]
pub(crate) struct MessageWriter {
    expected: u64,
}

impl MessageWriter {
    /// For a datagram whose header names this first message.
    pub fn new(first_message: u64) -> Self {
        Self { expected: first_message }
    }

    /// Appends a message or fragment; the one that reaches to the end of the datagram needs no
    /// length.
    pub fn put(&mut self, out: &mut Vec<u8>, frame: &MessageFrame<'_>, is_last: bool) {
        let type_at = out.len();
        let mut kind = MESSAGE;
        out.push(kind);
        if frame.id != self.expected {
            kind |= HAS_STEP;
            varint::put(out, zigzag(frame.id.wrapping_sub(self.expected) as i64));
        }
        self.expected = frame.id.wrapping_add(1);
        if let Order::InFlow { flow, predecessor } = frame.order {
            kind |= ORDERED;
            varint::put(out, u64::from(flow));
            if predecessor > 0 {
                kind |= HAS_PREDECESSOR;
                varint::put(out, u64::from(predecessor));
            }
        }
        if let Some(part) = frame.part {
            kind |= FRAGMENT;
            varint::put(out, u64::from(part.total));
            varint::put(out, u64::from(part.offset));
        }
        if !is_last {
            kind |= HAS_LEN;
            varint::put(out, frame.data.len() as u64);
        }
        *out.get_mut(type_at).expect("its place was made first") = kind;
        out.extend_from_slice(frame.data);
    }
}

/// Reads the frames of a datagram.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    reader: Reader<'a>,
    expected: Option<u64>,
    shape: Shape,
}

impl<'a> Frames<'a> {
    /// Of a datagram of this shape, whose header named this first message.
    pub fn new(bytes: &'a [u8], shape: Shape, first_message: Option<u64>) -> Self {
        Self { reader: Reader::new(bytes), expected: first_message, shape }
    }

    /// The next one, or `None` at the end.
    #[inline]
    pub fn next(&mut self) -> Result<Option<Frame<'a>>, Malformed> {
        if self.shape != Shape::Frames {
            return self.lone().map(|frame| Some(Frame::Message(frame)));
        }
        while !self.reader.rest().is_empty() {
            let frame = match self.reader.byte()? {
                PADDING => continue,
                PING => Frame::Ping,
                WINDOW => Frame::Window(self.reader.varint()?),
                CLOSE => Frame::Close,
                REPAIR => Frame::Repair(self.reader.bytes(self.reader.rest().len())?),
                kind if kind & 0xe0 == MESSAGE => Frame::Message(self.message(kind)?),
                _ => return Err(Malformed),
            };
            return Ok(Some(frame));
        }
        Ok(None)
    }

    fn lone(&mut self) -> Result<MessageFrame<'a>, Malformed> {
        let id = self.expected.ok_or(Malformed)?;
        let order = match self.shape {
            Shape::Frames | Shape::Unordered => Order::Unordered,
            Shape::First => Order::InFlow { flow: self.reader.varint32()?, predecessor: 0 },
            Shape::Next => Order::InFlow {
                flow: self.reader.varint32()?,
                predecessor: self.reader.varint32()?,
            },
        };
        self.shape = Shape::Frames;
        let data = self.reader.bytes(self.reader.rest().len())?;
        Ok(MessageFrame { id, order, part: None, data })
    }

    fn message(&mut self, kind: u8) -> Result<MessageFrame<'a>, Malformed> {
        let mut id = self.expected.ok_or(Malformed)?;
        if kind & HAS_STEP != 0 {
            id = id.wrapping_add(unzigzag(self.reader.varint()?) as u64);
        }
        self.expected = Some(id.wrapping_add(1));
        let mut order = Order::Unordered;
        if kind & ORDERED != 0 {
            let flow = self.reader.varint32()?;
            let has_predecessor = kind & HAS_PREDECESSOR != 0;
            let predecessor = if has_predecessor { self.reader.varint32()? } else { 0 };
            order = Order::InFlow { flow, predecessor };
        } else if kind & HAS_PREDECESSOR != 0 {
            return Err(Malformed);
        }
        let mut part = None;
        if kind & FRAGMENT != 0 {
            part = Some(Part { total: self.reader.varint32()?, offset: self.reader.varint32()? });
        }
        let len = if kind & HAS_LEN != 0 {
            usize::try_from(self.reader.varint()?).map_err(|_| Malformed)?
        } else {
            self.reader.rest().len()
        };
        Ok(MessageFrame { id, order, part, data: self.reader.bytes(len)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order() -> impl Strategy<Value = Order> {
        prop_oneof![
            Just(Order::Unordered),
            (any::<u32>(), 0u32..300)
                .prop_map(|(flow, predecessor)| Order::InFlow { flow, predecessor }),
        ]
    }

    fn part() -> impl Strategy<Value = Option<Part>> {
        proptest::option::of(
            (0u32..1 << 20, 0u32..1 << 20).prop_map(|(total, offset)| Part { total, offset }),
        )
    }

    proptest! {
        #[test]
        fn messages_come_back(
            first in 1000u64..1 << 60,
            parts in proptest::collection::vec(
                (-300i64..300, order(), part(), proptest::collection::vec(any::<u8>(), 0..40)), 1..8),
        ) {
            let mut id = first;
            let mut sent = Vec::new();
            for (index, (step, order, part, data)) in parts.iter().enumerate() {
                if index > 0 {
                    id = id.wrapping_add_signed(*step);
                }
                sent.push(MessageFrame { id, order: *order, part: *part, data });
            }
            let mut out = vec![PING, PADDING];
            let mut writer = MessageWriter::new(first);
            for (index, frame) in sent.iter().enumerate() {
                let before = out.len();
                let is_last = index + 1 == sent.len();
                let least = overhead(frame.id, writer.expected, frame.order, frame.part);
                writer.put(&mut out, frame, is_last);
                let len = out.len() - before - frame.data.len();
                prop_assert_eq!(len, if is_last { least } else { least + 1 });
                prop_assert!(len <= FRAME_OVERHEAD_MAX);
            }
            let mut frames = Frames::new(&out, Shape::Frames, Some(first));
            prop_assert_eq!(frames.next(), Ok(Some(Frame::Ping)));
            for frame in sent {
                prop_assert_eq!(frames.next(), Ok(Some(Frame::Message(frame))));
            }
            prop_assert_eq!(frames.next(), Ok(None));
        }

        #[test]
        fn lone_messages_come_back(id: u64, order in order(), data in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut out = Vec::new();
            let shape = put_lone_order(&mut out, order);
            out.extend_from_slice(&data);
            let mut frames = Frames::new(&out, shape, Some(id));
            let frame = MessageFrame { id, order, part: None, data: &data };
            prop_assert_eq!(frames.next(), Ok(Some(Frame::Message(frame))));
            prop_assert_eq!(frames.next(), Ok(None));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), first: Option<u64>) {
            let mut frames = Frames::new(&bytes, Shape::Frames, first);
            while let Ok(Some(_)) = frames.next() {}
        }
    }
}
