//! Any bytes as the body of any request: it is answered, or becomes one job that says nothing in
//! anybody else's name and keeps the limits.
//!
//! The first byte chooses the command, the second who asks and whether the header is as it should be;
//! the rest is the body.

use aldis_logic::job::{ReadJob, Ticket, WriteJob};
use aldis_logic::{Admit, Effect, Goodbye};
use aldis_wire::limits::{
    CONTENT_BYTES_MAX, CONVERSATIONS_MAX, EXTRA_BYTES_MAX, LIST_ROWS_MAX, PRESENCE_USERS_MAX,
    REASON_BYTES_MAX, SEARCH_HITS_MAX, SYNC_ENTRIES_MAX, USER_FIND_MAX, USER_GET_MAX,
};
use aldis_wire::{Code, Command, Frame, Header, Message, UserId, parse_frame, pb};

use crate::scene::{ADA, FRESH, NOW, ONLINE, effects, service, ticket_of};

/// The second byte's bits.
const IS_BEFORE_LOGIN: u8 = 1;
const HAS_CODE: u8 = 2;
const IS_UNKNOWN: u8 = 4;

/// The request's number.
const SEQ: u32 = 9;
/// Users that one job names.
const USERS_MAX: usize = 500;

/// Runs one input.
pub fn run(data: &[u8]) {
    let &[which, bits, ref body @ ..] = data else { return };
    let mut service = service();
    let command = Command::REQUESTS[usize::from(which) % Command::REQUESTS.len()];
    let conn = if bits & IS_BEFORE_LOGIN == 0 { ONLINE } else { FRESH };
    let cmd = if bits & IS_UNKNOWN == 0 { command.id() } else { u16::from(which) << 8 };
    let code = u16::from(bits & HAS_CODE != 0);
    let header = Header { cmd, code, seq: SEQ, len: body.len() as u32 };
    let admit = service.handle_frame(NOW, conn, Frame { header, body });
    assert_eq!(admit, Admit::Taken, "nothing is under way that it could wait for");
    let mut answers = 0;
    for effect in effects(&mut service) {
        // What the service asks on its own account has another number.
        let is_of_request = |ticket: &Ticket| (ticket.conn, ticket.request) == (conn, SEQ);
        answers += usize::from(ticket_of(&effect).as_ref().is_some_and(is_of_request));
        match effect {
            Effect::Send { conn: to, frame, .. } => {
                assert_eq!(to, conn, "nobody else is told of a request");
                check_answer(cmd, &frame.to_vec());
                answers += 1;
            }
            Effect::Close { conn: of, reason } => {
                assert_eq!((of, reason, code), (conn, Goodbye::BadFrame, 1));
            }
            Effect::Write(request) => check_write(conn == ONLINE, &request.job),
            Effect::Read(request) => check_read(conn == ONLINE, &request.job),
            _ => {}
        }
    }
    assert_eq!(answers, 1, "one answer, or one job that brings it: {command:?}");
    service.handle_turn_end(NOW);
    effects(&mut service);
}

fn check_answer(cmd: u16, bytes: &[u8]) {
    let frame = parse_frame(bytes, 1 << 20).expect("a frame").expect("a whole one");
    assert_eq!((frame.header.cmd, frame.header.seq), (cmd.wrapping_add(1), SEQ));
    let code = Code::from_u16(frame.header.code).expect("a code of the table");
    assert_ne!(code, Code::Internal);
    if code != Code::Ok {
        pb::Error::decode(frame.body).expect("an error's body");
    }
}

