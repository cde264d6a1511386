//! What a service knows of one connection, and in which state its session is. Small: an idle
//! logged-in connection costs this and its entry in the session table.

use std::net::IpAddr;

use aldis_wire::limits::GROUPS_PER_USER_MAX;
use aldis_wire::{ClientMsgId, ConversationKey, DeviceClass, GroupId, Seq, UserId};

use crate::aside::Aside;
use crate::hold_back::HoldBack;
use crate::job::{FailedSend, Generations, NewUser, NodeId, SessionOpened};
use crate::table::Online;

/// Conversations with a failed send that a connection may have open. A client that has more does
/// not follow the protocol, which asks it to send the failed one again first.
pub(crate) const FAILED_SENDS_MAX: usize = 256;

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// Of the connection's handle.
    pub generation: u32,
    /// Requests that were taken and not answered yet.
    pub in_flight: u16,
    /// Failures of the writer that were known when the first of them was taken.
    pub fence: u32,
    /// One of them is a MSG_SYNC, HISTORY, CONVERSATION_LIST or SEARCH.
    pub is_paging: bool,
    /// What the MSG_SYNC under way asked for.
    pub page_after: Seq,
    /// A LOGOUT is under way: frames behind it wait, and nobody is there for them if it succeeds.
    pub is_leaving: bool,
    /// A frame had to wait for something of this session; the next reply resumes it.
    pub is_waiting: bool,
    /// The client sends nothing more; it is closed when everything it asked is answered.
    pub is_half_closed: bool,
    /// Pushes were dropped; a hint goes out when it has caught up.
    pub is_behind: bool,
    /// The directory was not told of it, for want of room.
    pub is_unlisted: bool,
    /// Its close was asked for: nothing is taken or sent any more.
    pub is_closing: bool,
    /// It counts among those of its address that are not logged in.
    pub is_stranger: bool,
    /// Where it came from.
    pub address: IpAddr,
    /// See there.
    pub state: State,
    /// See there.
    pub aside: Option<Box<Aside>>,
    /// Conversations whose sends fail until the named one is sent again.
    pub failed_sends: Vec<FailedConversation>,
}

/// The states of a session.
#[derive(Debug)]
pub(crate) enum State {
    /// Not logged in.
    Fresh,
    /// A REGISTER is under way.
    Registering(Box<Registering>),
    /// A LOGIN is under way.
    LoggingIn(Box<LoggingIn>),
    /// Logged in.
    Online(OnlineSession),
}

/// A REGISTER under way.
#[derive(Debug)]
pub(crate) struct Registering {
    pub request: u32,
    pub user: NewUser,
    /// Until it is hashed.
    pub password: String,
}

/// A LOGIN under way.
#[derive(Debug)]
pub(crate) struct LoggingIn {
    pub request: u32,
    /// When it arrived, mono ms.
    pub asked_ms: u64,
    /// 0 until the credentials named somebody.
    pub user: UserId,
    pub device_id: String,
    pub device_name: String,
    pub class: DeviceClass,
    /// With a password only: the account as the throttle knows it, and the password.
    pub username: String,
    pub password: String,
    /// With a token only.
    pub generations: Option<Generations>,
    /// From the store.
    pub opened: Option<SessionOpened>,
    /// Once it stands in the node's table.
    pub entered: Option<Online>,
    /// Highest seq delivered since then; LOGIN_RESP must come first.
    pub head: Seq,
    /// Where there may be an older session of the class, besides this node.
    pub replaced: Replaced,
}

/// A session whose place a LOGIN takes, as the directory tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// There is none that this node does not know.
    #[default]
    Nobody,
    /// On this node.
    On(NodeId),
    /// Nobody knows.
    Unknown,
}

/// Streams that a client may be told of: all that a user can follow, and as many that are over and that it
/// has not read to their ends. Beyond that those are forgotten first.
const STREAM_HEADS_MAX: usize = 2 * GROUPS_PER_USER_MAX;

/// The highest entry of each stream that a client was told of, or is being told of.
#[derive(Debug, Default)]
pub(crate) struct StreamHeads {
    /// In no order; few.
    heads: Vec<ToldStream>,
}

/// A stream that a client was told of, until it has read it to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToldStream {
    pub group: GroupId,
    /// The highest entry.
    pub head: Seq,
    /// The store said that it is over for the user, and `head` is its end.
    pub is_over: bool,
}

