//! Users, devices and sessions of a memory store.

use aldis_logic::job::{Generations, JobError, NewUser, OpenSession, SessionOpened, Written};
use aldis_wire::{DeviceClass, Epoch, Seq, UserId};

use super::state::{Run, State, User};
use crate::refusal::{NAME_TAKEN, NO_SUCH_DEVICE, NO_SUCH_USER, TOKEN_REVOKED};

impl State {
    pub(super) fn user_by_name(&self, name: &str) -> Option<(UserId, &User)> {
        let id = *self.names.get(name)?;
        Some((id, self.users.get(&id)?))
    }

    pub(super) fn insert_user(&mut self, user: &NewUser) -> UserId {
        let id = self.next_user_id();
        self.names.insert(user.username.clone(), id);
        let user = User {
            username: user.username.clone(),
            nickname: user.nickname.clone(),
            avatar_url: String::new(),
            password_phc: user.password_phc.clone(),
            token_generation: 0,
            request_id: user.request_id,
        };
        self.users.insert(id, user);
        id
    }
}

impl Run<'_> {
    pub(super) fn register(&mut self, user: &NewUser) -> Result<Written, JobError> {
        match self.state.user_by_name(&user.username) {
            Some((id, known)) if known.request_id == user.request_id => Ok(Written::Registered(id)),
            Some(_) => Err(NAME_TAKEN),
            None => Ok(Written::Registered(self.state.insert_user(user))),
        }
    }

    pub(super) fn open_session(&mut self, job: &OpenSession) -> Result<Written, JobError> {
        let user = self.state.users.get(&job.user).ok_or(NO_SUCH_USER)?;
        let key = (job.user, job.device_id.clone());
        let device_generation =
            self.state.devices.get(&key).map_or(0, |device| device.token_generation);
        let generations = Generations { user: user.token_generation, device: device_generation };
        if job.generations.is_some_and(|asked| asked != generations) {
            return Err(TOKEN_REVOKED);
        }
        let device = self.state.devices.entry(key).or_default();
        device.class = Some(job.class);
        device.name.clone_from(&job.device_name);
        device.login_ms = self.now_ms;
        let session = self.state.sessions.entry((job.user, job.class)).or_default();
        let before = Epoch(session.epoch);
        session.issued += 1;
        session.epoch = session.issued;
        session.device_id.clone_from(&job.device_id);
        let (user, class, epoch) = (job.user, job.class, Epoch(session.epoch));
        Ok(Written::SessionOpened(SessionOpened { user, class, epoch, before, generations }))
    }

    pub(super) fn release_session(
        &mut self,
        user: UserId,
        class: DeviceClass,
        epoch: Epoch,
        before: Epoch,
    ) {
        if let Some(session) = self.state.sessions.get_mut(&(user, class))
            && session.epoch == epoch.0
        {
            session.epoch = before.0;
            session.device_id.clear();
        }
    }

    pub(super) fn revoke_device(&mut self, user: UserId, device_id: &str) {
        if let Some(device) = self.state.devices.get_mut(&(user, device_id.to_owned())) {
            device.token_generation += 1;
        }
    }

    pub(super) fn mark_delivered(
        &mut self,
        user: UserId,
        device_id: &str,
        seq: Seq,
    ) -> Result<Written, JobError> {
        let head = self.state.head(user);
        let key = (user, device_id.to_owned());
        let device = self.state.devices.get_mut(&key).ok_or(NO_SUCH_DEVICE)?;
        device.cursor = device.cursor.max(seq.0.min(head));
        Ok(Written::Marked)
    }
}
