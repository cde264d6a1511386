//! USER_UPDATE: the asker's own profile.

use aldis_wire::limits::AVATAR_URL_BYTES_MAX;
use aldis_wire::pb;

use super::{bad_request, check_display_name, check_note, online};
use crate::job::{PresenceAudience, UpdateUser, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::UserUpdateReq = request.decode()?;
    let user = online(service, request)?.user;
    let pb::UserUpdateReq { nickname, avatar_url, presence_audience } = body;
    if let Some(nickname) = &nickname {
        check_display_name(nickname)?;
    }
    if let Some(url) = &avatar_url {
        check_note(url, AVATAR_URL_BYTES_MAX)?;
    }
    let audience = presence_audience.map(audience).transpose()?;
    let update = UpdateUser { user, nickname, avatar_url, audience };
    service.write(request, WriteJob::UpdateUser(update));
    Ok(())
}

fn audience(number: i32) -> Result<PresenceAudience, Refusal> {
    match pb::PresenceAudience::try_from(number) {
        Ok(pb::PresenceAudience::PresenceToFriends) => Ok(PresenceAudience::Friends),
        Ok(pb::PresenceAudience::PresenceToEverybody) => Ok(PresenceAudience::Everybody),
        Ok(pb::PresenceAudience::PresenceToNobody) => Ok(PresenceAudience::Nobody),
        Err(_) => Err(bad_request("unknown presence_audience")),
    }
}
