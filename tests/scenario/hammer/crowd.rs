//! The users of a hammer, with a token for a device of each class, so that every part they play
//! has a session of its own. Knows no traffic.

use aldis_wire::{DeviceClass, UserId};

use crate::{SeededUser, Server};

/// Writers, and members that come and go.
pub(super) const WRITING: DeviceClass = DeviceClass::Desktop;
/// The second device of those who send everything twice.
pub(super) const ECHOING: DeviceClass = DeviceClass::Phone;
/// Readers under load.
pub(super) const READING: DeviceClass = DeviceClass::Tablet;
/// Who founds groups and invites into them.
pub(super) const FOUNDING: DeviceClass = DeviceClass::Device;
/// Those who read everything at the end.
pub(super) const REREADING: DeviceClass = DeviceClass::Web;

/// See the file's head.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// By class, in the order of `DeviceClass::ALL`.
    by_class: Vec<Vec<SeededUser>>,
}

impl Crowd {
    /// Makes `count` users, or takes those that an earlier call with this prefix made.
    pub fn seed(server: &Server, prefix: &str, count: usize) -> Self {
        let of_class = |class| server.seed_users(prefix, count, class);
        Self { by_class: DeviceClass::ALL.into_iter().map(of_class).collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_class.first().map_or(0, Vec::len)
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of the user with this index.
    pub fn id(&self, index: usize) -> UserId {
        UserId(self.by_class[0][index].id)
    }

    /// The token of the user with this index for a device of this class.
    pub fn device(&self, index: usize, class: DeviceClass) -> &SeededUser {
        &self.by_class[class.number() as usize - 1][index]
    }
}
