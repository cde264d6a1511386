//! Datagrams of the handshake: HELLO, RETRY, ACCEPT, RESET. Each ends with a code under the cluster
//! key. Knows no session.

use super::Malformed;
use super::varint::Reader;
use crate::crypto::{KeyRing, MAC_BYTES, RANDOM_BYTES};
use crate::ids::{BootId, NodeId};

/// "AR"; its first bit is clear, which tells a handshake from a session's datagram.
const MAGIC: [u8; 2] = [0x41, 0x52];
/// The version of everything on the wire.
const VERSION: u8 = 1;
/// Added to the version in plain mode, so that the two modes never talk to each other.
const PLAIN: u8 = 0x80;
const HELLO: u8 = 1;
const RETRY: u8 = 2;
const ACCEPT: u8 = 3;
const RESET: u8 = 4;

/// Bytes of a cookie: a time and a code.
pub(crate) const COOKIE_BYTES: usize = 8 + MAC_BYTES;

/// What each side says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    /// Its life.
    pub boot: BootId,
    /// What it calls the session.
    pub connection: u32,
    /// Bytes of messages it takes before it says more.
    pub window: u64,
    /// UDP payload of the largest datagram it takes.
    pub datagram_bytes_max: u16,
    /// Fresh random bytes.
    pub random: [u8; RANDOM_BYTES],
}

/// The first words of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The initiator.
    pub side: Side,
    /// Proof that the initiator receives at its address.
    pub cookie: Option<[u8; COOKIE_BYTES]>,
}

/// What a handshake datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// See there.
    Hello(Hello),
    /// Come again with this cookie.
    Retry {
        /// Of the HELLO that is answered.
        initiator_random: [u8; RANDOM_BYTES],
        /// To be returned.
        cookie: [u8; COOKIE_BYTES],
    },
    /// The session is up.
    Accept {
        /// Of the HELLO that is answered.
        initiator_random: [u8; RANDOM_BYTES],
        /// The responder.
        side: Side,
    },
    /// A datagram came for a session that this node does not have.
    Reset {
        /// The node's life.
        boot: BootId,
        /// What the sender of that datagram took for our name of the session.
        connection: u32,
    },
}

/// A datagram of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// Of the cluster key.
    pub key: u8,
    /// The sender.
    pub from: NodeId,
    /// Whom it wants to reach.
    pub to: NodeId,
    /// What it says.
    pub body: Body,
}

impl Handshake {
    /// Appends the datagram; `key` is one of the ring's.
    pub fn put(&self, keys: &KeyRing, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(version(keys));
        out.push(match self.body {
            Body::Hello(_) => HELLO,
            Body::Retry { .. } => RETRY,
            Body::Accept { .. } => ACCEPT,
            Body::Reset { .. } => RESET,
        });
        out.push(self.key);
        out.extend_from_slice(&self.from.0.to_le_bytes());
        out.extend_from_slice(&self.to.0.to_le_bytes());
        match &self.body {
            Body::Hello(hello) => {
                put_side(out, &hello.side);
                out.extend_from_slice(hello.cookie.as_ref().map_or(&[], |cookie| &cookie[..]));
            }
            Body::Retry { initiator_random, cookie } => {
                out.extend_from_slice(initiator_random);
                out.extend_from_slice(cookie);
            }
            Body::Accept { initiator_random, side } => {
                out.extend_from_slice(initiator_random);
                put_side(out, side);
            }
            Body::Reset { boot, connection } => {
                out.extend_from_slice(&boot.0.to_le_bytes());
                out.extend_from_slice(&connection.to_le_bytes());
            }
        }
        let sealed = out.get(start..).unwrap_or_default();
        let mac = keys.mac(self.key, &[sealed]).expect("a key of the ring");
        out.extend_from_slice(&mac);
    }

