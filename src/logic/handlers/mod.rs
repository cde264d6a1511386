//! One file per command, named like it. Each has `handle` (the request; an error is answered at
//! once) and, where a job was started, what its result becomes.

use aldis_wire::limits::DISPLAY_NAME_BYTES_MAX;
use aldis_wire::name::{is_display_name, is_plain_line};
use aldis_wire::{Code, Command, ConversationKey, GroupId, Seq, UserId, pb};

use crate::class::Class;
use crate::job::{
    GroupChange, GroupJob, HashResult, JobError, LocateReply, ReadResult, Ticket, Verdict,
    WriteJob, Written,
};
use crate::planted::{RequestBug, is_active};
use crate::request::{Refusal, Request};
use crate::service::Service;
use crate::session::OnlineSession;

pub(crate) mod account;
mod block;
mod change_password;
mod conversation_list;
mod conversation_update;
mod device_list;
mod device_revoke;
mod edit;
mod friend;
mod friend_apply;
mod friend_delete;
mod friend_handle;
mod friend_list;
mod friend_update;
mod group_create;
mod group_dissolve;
mod group_handle_join;
mod group_invite;
mod group_join;
mod group_leave;
mod group_list;
mod group_members;
mod group_mute;
mod group_remove;
mod group_requests;
mod group_set_role;
mod group_transfer;
mod group_update;
pub(crate) mod head_check;
mod heartbeat;
mod history;
pub(crate) mod login;
mod logout;
mod mark_delivered;
mod mark_read;
mod msg_send;
mod msg_sync;
pub(crate) mod presence;
mod presence_query;
pub(crate) mod presence_subscribe;
mod react;
mod reactions;
mod recall;
pub(crate) mod receipt_notify;
mod receipts;
mod refresh_token;
pub(crate) mod register;
mod search;
mod stream_ends;
mod typing;
mod unblock;
mod user_find;
mod user_get;
mod user_update;

/// Ids are packed with a seq into one integer by stores.
const ID_MAX: u64 = i32::MAX as u64;

/// A request of a client. Which ones may be sent when was checked before.
pub(crate) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let class = Class::of(request.command);
    // A message that is refused holds up those behind it: its own handler sees to that.
    if class != Class::Send {
        service.limit(request, class)?;
    }
    match request.command {
        Command::Login => login::handle(service, request),
        Command::Heartbeat => heartbeat::handle(service, request),
        Command::Register => register::handle(service, request),
        Command::Logout => logout::handle(service, request),
        Command::RefreshToken => refresh_token::handle(service, request),
        Command::UserGet => user_get::handle(service, request),
        Command::UserFind => user_find::handle(service, request),
        Command::UserUpdate => user_update::handle(service, request),
        Command::ChangePassword => change_password::handle(service, request),
        Command::DeviceList => device_list::handle(service, request),
        Command::DeviceRevoke => device_revoke::handle(service, request),
        Command::PresenceQuery => presence_query::handle(service, request),
        Command::PresenceSubscribe => presence_subscribe::handle(service, request),
        Command::MsgSend => msg_send::handle(service, request),
        Command::MsgSync => msg_sync::handle(service, request),
        Command::History => history::handle(service, request),
        Command::MarkDelivered => mark_delivered::handle(service, request),
        Command::MarkRead => mark_read::handle(service, request),
        Command::Typing => typing::handle(service, request),
        Command::Recall => recall::handle(service, request),
        Command::Edit => edit::handle(service, request),
        Command::ConversationList => conversation_list::handle(service, request),
        Command::ConversationUpdate => conversation_update::handle(service, request),
        Command::Receipts => receipts::handle(service, request),
        Command::React => react::handle(service, request),
        Command::Reactions => reactions::handle(service, request),
        Command::Search => search::handle(service, request),
        Command::GroupCreate => group_create::handle(service, request),
        Command::GroupList => group_list::handle(service, request),
        Command::GroupMembers => group_members::handle(service, request),
        Command::GroupInvite => group_invite::handle(service, request),
        Command::GroupLeave => group_leave::handle(service, request),
        Command::GroupJoin => group_join::handle(service, request),
        Command::GroupRemove => group_remove::handle(service, request),
        Command::GroupHandleJoin => group_handle_join::handle(service, request),
        Command::GroupSetRole => group_set_role::handle(service, request),
        Command::GroupTransfer => group_transfer::handle(service, request),
        Command::GroupUpdate => group_update::handle(service, request),
        Command::GroupMute => group_mute::handle(service, request),
        Command::GroupDissolve => group_dissolve::handle(service, request),
        Command::GroupRequests => group_requests::handle(service, request),
        Command::FriendApply => friend_apply::handle(service, request),
        Command::FriendHandle => friend_handle::handle(service, request),
        Command::FriendList => friend_list::handle(service, request),
        Command::FriendDelete => friend_delete::handle(service, request),
        Command::FriendUpdate => friend_update::handle(service, request),
        Command::Block => block::handle(service, request),
        Command::Unblock => unblock::handle(service, request),
        other => unreachable!("{other:?} is not a request"),
    }
}

