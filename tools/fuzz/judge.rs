//! The oracles for one frame of the server: is it one that PROTOCOL.md allows here, and is whoever gets
//! it entitled to what is in it. Knows no socket.

use aldis_wire::{Code, Command, Header, is_allowed};
use prost_reflect::{DynamicMessage, ReflectMessage, Value};

use crate::case::State;
use crate::finding::{Kind, Problem};
use crate::table::{Table, documented_name};

/// What is known of a connection when a frame arrives on it.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// When the request was sent that is answered, or now.
    pub state: State,
    /// Who is logged in.
    pub user: Option<u64>,
    /// Whether something was sent that may be taken for a LOGIN.
    pub may_be_login: bool,
    /// Whether bytes were sent whose meaning is the server's to say.
    pub is_wild: bool,
    /// The command's id that has this seq, if one was sent.
    pub asked: Option<u16>,
    /// Whether that frame's header was as it should be, and its body not too long.
    pub is_framed: bool,
}

/// The oracles and what they compare with.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// Messages and codes.
    pub table: Table,
    /// What only the victim may see.
    pub secret: Vec<u8>,
    /// The victim, and whom it writes to.
    pub entitled: Vec<u64>,
}

impl Judge {
    /// What is wrong with a frame.
    pub fn judge(&self, context: &Context, header: Header, body: &[u8]) -> Option<Problem> {
        if let Some(problem) = self.disclosure(context, body, header.cmd) {
            return Some(problem);
        }
        let Some(code) = Code::from_u16(header.code) else {
            let what = format!("code {} of command {:#06x} is unknown", header.code, header.cmd);
            return Some(Problem::new(Kind::BadReply, "code", what));
        };
        let notification = Command::NOTIFICATIONS.into_iter().find(|c| c.id() == header.cmd);
        if let Some(command) = notification.filter(|_| header.seq == 0 && code == Code::Ok) {
            return self.notification(context, command, body);
        }
        self.response(context, header, code, body)
    }

    fn notification(&self, context: &Context, command: Command, body: &[u8]) -> Option<Problem> {
        let name = documented_name(command);
        let Some(message) = self.table.notification(command, body) else {
            return Some(Problem::new(Kind::BadReply, name, "its body does not decode"));
        };
        // A draining node says so to everybody.
        if context.user.is_none() && !context.may_be_login && command != Command::GoawayNotify {
            let what = "a notification on a connection that is not logged in";
            return Some(Problem::new(Kind::Unauthenticated, name, what));
        }
        self.strange_entry(context, &name, &message)
    }

    fn response(
        &self,
        context: &Context,
        header: Header,
        code: Code,
        body: &[u8],
    ) -> Option<Problem> {
        let request = header.cmd.wrapping_sub(1);
        let command = Command::request(request);
        let name = command.map_or(format!("{request:#06x}"), documented_name);
        let about = format!("{name} {code}");
        if context.state.is_over() {
            let what = format!("{name} was answered {code} on a connection that is over");
            return Some(Problem::new(Kind::AfterEnd, about, what));
        }
        match context.asked {
            Some(asked) if asked == request => {}
            _ if context.is_wild => {}
            asked => {
                let what =
                    format!("an answer {header:?} to what nobody asked; asked was {asked:?}");
                return Some(Problem::new(Kind::BadReply, name, what));
            }
        }
        let may_be_no_frame = context.is_wild || !context.is_framed;
        if code == Code::Internal {
            let what = format!("{name} was answered INTERNAL");
            return Some(Problem::new(Kind::Internal, name, what));
        }
        let is_right = match (command, code) {
            (_, Code::BadFrame) => may_be_no_frame,
            (Some(command), code) => is_allowed(command, code),
            (None, code) => code == Code::Unsupported,
        };
        if !is_right {
            let what = format!("{name} must not be answered {code} ({})", context.state.name());
            return Some(Problem::new(Kind::WrongCode, about, what));
        }
        let is_before_login = context.user.is_none() && !context.may_be_login && !context.is_wild;
        if let Some(command) = command
            && is_before_login
            && !command.allowed_before_login()
            && !matches!(code, Code::NotLoggedIn | Code::BadFrame)
        {
            let what = format!("{name} was answered {code} before any login");
            return Some(Problem::new(Kind::Unauthenticated, name, what));
        }
        self.body(context, command, code, body, &about)
    }

    fn body(
        &self,
        context: &Context,
        command: Option<Command>,
        code: Code,
        body: &[u8],
        about: &str,
    ) -> Option<Problem> {
        let bad = |what: &str| Some(Problem::new(Kind::BadReply, about, what));
        let Some(command) = command.filter(|_| code == Code::Ok) else {
            let Some(error) = self.table.error(body) else {
                return bad("the body is no Error");
            };
            let text = |name| error.get_field_by_name(name).map(|value| value.into_owned());
            if text("message") == Some(Value::String(String::new())) {
                return bad("the error does not say why");
            }
            let says_when = text("retry_after_ms") != Some(Value::U32(0));
            if says_when != matches!(code, Code::RateLimited | Code::Busy) {
                return bad("retry_after_ms goes with RATE_LIMITED and BUSY");
            }
            return None;
        };
        match self.table.response(command, body) {
            None => bad("the body does not decode"),
            Some(message) => self.strange_entry(context, &documented_name(command), &message),
        }
    }

