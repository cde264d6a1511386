//! Cases at random: mostly valid requests with boundary values, in every state of a connection, by one
//! or two users at a time. The same seed and number give the same case.

use aldis_netsim::Rng;
use aldis_wire::Command;

use crate::case::{Case, Cut, End, Frame, State, Step};
use crate::mutate::damage;
use crate::parts::{Parts, put_varint};
use crate::table::{Field, Row, Table};
use crate::values::{pick, put_field};

/// Frames of a case.
const FRAMES_MAX: u64 = 24;

/// The generator of one case, the same for the same run and number.
pub fn rng_of(seed: u64, number: u64) -> Rng {
    // Odd and from the golden ratio, so that neighbours have nothing in common.
    Rng::new(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A case.
pub fn case(table: &Table, rng: &mut Rng) -> Case {
    let mut case = Case { title: "generated".into(), ..Case::default() };
    let state = state(rng);
    let who = if rng.chance(0.8) { 'a' } else { 'b' };
    case.steps.push(Step::Open { conn: 0, who, state, class: class(rng) });
    let has_second = rng.chance(0.25);
    if has_second {
        let who = *pick(rng, &['a', 'b', 'b', 'c']);
        let class = class(rng);
        case.steps.push(Step::Open { conn: 1, who, state: State::LoggedIn, class });
    }
    let is_pipelined = rng.chance(0.5);
    let is_hostile = rng.chance(0.5);
    // Often the same command several times: what changes is what the last one did.
    let mut row = some_row(table, rng);
    for _ in 0..1 + rng.below(FRAMES_MAX) {
        if rng.chance(0.6) {
            row = some_row(table, rng);
        }
        let conn = u8::from(has_second && rng.chance(0.4));
        let mut frame = request(rng, row);
        // Not all of them: what is no frame ends the connection.
        if is_hostile && rng.chance(0.15) {
            damage(rng, &mut frame);
        }
        frame.cut = cut(rng);
        case.steps.push(Step::Send { conn, frame });
        if !is_pipelined {
            case.steps.push(Step::Wait { conn });
        }
    }
    if is_hostile && rng.chance(0.1) {
        let bytes: Vec<u8> = (0..rng.below(64)).map(|_| rng.next_u64() as u8).collect();
        let mut parts = Parts::default();
        parts.push_bytes(&bytes);
        case.steps.push(Step::Raw { conn: 0, bytes: parts });
    }
    if rng.chance(0.3) {
        let how = *pick(rng, &[End::Close, End::Reset, End::Half]);
        case.steps.push(Step::Finish { conn: 0, how });
    }
    case
}

/// A request that is valid but for values at boundaries.
pub fn request(rng: &mut Rng, row: &Row) -> Frame {
    let has = |name: &str| row.fields.iter().any(|field| field.name == name);
    // Exactly one of the two, most often: with both everything is BAD_REQUEST.
    let left_out = match has("receiver_id") && has("group_id") && rng.chance(0.9) {
        true => *pick(rng, &["receiver_id", "group_id"]),
        false => "",
    };
    let left_out = match row.command {
        Command::Login => *pick(rng, &["token", "username", ""]),
        _ => left_out,
    };
    // Many fields are left out at times, and at times numbers go to their limits all at once: defects hide
    // where several fields meet.
    let presence = *pick(rng, &[0.4, 0.85, 0.95]);
    let is_extreme = rng.chance(0.3);
    let mut body = Parts::default();
    for field in &row.fields {
        if field.name != left_out && rng.chance(presence) {
            put_field(rng, field, is_extreme, &mut body);
        }
    }
    Frame { cmd: row.command.id(), body, ..Frame::default() }
}

/// A request with one number as it is given, and whatever it takes to say whom or what is meant.
pub fn with_number(row: &Row, field: &Field, number: u64) -> Parts {
    let mut rng = rng_of(u64::from(row.command.id()), u64::from(field.number));
    let mut body = Parts::default();
    let names_somebody = |other: &&Field| {
        other.name != field.name && (other.name.ends_with("_id") || other.name.ends_with("_ids"))
    };
    for other in row.fields.iter().filter(names_somebody) {
        put_field(&mut rng, other, false, &mut body);
    }
    let mut bytes = Vec::new();
    put_varint(u64::from(field.number) << 3, &mut bytes);
    put_varint(number, &mut bytes);
    body.push_bytes(&bytes);
    body
}

fn state(rng: &mut Rng) -> State {
    match rng.below(100) {
        0..62 => State::LoggedIn,
        62..78 => State::Fresh,
        78..88 => State::LoggingIn,
        88..93 => State::AfterError,
        93..98 => State::Kicked,
        // It takes a password's hash.
        _ => State::LoggedOut,
    }
}

/// A class that was not used before takes a login by password.
fn class(rng: &mut Rng) -> u8 {
    if rng.chance(0.85) { 1 } else { 1 + rng.below(5) as u8 }
}

/// Any command, but rarely one that hashes a password or ends tokens: a hundred others cost as much.
fn some_row<'t>(table: &'t Table, rng: &mut Rng) -> &'t Row {
    let row = pick(rng, table.rows());
    let is_dear = matches!(
        row.command,
        Command::Login
            | Command::Register
            | Command::Logout
            | Command::ChangePassword
            | Command::DeviceRevoke
    );
    if is_dear && rng.chance(0.9) { pick(rng, table.rows()) } else { row }
}

fn cut(rng: &mut Rng) -> Cut {
    match rng.below(20) {
        0 => Cut::Pieces(1 + rng.below(3) as u32),
        1 => Cut::At(rng.below(40) as u32),
        2 if rng.chance(0.3) => Cut::Stop(rng.below(40) as u32),
        _ => Cut::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_number_give_the_same_case() {
        let table = Table::default();
        let make = |number| case(&table, &mut rng_of(7, number));
        assert_eq!(make(3), make(3));
        assert_ne!(make(3), make(4));
    }

    #[test]
    fn every_command_and_state_is_tried() {
        let table = Table::default();
        let (mut commands, mut states) = (Vec::new(), Vec::new());
        for number in 0..2_000 {
            for step in case(&table, &mut rng_of(1, number)).steps {
                match step {
                    Step::Send { frame, .. } => commands.push(frame.cmd),
                    Step::Open { state, .. } => states.push(state),
                    _ => {}
                }
            }
        }
        assert!(Command::REQUESTS.iter().all(|command| commands.contains(&command.id())));
        assert!(State::ALL.iter().all(|state| states.contains(state)));
    }
}
