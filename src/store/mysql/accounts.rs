//! Users, devices and sessions. Knows nothing of messages.

use aldis_logic::job::{Generations, NewUser, OpenSession, SessionOpened, Written};
use aldis_wire::{DeviceClass, Epoch, Seq, UserId};

use super::batch::{Batch, Mark, NewAccount, Outcome};
use super::failure::{Stop, damaged};
use super::working_set::{Device, DeviceKey, NamedUser};
use crate::refusal::{NAME_TAKEN, NO_SUCH_DEVICE, NO_SUCH_USER, TOKEN_REVOKED};

impl<'r> Batch<'r, '_> {
    /// REGISTER.
    pub(super) fn register(&mut self, account: &'r NewUser) -> Result<Outcome, Stop> {
        if let Some(taken) = self.set.names.get(&account.username) {
            return match taken.request_id == account.request_id {
                true => Ok(Written::Registered(taken.user).into()),
                false => Err(NAME_TAKEN.into()),
            };
        }
        let user = self.set.user_ids.take().map(UserId);
        let user = user.ok_or_else(|| damaged("no user ids are left"))?;
        let named = NamedUser { user, request_id: account.request_id };
        self.set.names.insert(account.username.clone(), named);
        self.set.users.insert(user, 0);
        self.made.accounts.push(NewAccount { user, account });
        Ok(Written::Registered(user).into())
    }

    /// LOGIN.
    pub(super) fn open_session(&mut self, job: &OpenSession) -> Result<Outcome, Stop> {
        let user_generation = self.set.users.get(&job.user).copied().ok_or(NO_SUCH_USER)?;
        let key = DeviceKey { user: job.user, device_id: job.device_id.clone() };
        let known = self.set.devices.get(&key);
        let device_generation = known.map_or(0, |device| device.token_generation);
        let generations = Generations { user: user_generation, device: device_generation };
        if job.generations.is_some_and(|asked| asked != generations) {
            return Err(TOKEN_REVOKED.into());
        }
        let class = job.class as u8;
        let device = self.set.devices.entry(key).or_insert_with(|| Device {
            class,
            name: job.device_name.clone(),
            token_generation: 0,
            cursor: 0,
            login_ms: 0,
            is_changed: true,
        });
        device.class = class;
        device.name.clone_from(&job.device_name);
        (device.login_ms, device.is_changed) = (self.now_ms, true);
        let session = self.set.sessions.entry((job.user, job.class)).or_default();
        let before = Epoch(session.epoch);
        // A program that does not know `issued` counts the epoch only.
        session.issued = session.issued.max(session.epoch) + 1;
        session.epoch = session.issued;
        session.device_id.clone_from(&job.device_id);
        session.is_changed = true;
        let (user, class, epoch) = (job.user, job.class, Epoch(session.epoch));
        let opened = SessionOpened { user, class, epoch, before, generations };
        Ok(Written::SessionOpened(opened).into())
    }

    /// A LOGIN that came to nothing. A newer one is not touched.
    pub(super) fn release_session(
        &mut self,
        user: UserId,
        class: DeviceClass,
        epoch: Epoch,
        before: Epoch,
    ) -> Outcome {
        if let Some(session) = self.set.sessions.get_mut(&(user, class))
            && session.epoch == epoch.0
        {
            session.epoch = before.0;
            session.device_id.clear();
            session.is_changed = true;
        }
        Written::SessionReleased.into()
    }

    /// LOGOUT. A device that never logged in has no tokens to end.
    pub(super) fn revoke_device(&mut self, user: UserId, device_id: &str) -> Outcome {
        let key = DeviceKey { user, device_id: device_id.to_owned() };
        if let Some(device) = self.set.devices.get_mut(&key) {
            device.token_generation = device.token_generation.saturating_add(1);
            device.is_changed = true;
        }
        Written::DeviceRevoked.into()
    }

    /// MARK_DELIVERED. A cursor never passes the mailbox's head.
    pub(super) fn mark_delivered(
        &mut self,
        user: UserId,
        device_id: &str,
        seq: Seq,
    ) -> Result<Outcome, Stop> {
        let device = DeviceKey { user, device_id: device_id.to_owned() };
        let stored = self.set.devices.get(&device).ok_or(NO_SUCH_DEVICE)?;
        if seq.0 > stored.cursor {
            let entry_count = self.made.entries.len();
            self.made.marks.push(Mark { device, seq, entry_count });
        }
        Ok(Written::Marked.into())
    }
}