    /// The victim's secret where it must not be.
    fn disclosure(&self, context: &Context, body: &[u8], cmd: u16) -> Option<Problem> {
        let is_entitled = context.user.is_some_and(|user| self.entitled.contains(&user));
        if is_entitled || !contains(body, &self.secret) {
            return None;
        }
        let name = Command::from_server(cmd).map_or(format!("{cmd:#06x}"), |c| format!("{c:?}"));
        let who = context.user.map_or("somebody unknown".to_owned(), |user| format!("user {user}"));
        let what = format!("{who} got what only the victim may see, in {name}");
        Some(Problem::new(Kind::Disclosed, name, what))
    }

    /// An entry of a conversation of two that is somebody else's.
    fn strange_entry(
        &self,
        context: &Context,
        name: &str,
        message: &DynamicMessage,
    ) -> Option<Problem> {
        // Who logs in within a wild connection is not known.
        let user = context.user.filter(|_| !context.is_wild)?;
        let mut strangers = Vec::new();
        entries(message, &mut |entry| {
            let number = |field| entry.get_field_by_name(field).and_then(|v| v.as_u64());
            let [sender, receiver, group] =
                ["sender_id", "receiver_id", "group_id"].map(|field| number(field).unwrap_or(0));
            if group == 0 && receiver != 0 && user != sender && user != receiver {
                strangers.push((sender, receiver));
            }
        });
        let (sender, receiver) = *strangers.first()?;
        let what = format!("user {user} got an entry from {sender} to {receiver}");
        Some(Problem::new(Kind::Disclosed, name, what))
    }
}

/// Calls `found` for every MessageData within a message.
fn entries(message: &DynamicMessage, found: &mut impl FnMut(&DynamicMessage)) {
    if message.descriptor().full_name() == "aldis.MessageData" {
        found(message);
    }
    for (_, value) in message.fields() {
        match value {
            Value::Message(inner) => entries(inner, found),
            Value::List(values) => {
                for inner in values.iter().filter_map(Value::as_message) {
                    entries(inner, found);
                }
            }
            _ => {}
        }
    }
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    !what.is_empty() && bytes.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
    use aldis_wire::{Message, pb};

    use super::*;

    const LOGGED_IN: Context = Context {
        state: State::LoggedIn,
        user: Some(7),
        may_be_login: true,
        is_wild: false,
        asked: Some(Command::History as u16),
        is_framed: true,
    };

    fn judged(context: &Context, code: Code, body: &impl Message) -> Option<Kind> {
        let judge = Judge { secret: b"the secret".to_vec(), entitled: vec![9], ..Judge::default() };
        let body = body.encode_to_vec();
        let cmd = Command::HistoryResp.id();
        let header = Header { cmd, code: code.as_u16(), seq: 1, len: body.len() as u32 };
        judge.judge(context, header, &body).map(|problem| problem.kind)
    }

    fn page(sender_id: u64, content: &str) -> pb::HistoryResp {
        let content = content.as_bytes().to_vec().into();
        let entry = pb::MessageData { sender_id, receiver_id: 8, content, ..Default::default() };
        pb::HistoryResp { entries: vec![entry], ..Default::default() }
    }

    fn error(message: &str, retry_after_ms: u32) -> pb::Error {
        pb::Error { message: message.into(), retry_after_ms }
    }

    #[test]
    fn what_the_document_allows_passes() {
        assert_eq!(judged(&LOGGED_IN, Code::Ok, &page(7, "mine")), None);
        assert_eq!(judged(&LOGGED_IN, Code::NotFound, &error("no", 0)), None);
        assert_eq!(judged(&LOGGED_IN, Code::RateLimited, &error("no", 5)), None);
        let fresh = Context { state: State::Fresh, user: None, may_be_login: false, ..LOGGED_IN };
        assert_eq!(judged(&fresh, Code::NotLoggedIn, &error("no", 0)), None);
        let victim = Context { user: Some(9), ..LOGGED_IN };
        assert_eq!(judged(&victim, Code::Ok, &page(9, "the secret")), None);
    }

    #[test]
    fn each_oracle_speaks() {
        let fresh = Context { state: State::Fresh, user: None, may_be_login: false, ..LOGGED_IN };
        let kicked = Context { state: State::Kicked, ..LOGGED_IN };
        let not_asked = Context { asked: None, ..LOGGED_IN };
        let cases = [
            (&LOGGED_IN, Code::Conflict, error("no", 0), Kind::WrongCode),
            (&LOGGED_IN, Code::BadFrame, error("no", 0), Kind::WrongCode),
            (&LOGGED_IN, Code::Internal, error("no", 0), Kind::Internal),
            (&LOGGED_IN, Code::NotFound, error("", 0), Kind::BadReply),
            (&LOGGED_IN, Code::NotFound, error("no", 5), Kind::BadReply),
            (&LOGGED_IN, Code::RateLimited, error("no", 0), Kind::BadReply),
            (&not_asked, Code::NotFound, error("no", 0), Kind::BadReply),
            (&fresh, Code::NotFound, error("no", 0), Kind::Unauthenticated),
            (&kicked, Code::NotFound, error("no", 0), Kind::AfterEnd),
        ];
        for (context, code, body, kind) in cases {
            assert_eq!(judged(context, code, &body), Some(kind), "{code}");
        }
        let found = judged(&fresh, Code::Ok, &pb::HistoryResp::default());
        assert_eq!(found, Some(Kind::Unauthenticated));
        assert_eq!(judged(&LOGGED_IN, Code::Ok, &page(6, "others'")), Some(Kind::Disclosed));
        assert_eq!(judged(&LOGGED_IN, Code::Ok, &page(7, "the secret")), Some(Kind::Disclosed));
    }
}
