//! What other nodes say to a hub, and what it does about it. Knows messages, not how they come.

use aldis_wire::{Message, PushTail, Seq, UserId, node_pb};
use bytes::Bytes;
use node_pb::node_message::Body;
use smallvec::SmallVec;

use super::effect::{LinkEffect, LinkFlow};
use super::hub::{Hub, SECOND_FLOW};
use super::inbound;
use super::parked::Sought;
use super::peers::PeerFault;
use super::planted::{self, Bug};
use super::router::{Shared, denied};
use super::routes::{RemoteSessions, Route};
use crate::job::NodeId;

impl Hub {
    /// A message of another node. What cannot be read is dropped; an error ends the session with the
    /// node.
    pub fn handle_message(
        &mut self,
        now_ms: u64,
        from: NodeId,
        message: Bytes,
    ) -> Result<(), PeerFault> {
        let Ok(node_pb::NodeMessage { body: Some(body) }) = node_pb::NodeMessage::decode(message)
        else {
            return Ok(());
        };
        match body {
            Body::Hello(hello) => return self.handle_hello(now_ms, from, &hello),
            _ if !self.peers.is_open(from) => {}
            Body::Deliver(deliver) => {
                self.counts.delivers_heard += 1;
                let (entry, is_second) = (deliver.entry.clone(), deliver.is_second);
                inbound::place_in_stream(&deliver, &self.node, &mut self.inbound);
                self.note_moved(now_ms, Some(from), deliver.stream.as_ref());
                let sessions = inbound::place(deliver, &self.node.table, &mut self.inbound);
                if !sessions.is_empty() {
                    let is_missed = sessions.iter().any(|said| said.newer_epoch == 0);
                    let entry = if is_missed && !is_second { entry } else { Bytes::new() };
                    let misplaced = node_pb::Misplaced { sessions, entry };
                    self.send(from, LinkFlow::Unordered, Body::Misplaced(misplaced));
                }
            }
            Body::Misplaced(misplaced) => self.handle_misplaced(from, misplaced),
            Body::Kick(kick) => {
                self.counts.kicks_heard += 1;
                for (reactor, mail) in inbound::kicked(&kick, &self.node.table) {
                    self.counts.kicked += 1;
                    self.effects.push_back(LinkEffect::Post { reactor, mail });
                }
                let ack = node_pb::KickAck { id: kick.id };
                self.send(from, LinkFlow::Unordered, Body::KickAck(ack));
            }
            Body::KickAck(ack) => self.kicks.handle_ack(from, ack.id),
            Body::Notice(notice) => self.handle_notice_heard(notice),
            Body::Presence(hints) => self.handle_hints_heard(hints),
            Body::Follows(follows) => self.interest.handle_follows(from, &follows),
            Body::CheckHeads(_) => {
                self.counts.checks_heard += 1;
                self.effects.push_back(LinkEffect::CheckAll);
            }
        }
        Ok(())
    }

    fn handle_hello(
        &mut self,
        now_ms: u64,
        from: NodeId,
        hello: &node_pb::Hello,
    ) -> Result<(), PeerFault> {
        let result = self.peers.handle_hello(now_ms, from, hello);
        self.note_peers();
        match result {
            Ok(true) => {
                self.counts.opened += 1;
                let release = hello.release.clone();
                self.effects.push_back(LinkEffect::Opened { node: from, release });
                // While there was no session, deliveries to this node may have been dropped.
                self.effects.push_back(LinkEffect::CheckAll);
                self.send_interest(from);
                self.kicks.handle_open(now_ms, from);
                self.handle_timeout(now_ms);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(fault) => {
                self.effects.push_back(LinkEffect::Close { node: from });
                Err(fault)
            }
        }
    }

    fn handle_misplaced(&mut self, from: NodeId, misplaced: node_pb::Misplaced) {
        if planted::is_active(Bug::NotHereIgnored) {
            return;
        }
        // Whoever was here in between heard of it by another way, so the order does not matter.
        let push = PushTail::from_encoded(misplaced.entry);
        let entry = Shared { push, flow: SECOND_FLOW, stream: None };
        for said in &misplaced.sessions {
            let Some(wrong) = denied(from, said) else { continue };
            let (user, seq) = (UserId(said.user_id), Seq(said.seq));
            if said.newer_epoch > said.epoch {
                self.counts.stale_heard += 1;
                self.routes.raise(user, wrong, aldis_wire::Epoch(said.newer_epoch));
                continue;
            }
            self.counts.not_here_heard += 1;
            let known = match self.routes.of(user, 0) {
                Route::Fresh(known) | Route::Stale(known) => known,
                Route::Unknown => RemoteSessions::new(),
            };
            self.routes.remove(user, wrong);
            if entry.push.is_empty() {
                continue;
            }
            // A route that does not name the session was corrected since the entry was sent: who is in
            // it now may have been elsewhere then.
            let is_of_then = known.contains(&wrong);
            let others = known.iter().filter(|session| is_of_then && session.node != from);
            let sent_to = others.map(|session| session.node).collect();
            let sought = Sought { user, seq, sent_to, denied: Some(wrong) };
            // Without room a head check will do.
            let _ = self.lot.park(entry.clone(), SmallVec::from_iter([sought]), true);
        }
        self.look_up();
    }
}
