//! Values of fields: what they should be, and the boundaries at which programs go wrong. Chosen by kind
//! and name, with a generator that is handed in.

use aldis_netsim::Rng;
use aldis_wire::limits::{
    ANNOUNCEMENT_BYTES_MAX, CONTENT_BYTES_MAX, DISPLAY_NAME_BYTES_MAX, EXTRA_BYTES_MAX,
    PASSWORD_BYTES_MAX, REACTION_BYTES_MAX, SEARCH_QUERY_BYTES_MAX, TEXT_BYTES_MAX,
};

use crate::parts::{Actor, Parts, Ref, put_delimited, put_varint};
use crate::table::{Field, Kind};

/// Numbers around which counters, signs and widths change, and the limits of the protocol.
const NUMBERS: [u64; 26] = [
    0,
    1,
    2,
    20,
    50,
    100,
    101,
    127,
    128,
    255,
    256,
    499,
    500,
    501,
    2_000,
    20_001,
    65_535,
    i32::MAX as u64,
    i32::MAX as u64 + 1,
    u32::MAX as u64,
    u32::MAX as u64 + 1,
    1 << 53,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

/// Texts that mean something to a database, a log, a file system, a terminal or a reader.
const TEXTS: [&str; 26] = [
    "",
    "a",
    "hello",
    "北京 makes 2",
    "👍🏽",
    " ",
    "\0",
    "a\0b",
    "\r\nERROR forged line",
    "\u{1b}[2J",
    "\u{202e}txt.exe",
    "\u{feff}",
    "' OR '1'='1",
    "'; DROP TABLE users; --",
    "%",
    "_%\\%",
    "../../../etc/passwd",
    "%s%n%x",
    "{}{0}",
    "\"unclosed",
    "a\u{301}\u{301}\u{301}\u{301}",
    "ﬃ",
    "İ",
    "ᾳ",
    "NaN",
    "-1",
];

/// Lengths at a limit and one above it.
const LENGTHS: [usize; 9] = [
    64,
    REACTION_BYTES_MAX + 1,
    DISPLAY_NAME_BYTES_MAX,
    DISPLAY_NAME_BYTES_MAX + 1,
    SEARCH_QUERY_BYTES_MAX + 1,
    PASSWORD_BYTES_MAX,
    PASSWORD_BYTES_MAX + 1,
    ANNOUNCEMENT_BYTES_MAX + 1,
    2_049,
];

/// Lengths of contents; they are rare, because they take time.
const LARGE: [usize; 6] = [
    EXTRA_BYTES_MAX,
    EXTRA_BYTES_MAX + 1,
    TEXT_BYTES_MAX,
    TEXT_BYTES_MAX + 1,
    CONTENT_BYTES_MAX,
    CONTENT_BYTES_MAX + 1,
];

/// Counts of a repeated field at limits and one above.
const COUNTS: [u64; 7] = [50, 51, 100, 101, 200, 201, 501];

/// One of these.
pub fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

/// Appends a field, as often as it may come.
pub fn put_field(rng: &mut Rng, field: &Field, body: &mut Parts) {
    let count = match field.is_repeated {
        false if rng.chance(0.02) => 2,
        false => 1,
        true if rng.chance(0.05) => *pick(rng, &COUNTS),
        true => rng.below(4),
    };
    for _ in 0..count {
        put_value(rng, field, body);
    }
}

fn put_value(rng: &mut Rng, field: &Field, body: &mut Parts) {
    let is_number = matches!(field.kind, Kind::Number | Kind::Enum(_) | Kind::Flag);
    let wire_type = if is_number { 0 } else { 2 };
    // A wrong type is what old and new versions of a schema say to each other.
    let wire_type = if rng.chance(0.02) { rng.below(8) } else { wire_type };
    let mut key = Vec::new();
    put_varint(u64::from(field.number) << 3 | wire_type, &mut key);
    body.push_bytes(&key);
    let mut value = Vec::new();
    match &field.kind {
        Kind::Number => match place(rng, &field.name).filter(|_| !rng.chance(0.2)) {
            Some(place) => return body.push_ref(place),
            None => put_varint(number(rng), &mut value),
        },
        Kind::Enum(values) => {
            let chosen = if rng.chance(0.9) { *pick(rng, values) } else { number(rng) as i32 };
            put_varint(i64::from(chosen) as u64, &mut value);
        }
        Kind::Flag => put_varint(rng.below(3), &mut value),
        Kind::Text | Kind::Bytes => match place(rng, &field.name).filter(|_| !rng.chance(0.2)) {
            Some(place) => return body.push_ref(place),
            None => put_delimited(&text(rng, &field.name), &mut value),
        },
    }
    body.push_bytes(&value);
}

fn number(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0..7 => *pick(rng, &NUMBERS),
        7 => pick(rng, &NUMBERS).wrapping_add(rng.below(5)).wrapping_sub(2),
        _ => rng.next_u64() >> rng.below(64),
    }
}

