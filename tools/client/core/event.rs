//! What the core tells: events for the application, actions for the driver, observations for a
//! recorder. Data only.

use aldis_wire::{ClientMsgId, Code, Command, Message, pb};

use super::outbox::Outgoing;
use super::request::{Request, RequestError, RequestNo, Response};
use super::stream::Via;

/// What happened, for the application.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A session is open.
    Online(Box<pb::LoginResp>),
    /// LOGIN was refused for good; the core stays stopped until the next `login`.
    LoginFailed {
        /// Why.
        code: Code,
        /// For people.
        message: String,
    },
    /// The connection is gone or did not open; sends wait for the next one.
    Offline {
        /// Why.
        reason: OfflineReason,
        /// Pause before the next try, ms; `None`: there is none.
        retry_in_ms: Option<u64>,
    },
    /// This session was ended on purpose; the core stays stopped until the next `login`.
    Kicked {
        /// Why.
        reason: pb::KickReason,
        /// Of the session that replaced it.
        device_name: String,
    },
    /// The next entry of a stream, in order and without a gap.
    Entry {
        /// 0 for the mailbox.
        stream: u64,
        /// With its seq.
        entry: pb::MessageData,
        /// How it came.
        via: Via,
    },
    /// The server no longer has what followed `local`: the stream goes on at `head`. What lies
    /// between must be read by HISTORY.
    Resynced {
        /// Which.
        stream: u64,
        /// Where it was.
        local: u64,
        /// Where it is now.
        head: u64,
    },
    /// A send is durable. Its own entry follows as `Entry`, unless a sync brought it before.
    SendAcked {
        /// Which.
        client_msg_id: ClientMsgId,
        /// Where it stands.
        ack: pb::MsgSendResp,
    },
    /// A send was refused for good.
    SendFailed {
        /// Which.
        client_msg_id: ClientMsgId,
        /// Why.
        code: Code,
        /// For people.
        message: String,
        /// An earlier try ended without a definite answer and may have been committed.
        maybe_committed: bool,
    },
    /// Something that is in no stream; nobody says it again.
    Told(Told),
    /// A request was answered or its connection ended.
    Response {
        /// Which.
        request: RequestNo,
        /// Its outcome.
        result: Result<Response, RequestError>,
    },
}

/// What is told and not stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Somebody writes something, or does no longer.
    Typing(pb::TypingNotify),
    /// The other of a 1:1 conversation has come further with it.
    Receipt(pb::ReceiptNotify),
    /// Somebody whom this session watches has come or gone.
    Presence(pb::PresenceNotify),
}

impl Told {
    /// What a notification of this kind tells; `None`: it is not one of these, or does not decode.
    pub(super) fn decode(command: Command, body: &[u8]) -> Option<Self> {
        match command {
            Command::TypingNotify => pb::TypingNotify::decode(body).ok().map(Told::Typing),
            Command::ReceiptNotify => pb::ReceiptNotify::decode(body).ok().map(Told::Receipt),
            Command::PresenceNotify => pb::PresenceNotify::decode(body).ok().map(Told::Presence),
            _ => None,
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfflineReason {
    /// It did not open.
    ConnectFailed,
    /// The other end or the network closed it.
    Closed,
    /// Nothing was heard although something was unanswered.
    Silent,
    /// What came is not the protocol.
    BadFrame,
    /// The node is going away.
    Goaway,
    /// LOGIN or a later request was answered so that only a new connection helps.
    Refused(Code),
    /// The application asked for it.
    Asked,
}

/// What the driver must do with its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAction {
    /// Open a connection, then call `handle_connected` or `handle_disconnected`.
    Connect {
        /// `host:port`; `None`: the configured server.
        to: Option<String>,
    },
    /// Close it, without calling `handle_disconnected`.
    Close,
}

/// What went over the wire, for a recorder of histories; only when `Config::observe` is set.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// LOGIN goes out.
    LoginSent {
        /// Username or, with a token, what the state says.
        user: String,
    },
    /// LOGIN was answered.
    LoginDone(Result<Box<pb::LoginResp>, Code>),
    /// The connection ended before LOGIN was answered.
    LoginLost,
    /// A message goes out for the first time.
    SendSent(Outgoing),
    /// The same message goes out again: another try.
    SendAgain(ClientMsgId),
    /// A try was answered so that there will be another one.
    SendRefused {
        /// Which.
        client_msg_id: ClientMsgId,
        /// Why.
        code: Code,
    },
    /// The connection of a try ended before its answer came; there will be another one.
    SendLost(ClientMsgId),
    /// A message was answered for good.
    SendDone {
        /// Which.
        client_msg_id: ClientMsgId,
        /// `Err`: refused, and whether an earlier try may have been committed.
        result: Result<pb::MsgSendResp, (Code, bool)>,
    },
    /// A push arrived, before any rule is applied.
    Push(pb::MsgPushNotify),
    /// A request goes out; syncs by the core's own decision too.
    RequestSent(RequestNo, Request),
    /// It was answered, or its connection ended.
    RequestDone(RequestNo, Result<Response, RequestError>),
}
