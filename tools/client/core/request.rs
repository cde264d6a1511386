//! Requests other than LOGIN and MSG_SEND as types, and what answers them. Knows no connection.

use aldis_wire::{Code, Command, Message, OutFrame, pb};

/// Number of a request of this client, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestNo(pub u64);

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

/// One list of requests, from which the types and their frames follow: command, body and answer.
/// The answers of those that `tell` name the entry that says what was changed.
macro_rules! requests {
    (
        ask { $($ask:ident: $ask_req:ident => $ask_resp:ident,)* }
        tell { $($tell:ident: $tell_req:ident => $tell_resp:ident,)* }
    ) => {
        /// A request. Those that change something carry a request_id or a natural key, so that the
        /// application may repeat one whose outcome it does not know.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // PROTOCOL.md has a section for each
        pub enum Request {
            $($ask(pb::$ask_req),)*
            $($tell(pb::$tell_req),)*
        }

        /// The answer OK to a request.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // as above
        pub enum Response {
            $($ask(pb::$ask_resp),)*
            $($tell(pb::$tell_resp),)*
        }

        impl Request {
            /// Its command.
            pub fn command(&self) -> Command {
                match self {
                    $(Request::$ask(_) => Command::$ask,)*
                    $(Request::$tell(_) => Command::$tell,)*
                }
            }

            pub(super) fn frame(&self, seq: u32) -> OutFrame {
                let cmd = self.command().id();
                match self {
                    $(Request::$ask(body) => OutFrame::encode(cmd, Code::Ok, seq, body),)*
                    $(Request::$tell(body) => OutFrame::encode(cmd, Code::Ok, seq, body),)*
                }
            }
        }

        impl Response {
            /// Decodes the OK answer to `request`; `None` if the body is not what the protocol says.
            pub(super) fn decode(request: &Request, body: &[u8]) -> Option<Response> {
                Some(match request {
                    $(Request::$ask(_) => Response::$ask(pb::$ask_resp::decode(body).ok()?),)*
                    $(Request::$tell(_) => Response::$tell(pb::$tell_resp::decode(body).ok()?),)*
                })
            }

            /// Seq of the asking device's own entry, which the server does not push to it; 0: none.
            pub(super) fn own_seq(&self) -> u64 {
                match self {
                    $(Response::$ask(_) => 0,)*
                    $(Response::$tell(resp) => resp.seq,)*
                }
            }
        }

        $(ask!($ask: $ask_req => $ask_resp);)*
        $(ask!($tell: $tell_req => $tell_resp);)*
    };
}

/// A body of a request, which knows the type of its answer.
pub trait Ask {
    /// The body of the answer OK.
    type Answer;

    /// The request with this body.
    fn request(self) -> Request;

    /// The answer's body; `None`: it is another request's.
    fn answer(response: Response) -> Option<Self::Answer>;
}

macro_rules! ask {
    ($name:ident: $req:ident => $resp:ident) => {
        impl Ask for pb::$req {
            type Answer = pb::$resp;

            fn request(self) -> Request {
                Request::$name(self)
            }

            fn answer(response: Response) -> Option<pb::$resp> {
                match response {
                    Response::$name(body) => Some(body),
                    _ => None,
                }
            }
        }
    };
}

requests! {
    ask {
        Register: RegisterReq => RegisterResp,
        Logout: LogoutReq => LogoutResp,
        UserGet: UserGetReq => UserGetResp,
        UserFind: UserFindReq => UserFindResp,
        MsgSync: MsgSyncReq => MsgSyncResp,
        History: HistoryReq => HistoryResp,
        Search: SearchReq => SearchResp,
        GroupList: GroupListReq => GroupListResp,
        GroupMembers: GroupMembersReq => GroupMembersResp,
        GroupRequests: GroupRequestsReq => GroupRequestsResp,
        FriendList: FriendListReq => FriendListResp,
        Typing: TypingReq => TypingResp,
        ChangePassword: ChangePasswordReq => ChangePasswordResp,
        DeviceList: DeviceListReq => DeviceListResp,
        DeviceRevoke: DeviceRevokeReq => DeviceRevokeResp,
        PresenceQuery: PresenceQueryReq => PresenceQueryResp,
        PresenceSubscribe: PresenceSubscribeReq => PresenceSubscribeResp,
        ConversationList: ConversationListReq => ConversationListResp,
        Receipts: ReceiptsReq => ReceiptsResp,
        Reactions: ReactionsReq => ReactionsResp,
    }
    tell {
        MarkRead: MarkReadReq => MarkReadResp,
        Recall: RecallReq => RecallResp,
        Edit: EditReq => EditResp,
        ConversationUpdate: ConversationUpdateReq => ConversationUpdateResp,
        React: ReactReq => ReactResp,
        GroupCreate: GroupCreateReq => GroupCreateResp,
        GroupInvite: GroupInviteReq => GroupInviteResp,
        GroupLeave: GroupLeaveReq => GroupLeaveResp,
        GroupJoin: GroupJoinReq => GroupJoinResp,
        GroupRemove: GroupRemoveReq => GroupRemoveResp,
        GroupHandleJoin: GroupHandleJoinReq => GroupHandleJoinResp,
        GroupSetRole: GroupSetRoleReq => GroupSetRoleResp,
        GroupTransfer: GroupTransferReq => GroupTransferResp,
        GroupUpdate: GroupUpdateReq => GroupUpdateResp,
        GroupMute: GroupMuteReq => GroupMuteResp,
        GroupDissolve: GroupDissolveReq => GroupDissolveResp,
        FriendApply: FriendApplyReq => FriendApplyResp,
        FriendHandle: FriendHandleReq => FriendHandleResp,
        FriendDelete: FriendDeleteReq => FriendDeleteResp,
        FriendUpdate: FriendUpdateReq => FriendUpdateResp,
        Block: BlockReq => BlockResp,
        Unblock: UnblockReq => UnblockResp,
        UserUpdate: UserUpdateReq => UserUpdateResp,
    }
}

impl Request {
    /// Whether the server works on only one such request of a connection at a time.
    pub(super) fn is_paged_read(&self) -> bool {
        matches!(
            self,
            Request::MsgSync(_)
                | Request::History(_)
                | Request::ConversationList(_)
                | Request::Search(_)
        )
    }
}
