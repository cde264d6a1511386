//! What a typed line means. Does nothing about it.

/// What `/help` shows.
pub const HELP: &str = "\
/to NAME          talk to somebody else: user name, id:NUMBER or group:NUMBER
/recent           latest conversations
/history [N]      the last N messages
/who              who is in this conversation
/group            your groups
/group create NAME MEMBER…    /group invite MEMBER…    /group leave
/file PATH        send a text file as one message
/full             the last long message in full
/login            take the session back after another login took it
/quit             leave (Ctrl-D too)
A line that begins with // is sent without the first /. Pasted lines are one message.
✓ the server has it for good    … not acknowledged yet, it will be sent again";

/// A typed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Nothing,
    Say(String),
    Help,
    To(String),
    Recent,
    History(u32),
    Who,
    Groups,
    GroupCreate {
        name: String,
        members: Vec<String>,
    },
    GroupInvite(Vec<String>),
    GroupLeave,
    File(String),
    Full,
    Login,
    Quit,
    /// With what to say about it.
    Wrong(String),
}

/// Messages that `/history` shows without a number.
const HISTORY_DEFAULT: u32 = 20;
/// Messages that `/history` shows at most: a page of the protocol.
const HISTORY_MAX: u32 = 500;

pub fn parse(line: &str) -> Command {
    let text = line.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Command::Nothing;
    }
    if let Some(rest) = text.strip_prefix("//") {
        return Command::Say(format!("/{rest}"));
    }
    let Some(command) = text.strip_prefix('/') else { return Command::Say(text.to_owned()) };
    let mut words = command.split_whitespace();
    let word = words.next().unwrap_or_default();
    let rest: Vec<String> = words.map(str::to_owned).collect();
    match (word, rest.as_slice()) {
        ("help" | "h" | "?", _) => Command::Help,
        ("to" | "open" | "t", [name]) => Command::To(name.clone()),
        ("recent" | "r", []) => Command::Recent,
        ("history", []) => Command::History(HISTORY_DEFAULT),
        ("history", [count]) => match count.parse() {
            Ok(count) if (1..=HISTORY_MAX).contains(&count) => Command::History(count),
            _ => Command::Wrong(format!("/history takes a number from 1 to {HISTORY_MAX}")),
        },
        ("who" | "w", []) => Command::Who,
        ("group" | "g", args) => parse_group(args),
        ("file", [_, ..]) => {
            let path = command.strip_prefix("file").unwrap_or_default().trim();
            Command::File(path.to_owned())
        }
        ("full", []) => Command::Full,
        ("login", []) => Command::Login,
        ("quit" | "q" | "exit", _) => Command::Quit,
        _ => Command::Wrong(format!("/{command}: not understood; /help lists what is")),
    }
}

fn parse_group(args: &[String]) -> Command {
    match args {
        [] => Command::Groups,
        [word] if word == "list" => Command::Groups,
        [word] if word == "leave" => Command::GroupLeave,
        [word, name, members @ ..] if word == "create" => {
            Command::GroupCreate { name: name.clone(), members: members.to_vec() }
        }
        [word, members @ ..] if word == "invite" && !members.is_empty() => {
            Command::GroupInvite(members.to_vec())
        }
        [name] if name.bytes().all(|byte| byte.is_ascii_digit()) => {
            Command::To(format!("group:{name}"))
        }
        _ => Command::Wrong("/group, /group create NAME MEMBER…, invite MEMBER…, leave".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_sent_as_it_was_typed() {
        assert_eq!(parse("  hello  world "), Command::Say("  hello  world ".into()));
        assert_eq!(parse("two\nlines"), Command::Say("two\nlines".into()));
        assert_eq!(parse("//etc/hosts"), Command::Say("/etc/hosts".into()));
        assert_eq!(parse(" \t"), Command::Nothing);
    }

    #[test]
    fn commands_take_their_arguments() {
        assert_eq!(parse("/to 小明"), Command::To("小明".into()));
        assert_eq!(parse("/group 20001"), Command::To("group:20001".into()));
        assert_eq!(parse("/history 5"), Command::History(5));
        assert_eq!(parse("/file /tmp/a b.txt"), Command::File("/tmp/a b.txt".into()));
        let create = Command::GroupCreate { name: "x".into(), members: vec!["a".into()] };
        assert_eq!(parse("/group create x a"), create);
        assert!(matches!(parse("/history 0"), Command::Wrong(_)));
        assert!(matches!(parse("/nonsense"), Command::Wrong(_)));
        assert!(matches!(parse("/to"), Command::Wrong(_)));
    }
}
