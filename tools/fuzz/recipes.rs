//! Cases that reach one certain code, as a text that people read and write: [`recipes.txt`](recipes.txt).
//! Random requests find what nobody thought of; these find what is known to exist.
//!
//! A recipe is a line `recipe TITLE` and what is done below it, one step a line:
//!
//! - `a COMMAND field=value … [-> CODE]` sends a request on the connection of attacker `a`, ally `b` or
//!   third one `c` and waits for the answer; `a2` to `a5` are connections of `a`, each of another device.
//!   `m` is one of the crowd, with each `m open` the next one. `a+ COMMAND` does not wait.
//! - `a open STATE [CLASS]` opens the connection in another state than logged in.
//! - `a half`, `a close`, `a reset`, `a wait`.
//! - `repeat N` … `end` does it N times. `shared` uses the troop of random cases, not new users;
//!   `crowd N` needs that many users besides, `expired` a token whose time is over; `slow` is for runs
//!   of minutes.
//! - `store stops` and `store goes on`, where the run was told which process that is.
//!
//! A value is a number, `'text'`, `0x` bytes, or a place such as `$b`; `value*N` is a text or bytes
//! repeated, of a place or number the whole field N times; `A..B` are all numbers from A to B.

use aldis_wire::{Code, Command};

use crate::case::{Case, End, Frame, State, Step};
use crate::generate;
use crate::parts::{Actor, Parts, Ref, from_hex, put_delimited, put_varint};
use crate::table::{Field, Kind, Row, Table, documented_name};

/// The recipes that come with the fuzzer.
const RECIPES: &str = include_str!("recipes.txt");
/// Repetitions that a recipe may ask for.
const REPEAT_MAX: usize = 6_000;

/// The connection of one of the crowd, behind those of the troop.
const MEMBER_CONN: u8 = 15;
/// More requests than conf/fuzz.toml lets through at once.
const FLOOD_COUNT: usize = 2_600;
/// Times that each request of a kind comes behind a flood.
const FLOOD_ROUNDS: usize = 4;
/// Kinds of requests that are counted together ([PROTOCOL.md](../../protocol/PROTOCOL.md), "How often"),
/// each by one with which its limit is reached soon.
const KINDS: [Command; 4] =
    [Command::Typing, Command::MsgSend, Command::History, Command::ConversationUpdate];

/// A line that is no recipe.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct RecipeError {
    line: usize,
    what: String,
}

/// All recipes: those of every command, which follow from the table, and those that were written.
pub fn all(table: &Table) -> Vec<Case> {
    let mut cases = of_states(table);
    cases.extend(of_limits(table));
    cases.extend(parse(table, RECIPES).expect("a test reads them"));
    cases
}

/// Every number of every command at its ends, beside ids of somebody: chance alone may not meet one of them
/// in minutes.
fn of_limits(table: &Table) -> Vec<Case> {
    let is_cheap = |row: &&Row| {
        let ends =
            [Command::Login, Command::Logout, Command::ChangePassword, Command::DeviceRevoke];
        row.command != Command::Register && !ends.contains(&row.command)
    };
    let rows: Vec<&Row> = table.rows().iter().filter(is_cheap).collect();
    let mut cases = Vec::new();
    for rows in rows.chunks(4) {
        let open = Step::Open { conn: 0, who: 'a', state: State::LoggedIn, class: 1 };
        let mut steps = vec![open];
        for row in rows {
            for field in row.fields.iter().filter(|field| field.kind == Kind::Number) {
                for limit in [i64::MAX as u64, u64::MAX] {
                    let body = generate::with_number(row, field, limit);
                    steps.push(Step::Send { conn: 0, frame: frame(row.command, body) });
                }
            }
            steps.push(Step::Wait { conn: 0 });
        }
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let title = format!("limits of the numbers of {}", names.join(", "));
        cases.push(Case { title, steps, ..Case::default() });
    }
    cases
}