fn check_write(is_online: bool, job: &WriteJob) {
    let by = |user: UserId| assert_eq!(user, ADA, "in another's name: {job:?}");
    assert!(is_online, "nobody is logged in: {job:?}");
    match job {
        WriteJob::Append(append) => {
            by(append.sender);
            assert!(append.content.len() <= CONTENT_BYTES_MAX);
            assert!(append.extra.len() <= EXTRA_BYTES_MAX);
            let is_theirs = [append.conversation.lo, append.conversation.hi].contains(&ADA.0);
            assert!(is_theirs || append.conversation.as_group().is_some());
        }
        WriteJob::RevokeDevice { user, .. }
        | WriteJob::EndDevice { user, .. }
        | WriteJob::ChangePassword { user, .. }
        | WriteJob::MarkDelivered { user, .. }
        | WriteJob::LeaveGroup { user, .. }
        | WriteJob::StoreIndex { user, .. } => by(*user),
        WriteJob::UpdateUser(update) => by(update.user),
        WriteJob::CreateGroup(job) => {
            by(job.owner);
            assert!(job.members.len() <= USERS_MAX);
        }
        WriteJob::InviteMembers { actor, members, .. } => {
            by(*actor);
            assert!(members.len() <= USERS_MAX);
        }
        WriteJob::Group(job) => by(job.actor),
        WriteJob::Friend(job) => {
            by(job.actor);
            assert_ne!(job.other, ADA, "nobody is the own friend");
            if let aldis_logic::job::FriendChange::Apply { reason } = &job.change {
                assert!(reason.len() <= REASON_BYTES_MAX);
            }
        }
        WriteJob::Message(job) => by(job.actor),
        WriteJob::View(job) => by(job.user),
        WriteJob::NoteSeen { users } => assert!(users.iter().all(|(user, _)| *user == ADA)),
        WriteJob::Register(_) | WriteJob::OpenSession(_) | WriteJob::ReleaseSession { .. } => {
            panic!("no password was checked: {job:?}")
        }
    }
}

fn check_read(is_online: bool, job: &ReadJob) {
    let by = |user: UserId| assert_eq!(user, ADA, "in another's name: {job:?}");
    let rows = |limit: usize, max: usize| assert!((1..=max).contains(&limit), "{job:?}");
    assert!(is_online || matches!(job, ReadJob::Credentials { .. }), "not logged in: {job:?}");
    match job {
        ReadJob::Sync { user, limit, .. } | ReadJob::Stream { reader: user, limit, .. } => {
            by(*user);
            rows(*limit, SYNC_ENTRIES_MAX);
        }
        ReadJob::History { reader, limit, .. } => {
            by(*reader);
            rows(*limit, SYNC_ENTRIES_MAX);
        }
        ReadJob::Conversations { user, limit, .. } => {
            by(*user);
            rows(*limit, CONVERSATIONS_MAX);
        }
        ReadJob::Receipts { reader: user, limit, .. }
        | ReadJob::Reactions { reader: user, limit, .. }
        | ReadJob::Groups { user, limit, .. }
        | ReadJob::Members { reader: user, limit, .. }
        | ReadJob::GroupRequests { reader: user, limit, .. }
        | ReadJob::Relations { user, limit, .. }
        | ReadJob::Devices { user, limit }
        | ReadJob::FollowedStreams { user, limit, .. } => {
            by(*user);
            rows(*limit, LIST_ROWS_MAX);
        }
        ReadJob::Users { users } => assert!(users.len() <= USER_GET_MAX),
        ReadJob::FindUsers { limit, .. } => rows(*limit, USER_FIND_MAX),
        ReadJob::SearchMessages(search) => {
            by(search.user);
            rows(search.limit, SEARCH_HITS_MAX);
        }
        ReadJob::SearchNames { user, limit, .. } => {
            by(*user);
            rows(*limit, SEARCH_HITS_MAX);
        }
        ReadJob::Pinned { user } | ReadJob::Account { user } | ReadJob::LoginState { user, .. } => {
            by(*user)
        }
        ReadJob::StreamEnds { asks } => asks.iter().for_each(|(user, _)| by(*user)),
        ReadJob::Sight { pairs } => assert!(pairs.len() <= PRESENCE_USERS_MAX),
        ReadJob::Credentials { .. } | ReadJob::Heads { .. } | ReadJob::Audience(_) => {}
    }
}
