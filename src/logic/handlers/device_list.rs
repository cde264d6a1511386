//! DEVICE_LIST: on which devices one has logged in, and which of them are online.

use aldis_wire::limits::DEVICE_LIST_MAX;
use aldis_wire::{DeviceClass, Epoch, pb};

use super::online;
use crate::aside::Pending;
use crate::job::{Device, LocateReply, ReadJob, Ticket};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let _: pb::DeviceListReq = request.decode()?;
    let user = online(service, request)?.user;
    service.read(request, ReadJob::Devices { user, limit: DEVICE_LIST_MAX });
    Ok(())
}

/// The store said which; the directory is asked which are online.
pub(super) fn handle_devices(service: &mut Service, ticket: Ticket, devices: Vec<Device>) {
    let Some(session) = service.session(ticket.conn) else { return };
    let Some(user) = session.online().map(|online| online.user) else { return };
    session.aside().pending.push((ticket.request, Pending::Devices(devices)));
    service.begin(ticket.conn);
    service.start_locate(ticket, vec![user]);
}

/// The directory answered, or could not: then those on other nodes count as offline.
pub(super) fn handle_located(service: &mut Service, ticket: Ticket, reply: &LocateReply) {
    let this = service.node.config.node;
    let elsewhere = reply.sessions.iter().filter(|record| record.node != this);
    let mut live: Vec<(DeviceClass, Epoch)> =
        elsewhere.map(|record| (record.class, record.epoch)).collect();
    let Some(session) = service.session(ticket.conn) else { return };
    let Some(Pending::Devices(devices)) = session.take_pending(ticket.request) else { return };
    let Some(online) = session.online() else { return };
    let (user, own_id) = (online.user, online.device_id.clone());
    service.node.table.for_each_of(user, |online| live.push((online.class, online.epoch)));
    let shown = devices.into_iter().map(|device| {
        let session = device.epoch.map(|epoch| (device.class, epoch));
        pb::DeviceInfo {
            is_online: session.is_some_and(|session| live.contains(&session)),
            is_this: *device.device_id == *own_id,
            device_id: device.device_id,
            device_class: pb::DeviceClass::from(device.class).into(),
            device_name: device.name,
            login_time_ms: device.login_ms,
        }
    });
    let devices = shown.collect();
    service.respond(ticket, &pb::DeviceListResp { devices });
}