/// Every command in every state, empty and with a body that does not decode.
fn of_states(table: &Table) -> Vec<Case> {
    let mut cases = Vec::new();
    for state in State::ALL {
        for (what, body) in [("nothing", &[][..]), ("no body", &[0xff; 11])] {
            let mut steps = Vec::new();
            // In parts: behind a LOGOUT that is OK nothing is answered.
            for rows in table.rows().chunks(7) {
                let who = 'a';
                steps.push(Step::Open { conn: 0, who, state, class: 1 });
                for row in rows.iter().filter(|row| row.command != Command::Logout) {
                    let frame = frame(row.command, crate::world::plain(body));
                    steps.push(Step::Send { conn: 0, frame });
                    // What stands behind a LOGIN is sent in another state.
                    if row.command == Command::Login {
                        steps.push(Step::Wait { conn: 0 });
                    }
                }
                steps.push(Step::Wait { conn: 0 });
            }
            let logout = frame(Command::Logout, crate::world::plain(body));
            steps.push(Step::Send { conn: 0, frame: logout });
            steps.push(Step::Wait { conn: 0 });
            let title = format!("every command, {what}, {}", state.name());
            cases.push(Case { title, steps, ..Case::default() });
        }
    }
    cases
}

/// Too often: of each kind of requests so many that all of that kind are RATE_LIMITED, where the server
/// limits this address. The first one shows whether it does.
pub fn floods(table: &Table) -> Vec<Case> {
    let send = |row: &Row| {
        // Counted is what may be a message, and of everything else what is anything.
        let body = match row.command {
            Command::MsgSend => "08 $b 1a $id 2001 2a0178".to_owned().try_into(),
            _ => Ok(crate::world::plain(&[0xff; 11])),
        };
        Step::Send { conn: 0, frame: frame(row.command, body.unwrap_or_default()) }
    };
    let floods = KINDS.map(|first| {
        let mut steps = vec![send(table.row(first)); FLOOD_COUNT];
        let others = table.rows().iter().filter(|row| kind_of(row.command) == Some(first));
        // Some more than once: one may again by the time that they come.
        let others: Vec<Step> = others.map(send).collect();
        steps.extend((0..FLOOD_ROUNDS).flat_map(|_| others.clone()));
        steps.push(Step::Wait { conn: 0 });
        let title = format!("what is like {} too often", documented_name(first));
        Case { title, fresh: true, steps, ..Case::default() }
    });
    floods.into()
}

/// The one of `KINDS` that it is counted with; what belongs to a session is not counted.
fn kind_of(command: Command) -> Option<Command> {
    let kind = match command {
        _ if command.allowed_before_login() => return None,
        Command::Logout | Command::RefreshToken => return None,
        Command::MsgSend | Command::Typing => command,
        Command::MsgSync
        | Command::History
        | Command::UserGet
        | Command::UserFind
        | Command::DeviceList
        | Command::ConversationList
        | Command::Receipts
        | Command::Reactions
        | Command::Search
        | Command::FriendList
        | Command::GroupList
        | Command::GroupMembers
        | Command::GroupRequests
        | Command::PresenceQuery
        | Command::PresenceSubscribe => Command::History,
        _ => Command::ConversationUpdate,
    };
    Some(kind)
}

fn frame(command: Command, body: Parts) -> Frame {
    Frame { cmd: command.id(), body, ..Frame::default() }
}

/// Reads recipes.
pub fn parse(table: &Table, text: &str) -> Result<Vec<Case>, RecipeError> {
    let mut reader = Reader { table, cases: Vec::new(), blocks: Vec::new() };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            reader.line(line).map_err(|what| RecipeError { line: index + 1, what })?;
        }
    }
    Ok(reader.cases)
}

struct Reader<'t> {
    table: &'t Table,
    cases: Vec<Case>,
    /// Where `repeat` stood, and how often.
    blocks: Vec<(usize, usize)>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "recipe" {
            self.cases.push(Case { title: rest.into(), fresh: true, ..Case::default() });
            return Ok(());
        }
        let case = self.cases.last_mut().ok_or("a step before the first recipe")?;
        match word {
            "shared" => case.fresh = false,
            "slow" => case.slow = true,
            "expired" => case.expired = true,
            "store" => {
                let goes = match rest {
                    "stops" => false,
                    "goes on" => true,
                    _ => return Err("does it stop or go on?".into()),
                };
                case.steps.push(Step::Store { goes });
            }
            "crowd" => case.crowd = rest.parse().map_err(|_| "how many?")?,
            "repeat" => {
                let count = rest.parse().ok().filter(|count| *count <= REPEAT_MAX);
                self.blocks.push((case.steps.len(), count.ok_or("how often?")?));
            }
            "end" => {
                let (from, count) = self.blocks.pop().ok_or("an end without repeat")?;
                let block = case.steps[from..].to_vec();
                (1..count).for_each(|_| case.steps.extend_from_slice(&block));
            }
            _ => {
                let is_waiting = !word.ends_with('+');
                let (conn, who) = connection(word.trim_end_matches('+'))?;
                let steps = step(self.table, conn, who, rest)?;
                let is_open =
                    |step: &Step| matches!(step, Step::Open { conn: c, .. } if *c == conn);
                let sends = matches!(steps, Step::Send { .. });
                if sends && !case.steps.iter().any(is_open) {
                    let class = 1 + conn / 3;
                    // Before what is repeated, or it would be opened each time.
                    let at = self.blocks.first().map_or(case.steps.len(), |block| block.0);
                    let open = Step::Open { conn, who, state: State::LoggedIn, class };
                    case.steps.insert(at, open);
                    self.blocks.iter_mut().for_each(|block| block.0 += 1);
                }
                case.steps.push(steps);
                if sends && is_waiting {
                    case.steps.push(Step::Wait { conn });
                }
            }
        }
        Ok(())
    }
}