impl StreamHeads {
    /// Raises one; says what it was before.
    pub fn raise(&mut self, group: GroupId, head: Seq) -> Seq {
        match self.heads.iter_mut().find(|told| told.group == group) {
            Some(told) => {
                let before = told.head;
                if head > before {
                    // Above an end it is another stay.
                    (told.head, told.is_over) = (head, false);
                }
                before
            }
            None => {
                if self.heads.len() >= STREAM_HEADS_MAX
                    && let Some(at) = self.heads.iter().position(|told| told.is_over)
                {
                    self.heads.swap_remove(at);
                }
                self.heads.push(ToldStream { group, head, is_over: false });
                Seq(0)
            }
        }
    }

    /// It is over for the user with the entry `end`. True: the client was not told of that one. What it
    /// was told of above it, as of another stay, stands.
    pub fn end(&mut self, group: GroupId, end: Seq) -> bool {
        let told = self.heads.iter_mut().find(|told| told.group == group && told.head <= end);
        let Some(told) = told else { return false };
        let is_news = told.head < end;
        (told.head, told.is_over) = (end, true);
        is_news
    }

    /// The client has read it to its end.
    pub fn forget(&mut self, group: GroupId) {
        self.heads.retain(|told| told.group != group);
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = ToldStream> {
        self.heads.iter().copied()
    }
}

/// A session that is logged in.
#[derive(Debug)]
pub(crate) struct OnlineSession {
    pub user: UserId,
    pub online: Online,
    pub generations: Generations,
    /// Highest seq of the mailbox that the client was told of, or is being told of.
    pub head: Seq,
    /// Entries below it that did not come yet, and those that wait for them.
    pub hold: Option<Box<HoldBack>>,
    /// See there. `None`: none was told of.
    pub streams: Option<Box<StreamHeads>>,
    pub device_id: Box<str>,
}

const _: () = assert!(size_of::<Session>() <= 160, "10,000 idle sessions are a figure we publish");

impl Session {
    pub fn new(generation: u32, address: IpAddr) -> Self {
        Self {
            generation,
            in_flight: 0,
            fence: 0,
            is_paging: false,
            is_leaving: false,
            page_after: Seq(0),
            is_waiting: false,
            is_half_closed: false,
            is_behind: false,
            is_unlisted: false,
            is_closing: false,
            is_stranger: true,
            address,
            state: State::Fresh,
            aside: None,
            failed_sends: Vec::new(),
        }
    }

    pub fn online(&self) -> Option<&OnlineSession> {
        match &self.state {
            State::Online(online) => Some(online),
            _ => None,
        }
    }

    /// Where deliveries of this user raise the head; `None` if it is somebody else's by now.
    pub fn head_of(&mut self, user: UserId) -> Option<&mut Seq> {
        match &mut self.state {
            State::Online(online) if online.user == user => Some(&mut online.head),
            State::LoggingIn(login) if login.user == user => Some(&mut login.head),
            _ => None,
        }
    }

    /// The client is told that a stream reaches up to here; says up to where it was told before.
    /// `None`: it is not logged in, and its LOGIN_RESP will say it.
    pub fn tell_stream(&mut self, group: GroupId, head: Seq) -> Option<Seq> {
        match &mut self.state {
            State::Online(online) => {
                Some(online.streams.get_or_insert_default().raise(group, head))
            }
            _ => None,
        }
    }

    /// Streams that the client was told of.
    pub fn streams(&mut self) -> Option<&mut StreamHeads> {
        match &mut self.state {
            State::Online(online) => online.streams.as_deref_mut(),
            _ => None,
        }
    }

    /// The entry in the node's table, if there is one.
    pub fn entered(&self) -> Option<(UserId, Online)> {
        match &self.state {
            State::Online(online) => Some((online.user, online.online)),
            State::LoggingIn(login) => login.entered.map(|online| (login.user, online)),
            _ => None,
        }
    }

    /// What the store opened for a LOGIN that is not answered yet.
    pub fn opened(&self) -> Option<SessionOpened> {
        match &self.state {
            State::LoggingIn(login) => login.opened.clone(),
            _ => None,
        }
    }

    /// Whether this send must fail because an earlier one of its conversation did. The failed one
    /// itself, sent again, opens the conversation.
    pub fn is_behind_failed_send(
        &mut self,
        conversation: ConversationKey,
        id: ClientMsgId,
    ) -> bool {
        let known =
            self.failed_sends.iter_mut().find(|known| known.send.conversation == conversation);
        let Some(known) = known else { return false };
        known.is_open |= known.send.client_msg_id == id;
        !known.is_open
    }

