//! PRESENCE_QUERY: which of these users are online, and since when the others are not.

use aldis_wire::pb;

use super::presence;
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::PresenceQueryReq = request.decode()?;
    presence::ask(service, request, &body.user_ids)
}
