//! What makes a good case a bad one: bits, blocks, splices, truncation and a dictionary within a frame;
//! frames dropped, doubled, reordered, interleaved, cut differently.

use aldis_netsim::Rng;
use aldis_wire::Command;

use crate::case::{Case, Cut, End, Frame, STEPS_MAX, State, Step};
use crate::parts::{Part, Parts, put_varint};
use crate::values::pick;

/// Byte strings that decoders trip over: varints that never end or overflow, groups, deep nesting,
/// lengths beyond the end.
const DICTIONARY: [&[u8]; 12] = [
    &[0xff; 10],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80; 12],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
    &[0x0b],
    &[0x0c],
    &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x07],
    &[0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a],
    &[0x00],
    &[0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01],
    b"IM\x01\x00",
    b"GET / HTTP/1.1\r\n\r\n",
];

/// Lengths that a header may announce.
const ANNOUNCED: [u32; 8] =
    [0, 1, 4 << 10, (4 << 10) + 1, 1 << 20, (1 << 20) + 1, 1 << 31, u32::MAX];
/// Bytes of a body beyond which it is not made longer.
const GROWTH_MAX: usize = 8 << 10;

/// Changes something of a frame.
pub fn damage(rng: &mut Rng, frame: &mut Frame) {
    match rng.below(10) {
        // Version, flags, code: each has its own check.
        0 => frame.head.push((2 + rng.below(2) as u8, rng.next_u64() as u8)),
        1 => frame.head.push((6 + rng.below(2) as u8, rng.next_u64() as u8)),
        2 => {
            let len = pick(rng, &ANNOUNCED).to_be_bytes();
            frame.head.extend((12..16).zip(len));
        }
        3 => frame.head.push((rng.below(16) as u8, rng.next_u64() as u8)),
        4 => frame.cmd = unusual_command(rng, frame.cmd),
        _ => damage_body(rng, &mut frame.body),
    }
}

/// Ids of responses, notifications, neighbours, and anything.
fn unusual_command(rng: &mut Rng, cmd: u16) -> u16 {
    match rng.below(4) {
        0 => cmd.wrapping_add(1),
        1 => pick(rng, &Command::NOTIFICATIONS).id(),
        2 => *pick(rng, &[0, 1, 0x1000, 0x3001, 0x6001, u16::MAX]),
        _ => rng.next_u64() as u16,
    }
}

fn damage_body(rng: &mut Rng, body: &mut Parts) {
    for _ in 0..1 + rng.below(3) {
        let index = rng.below(body.0.len().max(1) as u64) as usize;
        let Some(part) = body.0.get_mut(index) else {
            let word = *pick(rng, &DICTIONARY);
            body.push_bytes(word);
            continue;
        };
        let Part::Bytes(bytes) = part else {
            // A place becomes a number of its own, or goes.
            let mut number = Vec::new();
            put_varint(rng.next_u64() >> rng.below(64), &mut number);
            *part = Part::Bytes(if rng.chance(0.8) { number } else { Vec::new() });
            continue;
        };
        damage_bytes(rng, bytes);
    }
    body.join();
}

fn damage_bytes(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.below(bytes.len().max(1) as u64) as usize;
    match rng.below(8) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
        2 if !bytes.is_empty() => bytes[at] = rng.next_u64() as u8,
        3 => bytes.truncate(at),
        4 if bytes.len() < GROWTH_MAX => {
            // A block comes twice.
            let end = (at + 1 + rng.below(16) as usize).min(bytes.len());
            let block = bytes.get(at..end).unwrap_or_default().to_vec();
            bytes.splice(at..at, block);
        }
        5 => {
            let end = (at + 1 + rng.below(16) as usize).min(bytes.len());
            bytes.drain(at.min(end)..end);
        }
        _ => {
            let word = pick(rng, &DICTIONARY).to_vec();
            bytes.splice(at.min(bytes.len())..at.min(bytes.len()), word);
        }
    }
}

/// A case made from one that was worth keeping, and sometimes a second one.
pub fn case(rng: &mut Rng, parent: &Case, other: &Case) -> Case {
    let title = format!("mutated: {}", parent.title.trim_start_matches("mutated: "));
    // New users for each mutant would cost more than everything else.
    let mut case = Case { title, fresh: false, ..parent.clone() };
    case.steps.retain(|step| !matches!(step, Step::Store { .. }));
    case.steps.truncate(2 * STEPS_MAX);
    for _ in 0..1 + rng.below(4) {
        change(rng, &mut case, other);
    }
    case.steps.truncate(2 * STEPS_MAX);
    case
}

fn change(rng: &mut Rng, case: &mut Case, other: &Case) {
    let index = rng.below(case.steps.len().max(1) as u64) as usize;
    if index >= case.steps.len() {
        return;
    }
    match rng.below(10) {
        0 => {
            case.steps.remove(index);
        }
        1 => case.steps.insert(index, case.steps[index].clone()),
        2 => {
            let with = rng.below(case.steps.len() as u64) as usize;
            case.steps.swap(index, with);
        }
        3 => case.steps.retain(|step| !matches!(step, Step::Wait { .. })),
        4 => {
            // The end of one case behind the beginning of another.
            let from = rng.below(other.steps.len().max(1) as u64) as usize;
            case.steps.truncate(index + 1);
            case.steps.extend(other.steps.iter().skip(from).cloned());
        }
        5 => change_state(rng, case),
        6 => {
            let how = *pick(rng, &[End::Close, End::Reset, End::Half]);
            case.steps.insert(index, Step::Finish { conn: case.steps[index].conn(), how });
        }
        _ => {
            if let Step::Send { frame, .. } = &mut case.steps[index] {
                match rng.below(5) {
                    0 => frame.cut = Cut::At(rng.below(64) as u32),
                    1 => frame.cut = Cut::Pieces(1 + rng.below(7) as u32),
                    _ => damage(rng, frame),
                }
            }
        }
    }
}

fn change_state(rng: &mut Rng, case: &mut Case) {
    let opens = case.steps.iter_mut().filter_map(|step| match step {
        Step::Open { state, .. } => Some(state),
        _ => None,
    });
    let mut opens: Vec<&mut State> = opens.collect();
    if !opens.is_empty() {
        let index = rng.below(opens.len() as u64) as usize;
        *opens[index] = *pick(rng, &State::ALL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;
    use crate::table::Table;

    #[test]
    fn mutants_differ_and_stay_bounded() {
        let table = Table::default();
        let mut different = 0;
        for number in 0..500 {
            let mut rng = generate::rng_of(11, number);
            let (parent, other) =
                (generate::case(&table, &mut rng), generate::case(&table, &mut rng));
            let mutant = case(&mut rng, &parent, &other);
            assert!(mutant.steps.len() <= 2 * STEPS_MAX);
            different += usize::from(mutant.steps != parent.steps);
        }
        assert!(different > 400, "{different}");
    }
}