    /// Remembers the first failed send of a conversation. Those that failed with it and are
    /// answered after the client began again change nothing: it sends them again anyway.
    /// False: there are too many.
    #[must_use]
    pub fn remember_failed_send(&mut self, send: FailedSend, fence: u32) -> bool {
        let failed = &mut self.failed_sends;
        match failed.iter_mut().find(|known| known.send.conversation == send.conversation) {
            Some(known) if known.is_open && known.fence != fence => {
                *known = FailedConversation { send, fence, is_open: false };
            }
            Some(_) => {}
            None => failed.push(FailedConversation { send, fence, is_open: false }),
        }
        failed.len() <= FAILED_SENDS_MAX
    }

    /// A send was refused before anything was done about it, and will be sent again: its conversation
    /// waits for it, whatever became of earlier ones. False: there are too many.
    #[must_use]
    pub fn hold_up(&mut self, send: FailedSend, fence: u32) -> bool {
        self.failed_sends.retain(|known| known.send.conversation != send.conversation);
        self.failed_sends.push(FailedConversation { send, fence, is_open: false });
        self.failed_sends.len() <= FAILED_SENDS_MAX
    }

    /// Nothing is in flight any more: no late answer can come for conversations that are open.
    pub fn forget_open_conversations(&mut self) {
        self.failed_sends.retain(|known| !known.is_open);
    }
}

/// A conversation in which a send got a retryable answer.
#[derive(Debug)]
pub(crate) struct FailedConversation {
    /// The first one that failed.
    send: FailedSend,
    /// The failure of the store that it fell to.
    fence: u32,
    /// It was sent again.
    is_open: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(id: u8) -> FailedSend {
        let conversation = ConversationKey { lo: 1, hi: 2 };
        FailedSend { conversation, client_msg_id: ClientMsgId([id; 16]) }
    }

    #[test]
    fn a_failed_send_holds_its_conversation_until_it_is_sent_again() {
        let mut session = Session::new(0, IpAddr::from([127, 0, 0, 1]));
        let key = send(1).conversation;
        assert!(session.remember_failed_send(send(1), 1));
        assert!(session.remember_failed_send(send(2), 1));
        assert!(session.is_behind_failed_send(key, ClientMsgId([2; 16])));
        assert!(
            !session.is_behind_failed_send(ConversationKey { lo: 1, hi: 3 }, ClientMsgId([2; 16]))
        );
        assert!(!session.is_behind_failed_send(key, ClientMsgId([1; 16])));
        assert!(!session.is_behind_failed_send(key, ClientMsgId([2; 16])));
        // The third fell to the same failure and is answered late.
        assert!(session.remember_failed_send(send(3), 1));
        assert!(!session.is_behind_failed_send(key, ClientMsgId([4; 16])));
        // Another failure holds it again.
        assert!(session.remember_failed_send(send(4), 2));
        assert!(session.is_behind_failed_send(key, ClientMsgId([5; 16])));
        session.forget_open_conversations();
        assert!(!session.failed_sends.is_empty());
        assert!(!session.is_behind_failed_send(key, ClientMsgId([4; 16])));
        session.forget_open_conversations();
        assert!(session.failed_sends.is_empty());
    }

    #[test]
    fn the_end_of_a_stream_is_news_once_and_above_it_is_another_stay() {
        let (mut streams, group) = (StreamHeads::default(), GroupId(7));
        assert!(!streams.end(group, Seq(9)), "nothing was told of it");
        streams.raise(group, Seq(5));
        assert!(streams.end(group, Seq(9)));
        assert!(!streams.end(group, Seq(9)));
        streams.raise(group, Seq(9));
        assert!(streams.all().all(|told| told.is_over && told.head == Seq(9)));
        streams.raise(group, Seq(12));
        assert!(!streams.end(group, Seq(9)), "an answer of before");
        assert!(streams.all().all(|told| !told.is_over && told.head == Seq(12)));
        streams.forget(group);
        assert_eq!(streams.all().count(), 0);
    }

    #[test]
    fn streams_that_are_over_make_room_for_others() {
        let mut streams = StreamHeads::default();
        for group in 1..=STREAM_HEADS_MAX as u64 {
            streams.raise(GroupId(group), Seq(1));
        }
        streams.end(GroupId(3), Seq(2));
        streams.raise(GroupId(0), Seq(1));
        assert_eq!(streams.all().count(), STREAM_HEADS_MAX);
        assert!(streams.all().all(|told| told.group != GroupId(3)));
    }

    #[test]
    fn failed_conversations_are_bounded() {
        let mut session = Session::new(0, IpAddr::from([127, 0, 0, 1]));
        for hi in 0..=FAILED_SENDS_MAX as u64 {
            let conversation = ConversationKey { lo: 0, hi };
            let failed = FailedSend { conversation, client_msg_id: ClientMsgId([0; 16]) };
            assert_eq!(session.remember_failed_send(failed, 1), hi < FAILED_SENDS_MAX as u64);
        }
    }
}
