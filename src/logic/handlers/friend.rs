//! What all changes of what two users are to each other have in common.

use super::{bad_request, online, user_id};
use crate::job::{FriendChange, FriendJob, WriteJob};
use crate::request::{Refusal, Request};
use crate::service::Service;

/// Starts the change.
pub(super) fn change(
    service: &mut Service,
    request: &Request<'_>,
    other: u64,
    change: FriendChange,
) -> Result<(), Refusal> {
    let actor = online(service, request)?.user;
    let other = user_id(other)?;
    if other == actor {
        return Err(bad_request("user_id is one's own"));
    }
    service.write(request, WriteJob::Friend(FriendJob { actor, other, change }));
    Ok(())
}
