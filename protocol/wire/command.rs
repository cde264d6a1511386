//! Command ids: one list, from which names, responses and tables follow.

/// Makes the commands of one list: names, ids, and what answers what.
macro_rules! commands {
    (
        requests { $($name:ident = $id:literal => $resp:ident = $resp_id:literal,)* }
        notifications { $($notify:ident = $notify_id:literal,)* }
    ) => {
        /// What a frame asks for or announces. A response's id is its request's + 1.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[allow(missing_docs)] // PROTOCOL.md has a section for each
        pub enum Command {
            $($name = $id, $resp = $resp_id,)*
            $($notify = $notify_id,)*
        }

        impl Command {
            /// Every request a client may send, in order of id.
            pub const REQUESTS: [Command; [$($id,)*].len()] = [$(Command::$name,)*];

            /// Every notification, in order of id: sent by the server with seq 0, never answered.
            pub const NOTIFICATIONS: [Command; [$($notify_id,)*].len()] =
                [$(Command::$notify,)*];

            /// The response to this request. Panics for anything but a request: that is our own
            /// bug.
            pub fn response(self) -> Command {
                match self {
                    $(Command::$name => Command::$resp,)*
                    other => unreachable!("{other:?} is not a request"),
                }
            }
        }
    };
}

commands! {
    requests {
        Login = 0x1001 => LoginResp = 0x1002,
        Heartbeat = 0x1003 => HeartbeatResp = 0x1004,
        Register = 0x1006 => RegisterResp = 0x1007,
        Logout = 0x1008 => LogoutResp = 0x1009,
        RefreshToken = 0x100A => RefreshTokenResp = 0x100B,
        ChangePassword = 0x100E => ChangePasswordResp = 0x100F,
        DeviceList = 0x1010 => DeviceListResp = 0x1011,
        DeviceRevoke = 0x1012 => DeviceRevokeResp = 0x1013,
        UserGet = 0x1014 => UserGetResp = 0x1015,
        UserUpdate = 0x1016 => UserUpdateResp = 0x1017,
        UserFind = 0x1018 => UserFindResp = 0x1019,
        MsgSend = 0x2001 => MsgSendResp = 0x2002,
        MsgSync = 0x2004 => MsgSyncResp = 0x2005,
        History = 0x2006 => HistoryResp = 0x2007,
        MarkRead = 0x2008 => MarkReadResp = 0x2009,
        MarkDelivered = 0x200A => MarkDeliveredResp = 0x200B,
        Recall = 0x200C => RecallResp = 0x200D,
        Edit = 0x200E => EditResp = 0x200F,
        Typing = 0x2012 => TypingResp = 0x2013,
        ConversationList = 0x2010 => ConversationListResp = 0x2011,
        Receipts = 0x2016 => ReceiptsResp = 0x2017,
        React = 0x201A => ReactResp = 0x201B,
        Reactions = 0x201C => ReactionsResp = 0x201D,
        ConversationUpdate = 0x201E => ConversationUpdateResp = 0x201F,
        Search = 0x2018 => SearchResp = 0x2019,
        FriendApply = 0x4001 => FriendApplyResp = 0x4002,
        FriendHandle = 0x4003 => FriendHandleResp = 0x4004,
        FriendList = 0x4005 => FriendListResp = 0x4006,
        FriendDelete = 0x4007 => FriendDeleteResp = 0x4008,
        GroupCreate = 0x4009 => GroupCreateResp = 0x400A,
        GroupJoin = 0x400B => GroupJoinResp = 0x400C,
        GroupList = 0x400D => GroupListResp = 0x400E,
        GroupMembers = 0x400F => GroupMembersResp = 0x4010,
        GroupInvite = 0x4011 => GroupInviteResp = 0x4012,
        GroupLeave = 0x4013 => GroupLeaveResp = 0x4014,
        GroupRemove = 0x4015 => GroupRemoveResp = 0x4016,
        GroupHandleJoin = 0x4017 => GroupHandleJoinResp = 0x4018,
        GroupSetRole = 0x4019 => GroupSetRoleResp = 0x401A,
        GroupTransfer = 0x401B => GroupTransferResp = 0x401C,
        GroupUpdate = 0x401D => GroupUpdateResp = 0x401E,
        GroupMute = 0x401F => GroupMuteResp = 0x4020,
        GroupDissolve = 0x4021 => GroupDissolveResp = 0x4022,
        FriendUpdate = 0x4023 => FriendUpdateResp = 0x4024,
        Block = 0x4025 => BlockResp = 0x4026,
        Unblock = 0x4027 => UnblockResp = 0x4028,
        GroupRequests = 0x4029 => GroupRequestsResp = 0x402A,
        PresenceQuery = 0x5001 => PresenceQueryResp = 0x5002,
        PresenceSubscribe = 0x5003 => PresenceSubscribeResp = 0x5004,
    }
    notifications {
        KickNotify = 0x1005,
        GoawayNotify = 0x100C,
        MsgPushNotify = 0x2003,
        TypingNotify = 0x2014,
        ReceiptNotify = 0x2020,
        PresenceNotify = 0x5005,
    }
}

impl Command {
    /// The request with this id; `None` for responses, notifications and unknown ids.
    pub fn request(id: u16) -> Option<Command> {
        Command::REQUESTS.into_iter().find(|command| command.id() == id)
    }

    /// The command that a server may send with this id: a response or a notification.
    pub fn from_server(id: u16) -> Option<Command> {
        let notification = Command::NOTIFICATIONS.into_iter().find(|command| command.id() == id);
        notification
            .or_else(|| Command::request(id.wrapping_sub(1)).map(|request| request.response()))
    }

    /// The id on the wire.
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// May be sent before LOGIN was answered OK.
    pub fn allowed_before_login(self) -> bool {
        matches!(self, Command::Login | Command::Register | Command::Heartbeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_its_request_plus_one() {
        for request in Command::REQUESTS {
            assert_eq!(request.response().id(), request.id() + 1, "{request:?}");
            assert_eq!(Command::request(request.id()), Some(request));
            assert_eq!(Command::from_server(request.id() + 1), Some(request.response()));
            assert_eq!(Command::request(request.id() + 1), None);
        }
    }

    #[test]
    fn notifications_are_no_requests() {
        for notification in Command::NOTIFICATIONS {
            assert_eq!(Command::request(notification.id()), None);
            assert_eq!(Command::from_server(notification.id()), Some(notification));
        }
    }
}
