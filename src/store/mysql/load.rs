//! Begins a batch's transaction: runs the questions and makes the working set of the answers. Knows
//! tables, no rules.

use aldis_logic::job::Appended;
use aldis_wire::{
    ClientMsgId, ConvSeq, ConversationKey, DeviceClass, GroupId, MsgId, MsgNo, RequestId, Seq,
    UserId,
};
use mysql::Row;

use super::connection::Session;
use super::failure::{Abort, damaged};
use super::packet::{Failed, ask};
use super::plan::{Plan, SentKey};
use super::questions::{self, Asked, LIST_MAX};
use super::records;
use super::rows::{bytes, kind, number, signed, small_number, text};
use super::sql_text::SqlText;
use super::working_set::{
    Caches, Conversation, Counters, Device, DeviceKey, NamedUser, Sent, Sequence, StoredRow,
    VersionedGroup, WorkingSet,
};
use crate::group::{Group, Member, Role, StreamState};
use crate::rules::{Profile, Target};
use crate::stays::StoredStay;

/// Learns which users of the plan's 1:1 conversations exist, outside of the transaction, and leaves
/// out those conversations whose users do not.
pub(super) fn learn_users(
    session: &mut Session,
    sql: &mut SqlText,
    caches: &mut Caches,
    plan: &mut Plan<'_>,
) -> Result<(), Failed> {
    let of_directs = |plan: &Plan<'_>| -> Vec<UserId> {
        let keys = plan.directs.iter().map(|direct| direct.conversation);
        keys.flat_map(|key| [UserId(key.lo), UserId(key.hi)]).filter(|user| user.0 != 0).collect()
    };
    let mut unknown = of_directs(plan);
    unknown.retain(|&user| caches.users.get_mut(user).is_none());
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort_unstable();
    unknown.dedup();
    sql.clear();
    for users in unknown.chunks(LIST_MAX) {
        sql.statement("SELECT user_id FROM im_user FORCE INDEX (PRIMARY) WHERE user_id IN ");
        sql.numbers(users.iter().map(|user| user.0));
    }
    for row in &mut ask(session, sql)?.iter_mut().flatten() {
        caches.users.insert(UserId(number(row, 0)?), ());
    }
    plan.keep_directs(|user| caches.users.peek(user).is_some());
    Ok(())
}

/// Begins the transaction.
pub(super) fn load(
    session: &mut Session,
    sql: &mut SqlText,
    caches: &mut Caches,
    plan: &Plan<'_>,
) -> Result<WorkingSet, Failed> {
    sql.clear();
    let asked = questions::write(sql, plan, session.server.is_mariadb);
    // Rows that are not stored were asked for too.
    let records = plan.rows.iter().map(|key| (key.clone(), StoredRow::default())).collect();
    let mut set = WorkingSet { records, ..WorkingSet::default() };
    let sets = ask(session, sql)?;
    for (asked, rows) in asked.into_iter().zip(sets) {
        for mut row in rows {
            take_row(asked, &mut row, &mut set, plan)?;
        }
    }
    for &user in set.users.keys() {
        caches.users.insert(user, ());
    }
    load_groups(session, sql, caches, plan, &mut set)?;
    Ok(set)
}

