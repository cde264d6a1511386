//! The tables: who gets which answer. Knows no server.
//!
//! O: OK. L: NOT_LOGGED_IN. N: NOT_FOUND. F: FORBIDDEN. B: BAD_REQUEST. C: BAD_CREDENTIALS. A dot:
//! there is no such case.

use aldis_wire::{Code, Command};

/// Commands that concern only the one who asks.
pub const SESSIONS: &str = "
                                        nobody  user
LOGIN                                   O       F
HEARTBEAT                               O       O
REGISTER                                O       F
LOGOUT                                  L       O
REFRESH_TOKEN                           L       O
USER_GET                                L       O
USER_FIND                               L       O
MSG_SYNC                                L       O
MSG_SYNC of another's stream            L       N
MARK_DELIVERED                          L       O
MARK_DELIVERED in another's stream      L       N
CHANGE_PASSWORD without the old one     L       C
DEVICE_LIST                             L       O
DEVICE_REVOKE of another's              L       N
USER_UPDATE                             L       O
SEARCH                                  L       O
CONVERSATION_LIST                       L       O
FRIEND_LIST                             L       O
GROUP_CREATE                            L       O
GROUP_CREATE with somebody missing      L       N
GROUP_LIST                              L       O
";

/// Commands towards another user, who
/// - asked: wants to be a friend of the one who asks
/// - dropped: took the one who asks off the list of friends
/// - barred: blocks the one who asks
/// - bars: is blocked by the one who asks
pub const USERS: &str = "
                        nobody self stranger friend asked dropped barred bars missing
MSG_SEND                L      O    O        O      O     F       F      F    N
TYPING                  L      O    O        O      O     F       F      F    N
PRESENCE_QUERY          L      O    O        O      O     O       O      O    O
PRESENCE_SUBSCRIBE      L      O    O        O      O     O       O      O    O
HISTORY                 L      O    O        O      O     O       O      O    O
SEARCH                  L      O    O        O      O     O       O      O    O
MARK_READ               L      O    O        O      O     O       O      O    N
RECALL of one's own     L      O    O        O      O     O       O      O    N
RECALL of the other's   L      .    F        F      F     F       F      F    N
EDIT of one's own       L      O    O        O      O     F       F      F    N
EDIT of the other's     L      .    F        F      F     F       F      F    N
CONVERSATION_UPDATE     L      O    O        O      O     O       O      O    N
RECEIPTS                L      O    O        O      O     O       O      O    O
REACT                   L      O    O        O      O     F       F      F    N
REACTIONS               L      O    O        O      O     O       O      O    N
FRIEND_APPLY            L      B    O        O      O     O       F      F    N
FRIEND_HANDLE           L      B    N        O      O     O       F      F    N
FRIEND_DELETE           L      B    N        O      N     O       N      N    N
FRIEND_UPDATE           L      B    N        O      N     O       N      N    N
BLOCK                   L      B    O        O      O     O       O      O    N
UNBLOCK                 L      B    O        O      O     O       O      O    N
";

/// Commands towards a group, of which the one who asks is what the column says. In the group are
/// also its owner (but where that is the one who asks), a plain member and an admin.
pub const GROUPS: &str = "
                                nobody outsider member muted admin owner left removed ended missing
MSG_SEND                        L      N        O      F     O     O     N    N       N     N
TYPING                          L      N        O      F     O     O     N    N       N     N
HISTORY                         L      N        O      O     O     O     O    O       O     N
SEARCH                          L      O        O      O     O     O     O    O       O     O
MARK_READ                       L      N        O      O     O     O     O    O       O     N
RECALL of one's own             L      .        O      O     O     O     N    N       N     N
RECALL of the other's           L      N        F      F     O     O     N    N       N     N
EDIT of one's own               L      .        O      F     O     O     N    N       N     N
EDIT of the other's             L      N        F      F     F     F     N    N       N     N
CONVERSATION_UPDATE             L      N        O      O     O     O     O    O       O     N
RECEIPTS                        L      N        O      O     O     O     N    N       N     N
REACT                           L      N        O      F     O     O     N    N       N     N
REACTIONS                       L      N        O      O     O     O     N    N       N     N
GROUP_MEMBERS                   L      N        O      O     O     O     N    N       N     N
GROUP_INVITE                    L      N        O      O     O     O     N    N       N     N
GROUP_JOIN                      L      O        O      O     O     O     O    O       N     N
GROUP_LEAVE                     L      N        O      O     O     O     O    O       O     N
GROUP_REMOVE of the member      L      N        F      F     O     O     N    N       N     N
GROUP_REMOVE of the admin       L      N        F      F     F     O     N    N       N     N
GROUP_REMOVE of the owner       L      N        F      F     F     .     N    N       N     N
GROUP_HANDLE_JOIN               L      N        F      F     O     O     N    N       N     N
GROUP_SET_ROLE                  L      N        F      F     F     O     N    N       N     N
GROUP_TRANSFER                  L      N        F      F     F     O     N    N       N     N
GROUP_UPDATE                    L      N        F      F     O     O     N    N       N     N
GROUP_UPDATE of open_history    L      N        F      F     O     O     N    N       N     N
GROUP_MUTE of the member        L      N        F      F     O     O     N    N       N     N
GROUP_MUTE of the admin         L      N        F      F     F     O     N    N       N     N
GROUP_MUTE of all               L      N        F      F     O     O     N    N       N     N
GROUP_DISSOLVE                  L      N        F      F     F     O     N    N       O     N
GROUP_REQUESTS                  L      N        F      F     O     O     N    N       N     N
";

/// A table as it is checked.
pub struct Matrix {
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    pub rows: Vec<Row>,
}

/// What one request gets.
pub struct Row {
    /// As it stands in the table: the command and which of its cases.
    pub name: String,
    pub command: Command,
    /// By column; `None`: there is no such case.
    pub codes: Vec<Option<Code>>,
}

impl Matrix {
    /// Panics if the text is no table.
    pub fn parse(text: &'static str) -> Self {
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let columns: Vec<&str> = lines.next().expect("a header").split_whitespace().collect();
        let rows = lines.map(|line| Row::parse(line, columns.len())).collect();
        Self { columns, rows }
    }
}

impl Row {
    fn parse(line: &str, column_count: usize) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, letters) = words.split_at(words.len() - column_count);
        Self {
            name: name.join(" "),
            command: command(name[0]),
            codes: letters.iter().map(|letter| code(letter)).collect(),
        }
    }
}

fn code(letter: &str) -> Option<Code> {
    match letter {
        "O" => Some(Code::Ok),
        "L" => Some(Code::NotLoggedIn),
        "N" => Some(Code::NotFound),
        "F" => Some(Code::Forbidden),
        "B" => Some(Code::BadRequest),
        "C" => Some(Code::BadCredentials),
        "." => None,
        other => panic!("no letter of the table: {other}"),
    }
}

/// The command with a name as in PROTOCOL.md.
fn command(name: &str) -> Command {
    let camel: String = name
        .split('_')
        .flat_map(|word| {
            let (first, rest) = word.split_at(1);
            [first.to_owned(), rest.to_lowercase()]
        })
        .collect();
    let known = Command::REQUESTS.into_iter().find(|known| format!("{known:?}") == camel);
    known.unwrap_or_else(|| panic!("no command {name}"))
}
