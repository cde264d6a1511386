//! Head checks: what a session may have missed, and whether it is still the live one.

use crate::job::UserHead;
use crate::service::Service;
use aldis_wire::{Seq, pb};

/// Raises heads; whoever is behind gets a hint, whoever was fenced is kicked.
pub(crate) fn handle_heads(service: &mut Service, heads: &[UserHead]) {
    for user_head in heads {
        let (mut here, reactor) = (Vec::new(), service.reactor);
        service.node.table.for_each_of(user_head.user, |online| here.push(online));
        for online in here.into_iter().filter(|online| online.reactor == reactor) {
            let newest = user_head.epochs.iter().find(|(class, _)| *class == online.class);
            if newest.is_some_and(|&(_, epoch)| epoch > online.epoch) {
                service.kick(online.conn, pb::KickReason::Replaced, String::new());
                continue;
            }
            let Some(session) = service.session(online.conn) else { continue };
            let Some(head) = session.head_of(user_head.user) else { continue };
            *head = Seq(head.0.max(user_head.head.0));
            service.send_hint(online.conn);
        }
    }
}