fn take_row(
    asked: Asked,
    row: &mut Row,
    set: &mut WorkingSet,
    plan: &Plan<'_>,
) -> Result<(), Abort> {
    match asked {
        Asked::Nothing => {}
        Asked::Conversations => {
            let (key, conversation) = conversation(row, plan)?;
            set.conversations.insert(key, conversation);
        }
        Asked::Users => {
            set.users.insert(UserId(number(row, 0)?), small_number(row, 1)?);
        }
        Asked::Profiles => {
            let profile = Profile {
                username: text(row, 1)?,
                nickname: text(row, 2)?,
                avatar_url: text(row, 3)?,
                password_phc: text(row, 4)?,
                token_generation: small_number(row, 5)?,
            };
            set.profiles.insert(UserId(number(row, 0)?), (profile, false));
        }
        Asked::Sequences => {
            let ids = Sequence::locked(number(row, 1)?);
            match text(row, 0)?.as_str() {
                "user" => set.user_ids = ids,
                _ => set.group_ids = ids,
            }
        }
        Asked::Sent => {
            let (key, sent) = sent(row)?;
            set.sent.insert(key, sent);
        }
        Asked::Names => {
            let request_id = RequestId(id_bytes(row, 2)?);
            let user = NamedUser { user: UserId(number(row, 1)?), request_id };
            set.names.insert(text(row, 0)?, user);
        }
        Asked::Devices => {
            let (key, device) = device(row)?;
            set.devices.insert(key, device);
        }
        Asked::Sessions => {
            let class = DeviceClass::from_number(signed(row, 1)?)
                .ok_or_else(|| damaged("a class that nobody knows"))?;
            let session = set.sessions.entry((UserId(number(row, 0)?), class)).or_default();
            (session.epoch, session.issued) = (number(row, 2)?, number(row, 3)?);
            session.revoked = number(row, 4)?;
            session.device_id = device_id(row, 5)?;
        }
        Asked::Requests => {
            let key = (UserId(number(row, 0)?), RequestId(id_bytes(row, 1)?));
            set.group_requests.insert(key, GroupId(number(row, 2)?));
        }
        Asked::GroupCounts => {
            set.group_counts.insert(UserId(number(row, 0)?), number(row, 1)?);
        }
        Asked::Records(table) => {
            let (key, stored) = records::take(row, table)?;
            set.records.insert((table, key), StoredRow { row: Some(stored), is_changed: false });
        }
        Asked::Stays => {
            let key = (GroupId(number(row, 0)?), UserId(number(row, 1)?));
            let stay = StoredStay::of_row(number(row, 2)?, number(row, 3)?, number(row, 4)?);
            set.stays.entry(key).or_default().insert(stay.join_seq, stay);
        }
        Asked::Targets => {
            let key = ConversationKey { lo: number(row, 0)?, hi: number(row, 1)? };
            let target = target(row)?;
            set.targets.insert((key, ConvSeq(number(row, 2)?)), target);
        }
        Asked::EverMembers => {
            set.ever_members.insert((GroupId(number(row, 0)?), UserId(number(row, 1)?)));
        }
    }
    Ok(())
}

fn conversation(row: &mut Row, plan: &Plan<'_>) -> Result<(ConversationKey, Conversation), Abort> {
    let key = ConversationKey { lo: number(row, 0)?, hi: number(row, 1)? };
    let stored = Counters {
        max_seq: number(row, 2)?,
        msg_count: number(row, 3)?,
        change_seq: number(row, 4)?,
        member_version: number(row, 5)?,
        ties: number(row, 6)?,
    };
    let planned = plan.directs.binary_search_by_key(&key, |direct| direct.conversation);
    let planned = planned.ok().and_then(|at| plan.directs.get(at));
    let count = planned.map_or(0, |direct| direct.message_count);
    let before = |value: u64| {
        value.checked_sub(count).ok_or_else(|| damaged("a conversation counts too few"))
    };
    let now = Counters {
        max_seq: before(stored.max_seq)?,
        msg_count: before(stored.msg_count)?,
        change_seq: before(stored.change_seq)?,
        ..stored
    };
    Ok((key, Conversation { now, stored }))
}

fn sent(row: &mut Row) -> Result<(SentKey, Sent), Abort> {
    let key = SentKey {
        client_msg_id: ClientMsgId(id_bytes(row, 0)?),
        sender: UserId(number(row, 1)?),
        conversation: ConversationKey { lo: number(row, 2)?, hi: number(row, 3)? },
    };
    let first = Appended {
        msg_id: MsgId(number(row, 4)?),
        seq: Seq(number(row, 5)?),
        conv_seq: ConvSeq(number(row, 6)?),
        time_ms: number(row, 7)?,
    };
    Ok((key, Sent { first, body_hash: signed(row, 8)?, entry: None }))
}

fn target(row: &mut Row) -> Result<Target, Abort> {
    Ok(Target {
        msg_id: MsgId(number(row, 3)?),
        msg_no: MsgNo(number(row, 4)?),
        sender: UserId(number(row, 5)?),
        kind: kind(row, 6)?,
        time_ms: number(row, 7)?,
        flags: small_number(row, 8)?,
        edit_seq: number(row, 9)?,
    })
}

fn device_id(row: &mut Row, column: usize) -> Result<String, Abort> {
    String::from_utf8(bytes(row, column)?).map_err(|_| damaged("a device id is no text"))
}

fn device(row: &mut Row) -> Result<(DeviceKey, Device), Abort> {
    let device_id = device_id(row, 1)?;
    let class = u8::try_from(number(row, 2)?).map_err(|_| damaged("a class"))?;
    let device = Device {
        class,
        name: text(row, 3)?,
        token_generation: small_number(row, 4)?,
        cursor: number(row, 5)?,
        login_ms: number(row, 6)?,
        is_changed: false,
    };
    Ok((DeviceKey { user: UserId(number(row, 0)?), device_id }, device))
}

fn id_bytes(row: &mut Row, column: usize) -> Result<[u8; 16], Abort> {
    <[u8; 16]>::try_from(bytes(row, column)?).map_err(|_| damaged("an id that is not 16 bytes"))
}