/// What only the run knows and the field most probably means, or is confused with.
fn place(rng: &mut Rng, name: &str) -> Option<Ref> {
    let user = [Actor::A, Actor::B, Actor::B, Actor::C, Actor::V].map(Ref::User);
    let chosen = match name {
        "user_id" | "user_ids" | "receiver_id" | "member_ids" | "mention_ids" => match rng.below(8)
        {
            0 => Ref::Missing,
            1 => Ref::Crowd,
            2 => Ref::Group,
            _ => *pick(rng, &user),
        },
        "after_user_id" => *pick(rng, &user),
        "group_id" | "after_group_id" => {
            *pick(rng, &[Ref::Group, Ref::Group, Ref::Group, Ref::SecretGroup, Ref::Missing])
        }
        "stream" => *pick(rng, &[Ref::Group, Ref::SecretGroup, Ref::User(Actor::V), Ref::Missing]),
        "conv_seq" | "before_conv_seq" | "after_conv_seq" | "clear_conv_seq" => Ref::ConvSeq,
        "reply_to_msg_id" => Ref::MsgId,
        "client_msg_id" | "request_id" => match rng.below(4) {
            0 => Ref::Id(rng.below(4) as u8),
            _ => Ref::FreshId,
        },
        "username" => match rng.below(3) {
            0 => Ref::FreshName,
            _ => Ref::Name(*pick(rng, &[Actor::A, Actor::B, Actor::V])),
        },
        // Never the victim's own password or token: who has them is entitled to everything.
        "password" | "old_password" => Ref::Password(*pick(rng, &[Actor::A, Actor::B])),
        "token" => Ref::Token(*pick(rng, &[Actor::A, Actor::B])),
        "device_id" => Ref::Device(*pick(rng, &[Actor::A, Actor::B, Actor::V])),
        "query" if rng.chance(0.3) => Ref::Name(Actor::V),
        _ => return None,
    };
    Some(chosen)
}

fn text(rng: &mut Rng, name: &str) -> Vec<u8> {
    let is_content = matches!(name, "content" | "extra");
    match rng.below(20) {
        0..11 => pick(rng, &TEXTS).as_bytes().to_vec(),
        11..14 => vec![b'a' + rng.below(26) as u8; *pick(rng, &LENGTHS)],
        14 => vec![b'x'; 15 + rng.below(3) as usize],
        15 if is_content && rng.chance(0.3) => vec![b'y'; *pick(rng, &LARGE)],
        // Invalid UTF-8: a lone continuation, an overlong form, a surrogate, a cut sequence.
        16 => pick(rng, &[&[0x80][..], &[0xc0, 0xaf], &[0xed, 0xa0, 0x80], &[0xf0, 0x9f]]).to_vec(),
        17 => "é".repeat(1 + rng.below(200) as usize).into_bytes(),
        _ => (0..rng.below(40)).map(|_| rng.next_u64() as u8).collect(),
    }
}
