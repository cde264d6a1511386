//! Requests other than LOGIN and MSG_SEND as types, and what answers them. Knows no connection.

use aldis_wire::{Code, Command, Message, OutFrame, pb};

/// Number of a request of this client, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestNo(pub u64);

/// A request. Those that change something carry a request_id or a natural key, so that the
/// application may repeat one whose outcome it does not know.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // PROTOCOL.md has a section for each
pub enum Request {
    Register(pb::RegisterReq),
    Logout,
    UserGet(pb::UserGetReq),
    UserFind(pb::UserFindReq),
    Sync(pb::MsgSyncReq),
    History(pb::HistoryReq),
    GroupCreate(pb::GroupCreateReq),
    GroupList(pb::GroupListReq),
    GroupMembers(pb::GroupMembersReq),
    GroupInvite(pb::GroupInviteReq),
    GroupLeave(pb::GroupLeaveReq),
}

/// The answer OK to a request.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // as above
pub enum Response {
    Register(pb::RegisterResp),
    Logout,
    UserGet(pb::UserGetResp),
    UserFind(pb::UserFindResp),
    Sync(pb::MsgSyncResp),
    History(pb::HistoryResp),
    GroupCreate(pb::GroupCreateResp),
    GroupList(pb::GroupListResp),
    GroupMembers(pb::GroupMembersResp),
    GroupInvite(pb::GroupInviteResp),
    GroupLeave(pb::GroupLeaveResp),
}

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The server answered so.
    #[error("{code}: {message}")]
    Refused {
        /// Its code; an indefinite one leaves open whether the request had its effect.
        code: Code,
        /// For people.
        message: String,
        /// With RATE_LIMITED and BUSY, ms.
        retry_after_ms: u32,
    },
    /// The connection ended before an answer came; the request may have had its effect.
    #[error("the connection ended before the answer")]
    Lost,
}

impl RequestError {
    /// Whether the request certainly had no effect.
    pub fn is_definite(&self) -> bool {
        matches!(self, RequestError::Refused { code, .. } if code.is_definite())
    }

    /// Whether the same request can succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            RequestError::Refused { code, .. } => code.is_retryable(),
            RequestError::Lost => true,
        }
    }
}

impl Request {
    /// Its command.
    pub fn command(&self) -> Command {
        match self {
            Request::Register(_) => Command::Register,
            Request::Logout => Command::Logout,
            Request::UserGet(_) => Command::UserGet,
            Request::UserFind(_) => Command::UserFind,
            Request::Sync(_) => Command::MsgSync,
            Request::History(_) => Command::History,
            Request::GroupCreate(_) => Command::GroupCreate,
            Request::GroupList(_) => Command::GroupList,
            Request::GroupMembers(_) => Command::GroupMembers,
            Request::GroupInvite(_) => Command::GroupInvite,
            Request::GroupLeave(_) => Command::GroupLeave,
        }
    }

    /// Whether the server works on only one such request of a connection at a time.
    pub(super) fn is_paged_read(&self) -> bool {
        matches!(self, Request::Sync(_) | Request::History(_))
    }

    pub(super) fn frame(&self, seq: u32) -> OutFrame {
        let cmd = self.command().id();
        match self {
            Request::Register(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::Logout => OutFrame::encode(cmd, Code::Ok, seq, &pb::LogoutReq {}),
            Request::UserGet(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::UserFind(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::Sync(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::History(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::GroupCreate(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::GroupList(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::GroupMembers(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::GroupInvite(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
            Request::GroupLeave(body) => OutFrame::encode(cmd, Code::Ok, seq, body),
        }
    }
}

impl Response {
    /// Decodes the OK answer to `request`; `None` if the body is not what the protocol says.
    pub(super) fn decode(request: &Request, body: &[u8]) -> Option<Response> {
        let response = match request {
            Request::Register(_) => Response::Register(pb::RegisterResp::decode(body).ok()?),
            Request::Logout => {
                pb::LogoutResp::decode(body).ok()?;
                Response::Logout
            }
            Request::UserGet(_) => Response::UserGet(pb::UserGetResp::decode(body).ok()?),
            Request::UserFind(_) => Response::UserFind(pb::UserFindResp::decode(body).ok()?),
            Request::Sync(_) => Response::Sync(pb::MsgSyncResp::decode(body).ok()?),
            Request::History(_) => Response::History(pb::HistoryResp::decode(body).ok()?),
            Request::GroupCreate(_) => {
                Response::GroupCreate(pb::GroupCreateResp::decode(body).ok()?)
            }
            Request::GroupList(_) => Response::GroupList(pb::GroupListResp::decode(body).ok()?),
            Request::GroupMembers(_) => {
                Response::GroupMembers(pb::GroupMembersResp::decode(body).ok()?)
            }
            Request::GroupInvite(_) => {
                Response::GroupInvite(pb::GroupInviteResp::decode(body).ok()?)
            }
            Request::GroupLeave(_) => Response::GroupLeave(pb::GroupLeaveResp::decode(body).ok()?),
        };
        Some(response)
    }

    /// Seq of the asking device's own entry, which the server does not push to it; 0: none.
    pub(super) fn own_seq(&self) -> u64 {
        match self {
            Response::GroupCreate(resp) => resp.seq,
            Response::GroupInvite(resp) => resp.seq,
            Response::GroupLeave(resp) => resp.seq,
            _ => 0,
        }
    }
}
