//! One device of a user: a client of the library and the picture it has.

use std::time::{Duration, Instant};

use aldis_client::core::{Config, Credentials, Event, Outgoing, SavedState, Start, Target};
use aldis_client::{Client, ClientConfig, ClientError};
use aldis_wire::{ClientMsgId, Code, DeviceClass, GroupId, pb};

use crate::diary::Diary;

/// See the file's first line.
pub struct Device {
    pub user: u64,
    pub class: DeviceClass,
    pub client: Client,
    pub diary: Diary,
    server: String,
    name: String,
}

impl Device {
    /// A device without anything stored, logged in.
    pub fn install(server: String, name: &str, class: DeviceClass) -> Self {
        let mut core = Config::new(format!("{name}-{}", class.number()), class);
        core.start = Start::Zero;
        let client = Client::new(ClientConfig::new(&server, core), SavedState::default());
        let mut client = client.expect("a client");
        let credentials =
            Credentials::Password { username: name.to_owned(), password: password(name) };
        let user = client.login(credentials).expect("the user logs in").user_id;
        let diary = Diary::default();
        Self { user, class, client, diary, server, name: name.to_owned() }
    }

    /// The same device with nothing left on it; its connection is cut without a word.
    pub fn reinstall(self) -> Self {
        let Self { server, name, class, client, .. } = self;
        drop(client);
        Self::install(server, &name, class)
    }

    /// Where it connects to.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Sends a text that refers to something.
    pub fn replies(&mut self, group: GroupId, text: &str, refs: pb::MessageRefs) {
        let (core, now) = self.client.core_mut();
        let message = Outgoing {
            target: Target::Group(group),
            client_msg_id: ClientMsgId(core.new_request_id(now).0),
            kind: pb::MsgType::Text,
            content: text.as_bytes().to_vec().into(),
            extra: Default::default(),
            refs: Some(Box::new(refs)),
        };
        self.client.send_again(message).expect("it is stored");
    }

    /// Takes in what has come, waiting for it a moment.
    pub fn listen(&mut self, moment: Duration) {
        let until = Instant::now() + moment;
        while let Some(event) = self.client.wait_event(until).expect("the connection holds") {
            match event {
                Event::Entry { entry, .. } => self.diary.apply(self.user, &entry),
                Event::Kicked { .. } | Event::LoginFailed { .. } | Event::Resynced { .. } => {
                    panic!("{} on {:?}: {event:?}", self.name, self.class)
                }
                _ => {}
            }
        }
    }

    /// Whether it has applied the mailbox and these streams up to their heads of now.
    pub fn is_current(&mut self, streams: impl Iterator<Item = u64>) -> bool {
        let local = self.client.core().local_seq(0).unwrap_or(0);
        let is_current = self.client.sync_page(0, local, 1).expect("a page").head == local;
        // Each is asked: what the answer brings along is news as well.
        streams.fold(is_current, |is_current, stream| self.is_current_in(stream) && is_current)
    }

    /// What is over is no longer followed, and stays applied up to its end.
    fn is_current_in(&mut self, stream: u64) -> bool {
        let applied = self.client.core().export_state().streams;
        let applied = applied.into_iter().find(|(id, _)| *id == stream).map(|(_, seq)| seq);
        let is_followed = self.client.core().local_seq(stream).is_some();
        match self.client.sync_page(stream, applied.unwrap_or(0), 1) {
            Ok(page) => applied == Some(page.head) && is_followed != page.is_over,
            Err(ClientError::Refused { code: Code::NotFound, .. }) => applied.is_none(),
            Err(error) => panic!("{} in {stream}: {error}", self.name),
        }
    }

    /// The entries of a stream from its beginning, as the server has them for this user.
    pub fn read_stream(&mut self, stream: u64) -> Vec<pb::MessageData> {
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let page = match self.client.sync_page(stream, after, 0) {
                Err(ClientError::Refused { code: Code::NotFound, .. }) => return entries,
                page => page.expect("a page"),
            };
            after = page.entries.last().map_or(page.skipped_to, |entry| entry.seq);
            entries.extend(page.entries);
            if !page.more {
                return entries;
            }
        }
    }
}

/// Of the user with this name.
pub fn password(name: &str) -> String {
    format!("the password of {name}")
}
