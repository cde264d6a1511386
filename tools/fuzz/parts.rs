//! A body as a recipe: bytes, and places for what only the run knows (ids, tokens, numbers that the
//! server gave). So a case that was found on one server says the same to another. Knows no command.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who acts, or is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// The attacker.
    A,
    /// Its ally: what needs two.
    B,
    /// A third one.
    C,
    /// Whose data nobody else may see.
    V,
    /// Whom nobody addresses.
    O,
    /// One of the crowd: each time that a connection is opened the next one.
    M,
}

/// Those that cases act as.
pub const TROOP: [Actor; 3] = [Actor::A, Actor::B, Actor::C];
/// All.
pub const ACTORS: [Actor; 6] = [Actor::A, Actor::B, Actor::C, Actor::V, Actor::O, Actor::M];

/// What the run puts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ref {
    /// A user's id.
    User(Actor),
    /// A user's name.
    Name(Actor),
    /// A user's password.
    Password(Actor),
    /// A user's token.
    Token(Actor),
    /// The device that the token is for.
    Device(Actor),
    /// The group that the case made last.
    Group,
    /// A group that only the victim is in.
    SecretGroup,
    /// A user or group that there is not.
    Missing,
    /// A user of the crowd, the next one each time.
    Crowd,
    /// 16 bytes that nobody used before.
    FreshId,
    /// 16 bytes, the same wherever the case says this number.
    Id(u8),
    /// A user name that nobody has.
    FreshName,
    /// A token whose time is over.
    ExpiredToken,
    /// `conv_seq` of the last message that the case sent.
    ConvSeq,
    /// `msg_id` of it.
    MsgId,
}

/// Bytes, or what the run puts in: with its length before it, where it is a text or bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As they are.
    Bytes(Vec<u8>),
    /// See there.
    Ref(Ref),
}

/// See the file's first line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Parts(pub Vec<Part>);

/// A text that is no body.
#[derive(Debug, thiserror::Error)]
#[error("neither hexadecimal bytes nor a place that this version knows: {0:?}")]
pub struct PartsError(String);

impl Parts {
    /// Appends bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            _ if bytes.is_empty() => {}
            Some(Part::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.0.push(Part::Bytes(bytes.to_vec())),
        }
    }

    /// Appends what the run puts in.
    pub fn push_ref(&mut self, place: Ref) {
        self.0.push(Part::Ref(place));
    }

    /// Makes one of bytes that follow each other, as they are when they are read back from a text.
    pub fn join(&mut self) {
        for part in std::mem::take(&mut self.0) {
            match part {
                Part::Bytes(bytes) => self.push_bytes(&bytes),
                Part::Ref(place) => self.push_ref(place),
            }
        }
    }

    /// The bytes, with what `resolve` puts in.
    pub fn resolve(&self, mut resolve: impl FnMut(Ref, &mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.0 {
            match part {
                Part::Bytes(given) => bytes.extend_from_slice(given),
                Part::Ref(place) => resolve(*place, &mut bytes),
            }
        }
        bytes
    }

    /// Bytes and places.
    pub fn len(&self) -> usize {
        let len = |part: &Part| if let Part::Bytes(bytes) = part { bytes.len() } else { 1 };
        self.0.iter().map(len).sum()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is left without bytes and places from `at` on, `count` of them.
    pub fn without(&self, at: usize, count: usize) -> Self {
        let mut left = Self::default();
        let mut index = 0;
        let mut keep = || {
            index += 1;
            !(at..at + count).contains(&(index - 1))
        };
        for part in &self.0 {
            match part {
                Part::Bytes(bytes) => {
                    let bytes: Vec<u8> = bytes.iter().copied().filter(|_| keep()).collect();
                    left.push_bytes(&bytes);
                }
                Part::Ref(place) if keep() => left.push_ref(*place),
                Part::Ref(_) => {}
            }
        }
        left
    }
}

/// Appends a varint.
pub fn put_varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Appends bytes behind their length.
pub fn put_delimited(value: &[u8], bytes: &mut Vec<u8>) {
    put_varint(value.len() as u64, bytes);
    bytes.extend_from_slice(value);
}

impl Actor {
    /// Its letter.
    pub fn letter(self) -> char {
        ['a', 'b', 'c', 'v', 'o', 'm'][self as usize]
    }

    /// Of a letter.
    pub fn from_letter(letter: &str) -> Option<Self> {
        ACTORS.into_iter().find(|actor| letter.len() == 1 && letter.starts_with(actor.letter()))
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ref::User(actor) => write!(out, "${}", actor.letter()),
            Ref::Name(actor) => write!(out, "$name.{}", actor.letter()),
            Ref::Password(actor) => write!(out, "$password.{}", actor.letter()),
            Ref::Token(actor) => write!(out, "$token.{}", actor.letter()),
            Ref::Device(actor) => write!(out, "$device.{}", actor.letter()),
            Ref::Group => out.write_str("$group"),
            Ref::SecretGroup => out.write_str("$secret-group"),
            Ref::Missing => out.write_str("$missing"),
            Ref::Crowd => out.write_str("$crowd"),
            Ref::FreshId => out.write_str("$id"),
            Ref::Id(number) => write!(out, "$id.{number}"),
            Ref::FreshName => out.write_str("$new-name"),
            Ref::ExpiredToken => out.write_str("$expired-token"),
            Ref::ConvSeq => out.write_str("$conv_seq"),
            Ref::MsgId => out.write_str("$msg_id"),
        }
    }
}