/// `a` is 0, `b` 1, `c` 2, `a2` 3 and so on to `c5`; `m` follows.
fn connection(word: &str) -> Result<(u8, char), String> {
    let (letter, device) = match word.as_bytes() {
        [letter, digit @ b'2'..=b'5'] => (char::from(*letter), digit - b'1'),
        [letter] => (char::from(*letter), 0),
        _ => return Err(format!("{word} is nobody who acts")),
    };
    match Actor::from_letter(letter.encode_utf8(&mut [0; 4])) {
        Some(actor @ (Actor::A | Actor::B | Actor::C)) => Ok((actor as u8 + 3 * device, letter)),
        Some(Actor::M) => Ok((MEMBER_CONN, letter)),
        _ => Err(format!("{word} is nobody who acts")),
    }
}

fn step(table: &Table, conn: u8, who: char, rest: &str) -> Result<Step, String> {
    let words = split(rest)?;
    let (first, words) = words.split_first().ok_or("what is done?")?;
    match first.as_str() {
        "open" => {
            let name = words.first().ok_or("which state?")?;
            let state = State::ALL.into_iter().find(|state| state.name() == name);
            let class = words.get(1).map_or(Ok(1), |word| word.parse());
            let class = class.map_err(|_| "which class?")?;
            Ok(Step::Open { conn, who, state: state.ok_or("which state?")?, class })
        }
        "wait" => Ok(Step::Wait { conn }),
        "half" => Ok(Step::Finish { conn, how: End::Half }),
        "close" => Ok(Step::Finish { conn, how: End::Close }),
        "reset" => Ok(Step::Finish { conn, how: End::Reset }),
        name => {
            let row = table.named(name).ok_or_else(|| format!("no command {name}"))?;
            let (fields, wanted) = match words {
                [fields @ .., arrow, code] if arrow == "->" => (fields, Some(code)),
                fields => (fields, None),
            };
            let mut body = Parts::default();
            for word in fields {
                let (name, value) = word.split_once('=').ok_or("field=value is missing")?;
                let field = row.fields.iter().find(|field| field.name == name);
                put(field.ok_or_else(|| format!("no field {name}"))?, value, &mut body)?;
            }
            let code = |name: &String| Code::ALL.into_iter().find(|code| code.name() == name);
            let wanted = wanted.map(|name| code(name).ok_or_else(|| format!("no code {name}")));
            let wanted = wanted.transpose()?.map(Code::as_u16);
            Ok(Step::Send { conn, frame: Frame { wanted, ..frame(row.command, body) } })
        }
    }
}

/// Words at spaces, but for those within quotes.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        is_quoted ^= letter == '\'';
        if letter == ' ' && !is_quoted {
            words.push(std::mem::take(&mut word));
        } else {
            word.push(letter);
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    if is_quoted { Err("a quote is open".into()) } else { Ok(words) }
}