/// Fills in the member lists: remembered ones as long as they have the version of the locked row.
fn load_groups(
    session: &mut Session,
    sql: &mut SqlText,
    caches: &mut Caches,
    plan: &Plan<'_>,
    set: &mut WorkingSet,
) -> Result<(), Failed> {
    let mut stale = Vec::new();
    for &id in &plan.groups {
        let Some(row) = set.conversations.get(&ConversationKey::group(id)) else { continue };
        let version = row.stored.member_version;
        match caches.group(id, version) {
            Some(known) => {
                set.groups.insert(id, known);
            }
            None => stale.push((id, version, plan.full_groups.binary_search(&id).is_ok())),
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    sql.clear();
    for &(group, _, is_full) in &stale {
        sql.statement(
            "SELECT owner_id, muted, name, begin_seq, end_seq, member_seq, member_count \
             FROM im_group WHERE group_id = ",
        );
        sql.number(group.0);
        write_members(sql, group);
        if is_full {
            sql.push(" ORDER BY user_id");
            continue;
        }
        // Of a stream, those who were asked for; few of many thousands.
        sql.push(" AND (SELECT begin_seq FROM im_group WHERE group_id = ").number(group.0);
        sql.push(") = 0 ORDER BY user_id");
        write_seats(sql, plan, group);
    }
    let mut sets = ask(session, sql)?.into_iter();
    for (id, version, is_full) in stale {
        let (group, mut members) =
            (sets.next().unwrap_or_default(), sets.next().unwrap_or_default());
        let seats = if is_full { Vec::new() } else { sets.next().unwrap_or_default() };
        let has_staff = !is_full && plan.staff.binary_search(&id).is_ok();
        let staff = if has_staff { sets.next().unwrap_or_default() } else { Vec::new() };
        let mut group = group.into_iter().next();
        let row = group.as_mut().ok_or_else(|| damaged("a group's conversation, but no group"))?;
        let stream = StreamState::of_row(number(row, 3)?, number(row, 4)?, number(row, 5)?);
        let has_all = is_full || stream.is_none();
        if !has_all {
            members = seats;
            members.extend(staff);
        }
        let members = members.into_iter().map(|mut row| member(&mut row));
        let mut members = members.collect::<Result<Vec<_>, Abort>>()?;
        members.sort_unstable_by_key(|member| member.user);
        members.dedup();
        let group = Group {
            owner: UserId(number(row, 0)?),
            is_muted: number(row, 1)? != 0,
            name: text(row, 2)?.into(),
            stream,
            member_count: number(row, 6)? as usize,
            members: members.into(),
        };
        let known = VersionedGroup { version, has_all, group };
        caches.put_group(id, known.clone());
        set.groups.insert(id, known);
    }
    Ok(())
}

const STAFF: &str = "SELECT user_id, join_seq, role, muted_until_ms FROM im_group_member \
    FORCE INDEX (im_group_member_role) WHERE leave_seq = 0 AND group_id = ";

/// Those of a group who were asked for, and its staff if that was.
fn write_seats(sql: &mut SqlText, plan: &Plan<'_>, group: GroupId) {
    write_members(sql, group);
    let first = plan.seats.partition_point(|seat| seat.0 < group);
    let seats = || plan.seats.iter().skip(first).take_while(|seat| seat.0 == group);
    sql.push(" AND user_id IN ").numbers(seats().map(|(_, user)| user.0));
    sql.push(" ORDER BY user_id");
    if plan.staff.binary_search(&group).is_err() {
        return;
    }
    // Owner and admins, and of the longest-standing others more than can leave in this batch.
    let plain = Role::Member as u64;
    sql.statement("(").push(STAFF).number(group.0).push(" AND role > ").number(plain);
    sql.push(") UNION ALL (").push(STAFF).number(group.0).push(" AND role = ").number(plain);
    sql.push(" ORDER BY join_seq, user_id LIMIT ");
    sql.number(seats().count() as u64 + 1).push(")");
}

fn write_members(sql: &mut SqlText, group: GroupId) {
    sql.statement(
        "SELECT user_id, join_seq, role, muted_until_ms FROM im_group_member \
         FORCE INDEX (PRIMARY) WHERE group_id = ",
    );
    sql.number(group.0).push(" AND leave_seq = 0");
}

fn member(row: &mut Row) -> Result<Member, Abort> {
    Ok(Member {
        user: UserId(number(row, 0)?),
        join_seq: number(row, 1)?,
        role: Role::from_number(number(row, 2)?).ok_or_else(|| damaged("a role"))?,
        muted_until_ms: number(row, 3)?,
    })
}
