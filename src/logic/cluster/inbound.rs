//! What other nodes send for sessions of this node: who of the recipients is here, and what the
//! sender had wrong. Pure.

use aldis_wire::{
    ConvSeq, DeviceClass, Epoch, GroupId, Message, PushTail, Seq, UserId, node_pb, pb,
};

use super::planted::{self, Bug};
use crate::effect::PeerMail;
use crate::fanout::{Delivery, Moved, Spread, Target, fan_out_stream, moved_by, note_moved};
use crate::job::ReactorId;
use crate::node::Node;
use crate::streams::StreamEntry;
use crate::table::{Online, SessionTable};

/// Sorts a delivery by reactor, behind what is in `out`. What the sender had wrong.
pub(super) fn place(
    deliver: node_pb::Deliver,
    table: &SessionTable,
    out: &mut [Vec<Delivery>],
) -> Vec<node_pb::Misplacement> {
    let push = PushTail::from_encoded(deliver.entry);
    let mut spread = Spread::new(out, None);
    let mut wrong = Vec::new();
    for recipient in deliver.recipients {
        let (user, seq) = (UserId(recipient.user_id), Seq(recipient.seq));
        let mut here = smallvec::SmallVec::<[(u64, Epoch); 2]>::new();
        table.for_each_of(user, |online| {
            here.push((online.class.number() as u64, online.epoch));
            let target = Target { conn: online.conn, user, seq };
            spread.add(out, online.reactor, target, || push.clone());
        });
        let pairs = recipient.sessions.chunks_exact(2);
        wrong.extend(pairs.filter_map(|pair| {
            let (class, epoch) = (pair[0], pair[1]);
            let found = here.iter().find(|(of, _)| *of == class).map_or(0, |(_, epoch)| epoch.0);
            (found != epoch).then_some(node_pb::Misplacement {
                user_id: user.0,
                seq: seq.0,
                class,
                epoch,
                newer_epoch: if found > epoch { found } else { 0 },
            })
        }));
    }
    wrong
}

/// An entry of a stream, for whoever follows it here, and what it changes about that.
pub(super) fn place_in_stream(deliver: &node_pb::Deliver, node: &Node, out: &mut [Vec<Delivery>]) {
    let Some(stream) = &deliver.stream else { return };
    let (group, seq) = (GroupId(stream.group_id), Seq(stream.conv_seq));
    let owners = deliver.recipients.iter().map(|recipient| UserId(recipient.user_id));
    let moved = match stream.moves_members {
        true => pb::MessageData::decode(deliver.entry.clone())
            .ok()
            .and_then(|entry| moved_by(&entry.content, owners)),
        false => None,
    };
    if let Some(moved) = &moved {
        note_moved(node, group, seq, moved);
    }
    if stream.is_in_stream {
        let (member_seq, is_end) = (ConvSeq(stream.member_seq), moved == Some(Moved::Over));
        let entry = StreamEntry { group, seq, member_seq, is_end };
        let push = PushTail::from_encoded(deliver.entry.clone());
        fan_out_stream(node, &entry, &mut || push.clone(), out);
    }
}

/// The sessions of this node that a kick ends.
pub(super) fn kicked(kick: &node_pb::Kick, table: &SessionTable) -> Vec<(ReactorId, PeerMail)> {
    let user = UserId(kick.user_id);
    let class = i64::try_from(kick.class).ok().and_then(DeviceClass::from_number);
    let reason = i32::try_from(kick.reason).ok().and_then(|reason| reason.try_into().ok());
    let reason = reason.unwrap_or(pb::KickReason::Replaced);
    let mut mails = Vec::new();
    table.for_each_of(user, |online: Online| {
        let is_older = online.epoch < Epoch(kick.epoch) || planted::is_active(Bug::KickOfTheNewer);
        if Some(online.class) == class && is_older {
            let mail = PeerMail::Kick {
                conn: online.conn,
                user,
                epoch: online.epoch,
                reason,
                device_name: kick.device_name.clone(),
            };
            mails.push((online.reactor, mail));
        }
    });
    mails
}

#[cfg(test)]
mod tests {
    use aldis_wire::ConnId;
    use bytes::Bytes;

    use super::*;

    const USER: UserId = UserId(10_001);

    fn table() -> SessionTable {
        let table = SessionTable::default();
        for (index, class, epoch) in [(1, DeviceClass::Phone, 5), (2, DeviceClass::Web, 2)] {
            let conn = ConnId { index, generation: 0 };
            let reactor = ReactorId(index as u16 - 1);
            table.enter(USER, Online { reactor, conn, class, epoch: Epoch(epoch) });
        }
        table
    }

    #[test]
    fn all_sessions_of_a_recipient_get_the_entry_and_the_sender_learns_what_it_had_wrong() {
        let sessions = vec![1, 4, 2, 7, 4, 2];
        let named = node_pb::Recipient { user_id: USER.0, seq: 9, sessions };
        let guessed = node_pb::Recipient { user_id: 77, seq: 3, sessions: vec![] };
        let entry = Bytes::from_static(b"entry");
        let deliver =
            node_pb::Deliver { entry, recipients: vec![named, guessed], ..Default::default() };
        let mut out = vec![Vec::new(), Vec::new()];
        let wrong = place(deliver, &table(), &mut out);
        let answers: Vec<_> = wrong.iter().map(|w| (w.class, w.epoch, w.newer_epoch)).collect();
        // A newer phone is here, no tablet, and the web session is the one that was named.
        assert_eq!(answers, [(1, 4, 5), (2, 7, 0)]);
        let targets: Vec<_> =
            out.iter().map(|d| (d[0].targets.len(), d[0].targets[0].seq)).collect();
        assert_eq!(targets, [(1, Seq(9)), (1, Seq(9))]);
    }

    #[test]
    fn a_kick_ends_older_sessions_of_its_class_and_no_others() {
        let kick = |class, epoch| node_pb::Kick {
            id: 1,
            user_id: USER.0,
            class,
            epoch,
            reason: 1,
            device_name: "tv".into(),
        };
        let table = table();
        assert!(kicked(&kick(1, 5), &table).is_empty(), "it is itself the newer one");
        assert!(kicked(&kick(2, 9), &table).is_empty(), "no tablet");
        assert!(kicked(&kick(999, 9), &table).is_empty());
        let mails = kicked(&kick(1, 6), &table);
        let [(ReactorId(0), PeerMail::Kick { conn, epoch: Epoch(5), .. })] = &mails[..] else {
            panic!("{mails:?}");
        };
        assert_eq!(conn.index, 1);
    }
}