fn put(field: &Field, value: &str, body: &mut Parts) -> Result<(), String> {
    let (value, count) = match value.rsplit_once('*') {
        Some((value, count)) if !value.is_empty() && count.parse::<usize>().is_ok() => {
            (value, count.parse().expect("it was parsed"))
        }
        _ => (value, 1),
    };
    let is_long = matches!(field.kind, Kind::Text | Kind::Bytes);
    let mut key = Vec::new();
    put_varint(u64::from(field.number) << 3 | if is_long { 2 } else { 0 }, &mut key);
    if value.starts_with('$') {
        let place: Ref = value.parse().map_err(|error| format!("{error}"))?;
        for _ in 0..count {
            body.push_bytes(&key);
            body.push_ref(place);
        }
        return Ok(());
    }
    if is_long {
        let quoted = value.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        let bytes = match (quoted, value.strip_prefix("0x")) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(hex)) => from_hex(hex).ok_or("no bytes")?,
            _ => return Err(format!("{value} is neither 'text' nor 0x bytes")),
        };
        put_delimited(&bytes.repeat(count), &mut key);
        body.push_bytes(&key);
        return Ok(());
    }
    if let Some((first, last)) = value.split_once("..") {
        let bounds = (first.parse::<u64>(), last.parse::<u64>());
        let (Ok(first), Ok(last)) = bounds else { return Err(format!("{value} are no numbers")) };
        for number in first..=last {
            body.push_bytes(&key);
            let mut value = Vec::new();
            put_varint(number, &mut value);
            body.push_bytes(&value);
        }
        return Ok(());
    }
    put_varint(value.parse().map_err(|_| format!("{value} is no number"))?, &mut key);
    body.push_bytes(&key.repeat(count));
    Ok(())
}

#[cfg(test)]
mod tests {
    use aldis_wire::{Message, codes_of, pb};

    use super::*;
    use crate::coverage::{Answer, documented};

    #[test]
    fn a_recipe_says_what_it_means() {
        let table = Table::default();
        let text = "recipe one\na MSG_SEND receiver_id=7 type=1 content='a b'*2 -> NOT_FOUND\n\
                    repeat 2\na2+ USER_GET user_ids=5*3\nend\na half";
        let case = &parse(&table, text).unwrap()[0];
        let [
            Step::Open { .. },
            Step::Send { frame, .. },
            Step::Wait { .. },
            Step::Open { conn: 3, .. },
            ..,
        ] = &case.steps[..]
        else {
            panic!("{case:?}")
        };
        assert_eq!(frame.wanted, Some(7));
        let body = frame.body.resolve(|_, _| {});
        let sent = pb::MsgSendReq::decode(&body[..]).unwrap();
        assert_eq!((sent.receiver_id, &sent.content[..]), (7, &b"a ba b"[..]));
        let Some(Step::Send { frame, .. }) = case.steps.get(4) else { panic!("{case:?}") };
        let body = frame.body.resolve(|_, _| {});
        assert_eq!(pb::UserGetReq::decode(&body[..]).unwrap().user_ids, [5, 5, 5]);
        assert_eq!(case.send_count(), 3);
        for wrong in ["recipe x\nx MSG_SEND", "recipe x\na NO_SUCH", "recipe x\na LOGIN no=1"] {
            assert!(parse(&table, wrong).is_err(), "{wrong}");
        }
    }

    /// Goal: a code that the table of PROTOCOL.md gives a command is wanted by a recipe, unless it
    /// comes by what is too much.
    #[test]
    fn every_number_is_tried_at_its_ends() {
        let table = Table::default();
        let history = table.rows().iter().find(|row| row.command == Command::History).unwrap();
        let frames: Vec<Frame> = of_limits(&table)
            .into_iter()
            .flat_map(|case| case.steps)
            .filter_map(|step| match step {
                Step::Send { frame, .. } if frame.cmd == history.command.id() => Some(frame),
                _ => None,
            })
            .collect();
        let numbers = history.fields.iter().filter(|field| field.kind == Kind::Number).count();
        assert_eq!(frames.len(), 2 * numbers);
    }

    #[test]
    fn every_documented_code_has_a_recipe() {
        let table = Table::default();
        let cases = parse(&table, RECIPES).unwrap();
        let steps = cases.iter().flat_map(|case| &case.steps);
        let wanted: Vec<(u16, u16)> = steps
            .filter_map(|step| match step {
                Step::Send { frame, .. } => Some((frame.cmd, frame.wanted?)),
                _ => None,
            })
            .collect();
        let of_every_command = [Code::BadRequest, Code::NotLoggedIn];
        // That comes by `floods`.
        let of_the_floods = [Code::RateLimited];
        // That is no code to wait for: what is too much is as the server has room.
        let of_the_rush = [Code::Busy];
        let mut missing = Vec::new();
        for command in Command::REQUESTS {
            for code in codes_of(command) {
                let is_common = of_every_command.contains(&code) || code == Code::Internal;
                let is_wanted = wanted.contains(&(command.id(), code.as_u16()));
                let is_elsewhere = of_the_floods.contains(&code) || of_the_rush.contains(&code);
                if !is_common && !is_elsewhere && !is_wanted {
                    missing.push((command, code));
                }
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
        assert!(documented().iter().any(|cell| cell.answer == Answer::Closed));
    }
}