/// The outcome of a write job that a request started.
pub(crate) fn handle_written(
    service: &mut Service,
    ticket: Ticket,
    result: Result<Written, JobError>,
) {
    if ticket.command == Command::Logout
        && let Some(session) = service.session(ticket.conn)
    {
        session.is_leaving = false;
    }
    if ticket.command == Command::MarkRead {
        receipt_notify::handle_read(service, ticket, result.is_ok());
    }
    match result {
        Ok(Written::Appended(appended)) => msg_send::handle_appended(service, ticket, appended),
        Ok(Written::DeviceRevoked) => logout::handle_revoked(service, ticket),
        Ok(Written::Revoked(revoked)) => match ticket.command {
            Command::ChangePassword => change_password::handle_changed(service, ticket, &revoked),
            _ => device_revoke::handle_revoked(service, ticket, &revoked),
        },
        Ok(Written::Marked) => mark_delivered::handle_marked(service, ticket),
        Ok(Written::GroupCreated { group, seq }) => {
            group_create::handle_created(service, ticket, group, seq);
        }
        Ok(Written::Invited { added, seq }) => {
            group_invite::handle_invited(service, ticket, added, seq);
        }
        Ok(Written::Left { seq }) => group_leave::handle_left(service, ticket, seq),
        Ok(Written::Changed { seq }) => handle_changed(service, ticket, seq),
        Ok(
            Written::Registered(_)
            | Written::SessionOpened(_)
            | Written::SessionReleased
            | Written::Seen
            | Written::IndexStored,
        ) => unreachable!("accounts take the steps of `account`, and nobody waits for the others"),
        Err(error) => {
            let mut refusal = Refusal::from(error);
            if ticket.command == Command::GroupLeave && is_active(RequestBug::WrongCode) {
                refusal.code = Code::Conflict;
            }
            service.refuse(ticket.conn, ticket.command.id(), ticket.request, refusal);
        }
    }
}

/// A change whose response says no more than where its entry is.
fn handle_changed(service: &mut Service, ticket: Ticket, seq: Seq) {
    service.note_own_entry(ticket.conn, seq);
    let seq = seq.0;
    match ticket.command {
        Command::GroupJoin => service.respond(ticket, &pb::GroupJoinResp { seq }),
        Command::GroupRemove => service.respond(ticket, &pb::GroupRemoveResp { seq }),
        Command::GroupHandleJoin => service.respond(ticket, &pb::GroupHandleJoinResp { seq }),
        Command::GroupSetRole => service.respond(ticket, &pb::GroupSetRoleResp { seq }),
        Command::GroupTransfer => service.respond(ticket, &pb::GroupTransferResp { seq }),
        Command::GroupUpdate => service.respond(ticket, &pb::GroupUpdateResp { seq }),
        Command::GroupMute => service.respond(ticket, &pb::GroupMuteResp { seq }),
        Command::GroupDissolve => service.respond(ticket, &pb::GroupDissolveResp { seq }),
        Command::FriendApply => service.respond(ticket, &pb::FriendApplyResp { seq }),
        Command::FriendHandle => service.respond(ticket, &pb::FriendHandleResp { seq }),
        Command::FriendDelete => service.respond(ticket, &pb::FriendDeleteResp { seq }),
        Command::FriendUpdate => service.respond(ticket, &pb::FriendUpdateResp { seq }),
        Command::Block => service.respond(ticket, &pb::BlockResp { seq }),
        Command::Unblock => service.respond(ticket, &pb::UnblockResp { seq }),
        Command::MarkRead => service.respond(ticket, &pb::MarkReadResp { seq }),
        Command::Recall => service.respond(ticket, &pb::RecallResp { seq }),
        Command::Edit => service.respond(ticket, &pb::EditResp { seq }),
        Command::UserUpdate => service.respond(ticket, &pb::UserUpdateResp { seq }),
        Command::ConversationUpdate => {
            service.respond(ticket, &pb::ConversationUpdateResp { seq });
        }
        Command::React => service.respond(ticket, &pb::ReactResp { seq }),
        other => unreachable!("{other:?} changes more"),
    }
}