    /// Reads an authentic datagram; anything else is `Malformed`.
    pub fn read(keys: &KeyRing, datagram: &[u8]) -> Result<Self, Malformed> {
        let (said, mac) = datagram.split_last_chunk::<MAC_BYTES>().ok_or(Malformed)?;
        let mut reader = Reader::new(said);
        if reader.array()? != MAGIC || reader.byte()? != version(keys) {
            return Err(Malformed);
        }
        let (kind, key) = (reader.byte()?, reader.byte()?);
        if !keys.is_authentic(key, &[said], mac) {
            return Err(Malformed);
        }
        let from = NodeId(u16::from_le_bytes(reader.array()?));
        let to = NodeId(u16::from_le_bytes(reader.array()?));
        let body = match kind {
            HELLO => {
                let side = side(&mut reader)?;
                let has_cookie = !reader.rest().is_empty();
                let cookie = if has_cookie { Some(reader.array()?) } else { None };
                Body::Hello(Hello { side, cookie })
            }
            RETRY => Body::Retry { initiator_random: reader.array()?, cookie: reader.array()? },
            ACCEPT => Body::Accept { initiator_random: reader.array()?, side: side(&mut reader)? },
            RESET => Body::Reset {
                boot: BootId(u64::from_le_bytes(reader.array()?)),
                connection: u32::from_le_bytes(reader.array()?),
            },
            _ => return Err(Malformed),
        };
        if !reader.rest().is_empty() {
            return Err(Malformed);
        }
        Ok(Self { key, from, to, body })
    }
}

fn version(keys: &KeyRing) -> u8 {
    if keys.is_sealed() { VERSION } else { VERSION | PLAIN }
}

fn put_side(out: &mut Vec<u8>, side: &Side) {
    out.extend_from_slice(&side.boot.0.to_le_bytes());
    out.extend_from_slice(&side.connection.to_le_bytes());
    out.extend_from_slice(&side.window.to_le_bytes());
    out.extend_from_slice(&side.datagram_bytes_max.to_le_bytes());
    out.extend_from_slice(&side.random);
}

fn side(reader: &mut Reader<'_>) -> Result<Side, Malformed> {
    Ok(Side {
        boot: BootId(u64::from_le_bytes(reader.array()?)),
        connection: u32::from_le_bytes(reader.array()?),
        window: u64::from_le_bytes(reader.array()?),
        datagram_bytes_max: u16::from_le_bytes(reader.array()?),
        random: reader.array()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::crypto::{ClusterKey, ClusterKeys};

    fn sealed() -> KeyRing {
        let current = ClusterKey { id: 3, secret: [9; 32] };
        KeyRing::new(&Mode::Sealed(ClusterKeys { current, other: None }))
    }

    fn bodies() -> Vec<Body> {
        let side = Side {
            boot: BootId(0x0102_0304_0506_0708),
            connection: 7,
            window: 1 << 24,
            datagram_bytes_max: 1472,
            random: [5; RANDOM_BYTES],
        };
        let cookie = [6; COOKIE_BYTES];
        vec![
            Body::Hello(Hello { side, cookie: None }),
            Body::Hello(Hello { side, cookie: Some(cookie) }),
            Body::Retry { initiator_random: [5; RANDOM_BYTES], cookie },
            Body::Accept { initiator_random: [5; RANDOM_BYTES], side },
            Body::Reset { boot: side.boot, connection: 9 },
        ]
    }

    fn written(keys: &KeyRing, body: Body) -> (Handshake, Vec<u8>) {
        let handshake = Handshake { key: keys.current(), from: NodeId(1), to: NodeId(2), body };
        let mut out = Vec::new();
        handshake.put(keys, &mut out);
        (handshake, out)
    }

    #[test]
    fn handshakes_come_back_and_never_with_a_flipped_bit() {
        for keys in [sealed(), KeyRing::new(&Mode::Plain)] {
            for body in bodies() {
                let (handshake, mut out) = written(&keys, body);
                assert_eq!(Handshake::read(&keys, &out), Ok(handshake));
                for bit in 0..out.len() * 8 {
                    out[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(Handshake::read(&keys, &out), Err(Malformed), "bit {bit}");
                    out[bit / 8] ^= 1 << (bit % 8);
                }
                for len in 0..out.len() {
                    assert_eq!(Handshake::read(&keys, &out[..len]), Err(Malformed));
                }
            }
        }
    }

    #[test]
    fn the_modes_do_not_understand_each_other() {
        let (_, out) = written(&sealed(), bodies()[0]);
        assert_eq!(Handshake::read(&KeyRing::new(&Mode::Plain), &out), Err(Malformed));
    }

    #[test]
    fn no_answer_is_thrice_as_long_as_what_it_answers() {
        let lens: Vec<usize> =
            bodies().into_iter().map(|body| written(&sealed(), body).1.len()).collect();
        let [hello, hello_again, retry, accept, _] = lens[..] else { panic!("five bodies") };
        assert!(retry <= 3 * hello && accept <= 3 * hello_again);
    }
}
