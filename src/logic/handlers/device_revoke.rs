//! DEVICE_REVOKE: a device's tokens and sessions end, wherever they are.

use aldis_wire::limits::DEVICE_ID_BYTES_MAX;
use aldis_wire::{Epoch, UserId, pb};

use super::{bad_request, online};
use crate::cluster::KickOrder;
use crate::effect::{Effect, PeerMail};
use crate::job::{Revoked, Ticket, WriteJob};
use crate::node::LinkUse;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::DeviceRevokeReq = request.decode()?;
    let user = online(service, request)?.user;
    if body.device_id.is_empty() || body.device_id.len() > DEVICE_ID_BYTES_MAX {
        return Err(bad_request("device_id is empty or too long"));
    }
    service.write(request, WriteJob::EndDevice { user, device_id: body.device_id });
    Ok(())
}

pub(super) fn handle_revoked(service: &mut Service, ticket: Ticket, revoked: &Revoked) {
    let Some(session) = service.session(ticket.conn) else { return };
    let Some(user) = session.online().map(|online| online.user) else { return };
    service.respond(ticket, &pb::DeviceRevokeResp {});
    end_sessions(service, user, revoked);
}

/// Ends sessions that the store has revoked: at once where they can be reached, else with their next
/// head check.
pub(super) fn end_sessions(service: &mut Service, user: UserId, revoked: &Revoked) {
    for &(class, epoch) in &revoked.sessions {
        let mut ended = Vec::new();
        service.node.table.for_each_of(user, |online| {
            if online.class == class && online.epoch <= epoch {
                ended.push(online);
            }
        });
        for online in ended {
            let mail = PeerMail::Kick {
                conn: online.conn,
                user,
                epoch: online.epoch,
                reason: pb::KickReason::Revoked,
                device_name: String::new(),
            };
            service.emit(Effect::Post { reactor: online.reactor, mail });
        }
        if service.node.config.link != LinkUse::Off {
            service.emit(Effect::Kick(KickOrder {
                node: None,
                user,
                class,
                epoch: Epoch(epoch.0 + 1),
                reason: pb::KickReason::Revoked,
                device_name: String::new(),
            }));
        }
    }
}