/// The answer to a read job that a request started.
pub(crate) fn handle_read(
    service: &mut Service,
    ticket: Ticket,
    result: Result<ReadResult, JobError>,
) {
    let is_page = matches!(
        ticket.command,
        Command::MsgSync | Command::History | Command::ConversationList | Command::Search
    );
    if is_page && let Some(session) = service.session(ticket.conn) {
        session.is_paging = false;
    }
    match result {
        Ok(ReadResult::Users(users)) if ticket.command == Command::UserFind => {
            user_find::handle_users(service, ticket, users);
        }
        Ok(ReadResult::Users(users)) => user_get::handle_users(service, ticket, users),
        Ok(ReadResult::Sync(page)) => msg_sync::handle_page(service, ticket, page),
        Ok(ReadResult::History(page)) => history::handle_page(service, ticket, page),
        Ok(ReadResult::Conversations(page)) => {
            conversation_list::handle_page(service, ticket, page);
        }
        Ok(ReadResult::Receipts(page)) => service.respond(ticket, &page),
        Ok(ReadResult::Reactions(page)) => service.respond(ticket, &page),
        Ok(ReadResult::Groups(page)) => service.respond(ticket, &page),
        Ok(ReadResult::Members(page)) => service.respond(ticket, &page),
        Ok(ReadResult::GroupRequests(page)) => service.respond(ticket, &page),
        Ok(ReadResult::Relations(page)) => service.respond(ticket, &page),
        Ok(ReadResult::Audience(found)) => typing::handle_audience(service, ticket, found),
        Ok(ReadResult::Sight(seen)) => presence::handle_visible(service, ticket, seen),
        Ok(ReadResult::Devices(devices)) => device_list::handle_devices(service, ticket, devices),
        Ok(ReadResult::Account(found)) => change_password::handle_account(service, ticket, found),
        Ok(ReadResult::SearchedMessages(page)) => search::handle_page(service, ticket, page),
        Ok(ReadResult::SearchedNames(page)) => service.respond(ticket, &page),
        Ok(
            ReadResult::Credentials(_)
            | ReadResult::LoginState(_)
            | ReadResult::Heads(_)
            | ReadResult::StreamEnds(_),
        ) => unreachable!("accounts and head checks take their own ways"),
        Err(error) => {
            if let Some(session) = service.session(ticket.conn) {
                session.take_pending(ticket.request);
            }
            service.refuse(ticket.conn, ticket.command.id(), ticket.request, error.into());
        }
    }
}

/// The password pool did what a request started.
pub(crate) fn handle_hashed(service: &mut Service, ticket: Ticket, result: HashResult) {
    change_password::handle_hashed(service, ticket, result);
}

/// The directory said whether a password may be tried.
pub(crate) fn handle_attempted(service: &mut Service, ticket: Ticket, verdict: Verdict) {
    change_password::handle_attempted(service, ticket, verdict);
}

/// The directory answered what a request started.
pub(crate) fn handle_located(service: &mut Service, ticket: Ticket, reply: &LocateReply) {
    match ticket.command {
        Command::DeviceList => device_list::handle_located(service, ticket, reply),
        _ => presence::handle_located(service, ticket, reply),
    }
}