impl FromStr for Ref {
    type Err = PartsError;

    fn from_str(text: &str) -> Result<Self, PartsError> {
        let unknown = || PartsError(text.to_owned());
        let name = text.strip_prefix('$').ok_or_else(unknown)?;
        if let Some(actor) = Actor::from_letter(name) {
            return Ok(Ref::User(actor));
        }
        if let Some((kind, of)) = name.split_once('.') {
            if kind == "id" {
                return of.parse().map(Ref::Id).map_err(|_| unknown());
            }
            let actor = Actor::from_letter(of).ok_or_else(unknown)?;
            return match kind {
                "name" => Ok(Ref::Name(actor)),
                "password" => Ok(Ref::Password(actor)),
                "token" => Ok(Ref::Token(actor)),
                "device" => Ok(Ref::Device(actor)),
                _ => Err(unknown()),
            };
        }
        match name {
            "group" => Ok(Ref::Group),
            "secret-group" => Ok(Ref::SecretGroup),
            "missing" => Ok(Ref::Missing),
            "crowd" => Ok(Ref::Crowd),
            "id" => Ok(Ref::FreshId),
            "new-name" => Ok(Ref::FreshName),
            "expired-token" => Ok(Ref::ExpiredToken),
            "conv_seq" => Ok(Ref::ConvSeq),
            "msg_id" => Ok(Ref::MsgId),
            _ => Err(unknown()),
        }
    }
}

impl From<Parts> for String {
    fn from(parts: Parts) -> String {
        let words = parts.0.iter().map(|part| match part {
            Part::Bytes(bytes) => to_hex(bytes),
            Part::Ref(place) => place.to_string(),
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

impl TryFrom<String> for Parts {
    type Error = PartsError;

    fn try_from(text: String) -> Result<Self, PartsError> {
        let mut parts = Parts::default();
        for word in text.split_whitespace() {
            if word.starts_with('$') {
                parts.push_ref(word.parse()?);
            } else {
                parts.push_bytes(&from_hex(word).ok_or_else(|| PartsError(word.to_owned()))?);
            }
        }
        Ok(parts)
    }
}

/// Two digits for each byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of two digits each.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs.map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_reads_back_from_its_text() {
        let text = "08 $a 12 $token.b 1a10 $id.3 $conv_seq $missing";
        let parts = Parts::try_from(text.to_owned()).unwrap();
        assert_eq!(String::from(parts.clone()), text);
        let bytes = parts.resolve(|place, bytes| match place {
            Ref::User(Actor::A) => put_varint(300, bytes),
            Ref::Token(Actor::B) => put_delimited(b"tok", bytes),
            _ => bytes.push(0),
        });
        assert_eq!(to_hex(&bytes), "08ac021203746f6b1a10000000");
        assert!(Parts::try_from("0".to_owned()).is_err());
        assert!(Parts::try_from("$nobody".to_owned()).is_err());
    }

    #[test]
    fn bytes_and_places_can_be_taken_out() {
        let parts = Parts::try_from("0102 $a 03".to_owned()).unwrap();
        assert_eq!((parts.len(), parts.is_empty()), (4, false));
        assert_eq!(String::from(parts.without(1, 1)), "01 $a 03");
        assert_eq!(String::from(parts.without(2, 1)), "010203");
        assert_eq!(String::from(parts.without(0, 2)), "$a 03");
    }
}