/// Starts a change of a group by owner, admins, or somebody who asks them.
fn change_group(
    service: &mut Service,
    request: &Request<'_>,
    group: u64,
    change: GroupChange,
) -> Result<(), Refusal> {
    let actor = online(service, request)?.user;
    let group = group_id(group)?;
    let limits = service.node.config.group_limits;
    service.write(request, WriteJob::Group(GroupJob { actor, group, change, limits }));
    Ok(())
}

/// The asker's session. Requests that need one are refused before without it.
fn online<'a>(
    service: &'a mut Service,
    request: &Request<'_>,
) -> Result<&'a mut OnlineSession, Refusal> {
    match service.session(request.conn).map(|session| &mut session.state) {
        Some(crate::session::State::Online(online)) => Ok(online),
        _ => Err(Refusal::new(Code::NotLoggedIn, "log in first")),
    }
}

fn bad_request(message: &'static str) -> Refusal {
    Refusal::new(Code::BadRequest, message)
}

fn too_large(message: &'static str) -> Refusal {
    Refusal::new(Code::TooLarge, message)
}

/// Whoever follows no such stream, whether there is one or not.
const NO_SUCH_STREAM: Refusal =
    Refusal { code: Code::NotFound, message: "no such stream", retry_after_ms: 0 };

/// The group of a stream; one that cannot exist does not.
fn stream_id(id: u64) -> Result<GroupId, Refusal> {
    group_id(id).map_err(|_| NO_SUCH_STREAM)
}

/// A user's id; one that cannot exist does not.
fn user_id(id: u64) -> Result<UserId, Refusal> {
    match id {
        1..=ID_MAX => Ok(UserId(id)),
        _ => Err(Refusal::new(Code::NotFound, "no such user")),
    }
}

/// A group's id; one that cannot exist does not.
fn group_id(id: u64) -> Result<GroupId, Refusal> {
    match id {
        1..=ID_MAX => Ok(GroupId(id)),
        _ => Err(Refusal::new(Code::NotFound, "no such group")),
    }
}

/// A conversation of the asker, by the two fields that name one.
fn conversation(asker: UserId, receiver: u64, group: u64) -> Result<ConversationKey, Refusal> {
    match (receiver, group) {
        (0, 0) => Err(bad_request("receiver_id or group_id is needed")),
        (receiver, 0) => Ok(ConversationKey::direct(asker, user_id(receiver)?)),
        (0, group) => Ok(ConversationKey::group(group_id(group)?)),
        _ => Err(bad_request("receiver_id and group_id exclude each other")),
    }
}

/// Users of a list that a client made: each once, ascending, without `except`.
fn user_ids(ids: &[u64], except: UserId) -> Result<Vec<UserId>, Refusal> {
    let mut users: Vec<UserId> = ids.iter().map(|&id| user_id(id)).collect::<Result<_, _>>()?;
    users.sort_unstable();
    users.dedup();
    users.retain(|&user| user != except);
    Ok(users)
}

/// Checks a nickname, group name or device name.
fn check_display_name(name: &str) -> Result<(), Refusal> {
    if name.len() > DISPLAY_NAME_BYTES_MAX {
        return Err(too_large("a name is over its limit"));
    }
    if !is_display_name(name) {
        return Err(bad_request("a name is empty or not printable"));
    }
    Ok(())
}

/// Checks free text that may be empty: a remark, a reason.
fn check_note(text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.len() > bytes_max {
        return Err(too_large("a text is over its limit"));
    }
    if !is_plain_line(text) {
        return Err(bad_request("a text is not printable"));
    }
    Ok(())
}

/// The 16 bytes of a client's id.
fn id_16(bytes: &[u8], message: &'static str) -> Result<[u8; 16], Refusal> {
    bytes.try_into().map_err(|_| bad_request(message))
}

/// A page's rows as asked, with a default for 0 and a ceiling.
fn page_rows(asked: u32, default: usize, max: usize) -> usize {
    match asked {
        0 => default,
        asked => max.min(asked as usize),
    }
}
