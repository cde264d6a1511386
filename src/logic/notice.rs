//! Notifications that are in no store: whom they reach on this node. Nobody looks again for those who
//! are not there, and where there is no room they are dropped. Knows what is said as bytes only.

use aldis_wire::{Command, ConnId, OutFrame, UserId};
use bytes::Bytes;
use smallvec::SmallVec;

use crate::effect::{Effect, Lane, PeerMail};
use crate::job::ReactorId;
use crate::node::LinkUse;
use crate::service::Service;
use crate::table::SessionTable;

/// One notification and whom it is for, wherever they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is.
    pub command: Command,
    /// Its encoded body.
    pub body: Bytes,
    /// All sessions of these users get it.
    pub users: SmallVec<[UserId; 2]>,
}

impl Notice {
    /// What it takes in memory, bytes, roughly.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.body.len() + self.users.len() * size_of::<UserId>()
    }
}

/// A notification for sessions of one reactor.
#[derive(Clone, Debug)]
pub struct NoticeMail {
    /// What each of them gets.
    pub frame: OutFrame,
    /// Which, and whose they must still be.
    pub targets: SmallVec<[(ConnId, UserId); 1]>,
}

/// Sorts a notification by reactor.
pub(crate) fn place(notice: &Notice, table: &SessionTable) -> Vec<(ReactorId, PeerMail)> {
    let mut mails: Vec<(ReactorId, NoticeMail)> = Vec::new();
    for &user in &notice.users {
        table.for_each_of(user, |online| {
            let target = (online.conn, user);
            match mails.iter_mut().find(|(reactor, _)| *reactor == online.reactor) {
                Some((_, mail)) => mail.targets.push(target),
                None => {
                    let frame = OutFrame::shared_notification(notice.command, notice.body.clone());
                    let targets = SmallVec::from_buf([target]);
                    mails.push((online.reactor, NoticeMail { frame, targets }));
                }
            }
        });
    }
    mails.into_iter().map(|(reactor, mail)| (reactor, PeerMail::Notice(mail))).collect()
}

impl Service {
    /// Tells users something, wherever they are.
    pub(crate) fn notify(&mut self, notice: Notice) {
        if notice.users.is_empty() {
            return;
        }
        for (reactor, mail) in place(&notice, &self.node.table) {
            self.emit(Effect::Post { reactor, mail });
        }
        if self.node.config.link != LinkUse::Off {
            self.emit(Effect::Notice(notice));
        }
    }

    /// A notification for sessions of this reactor. To one that is behind, it would only come later.
    pub(crate) fn handle_notice(&mut self, mail: NoticeMail) {
        for (conn, user) in mail.targets {
            let Some(session) = self.session(conn) else { continue };
            let is_theirs = session.online().is_some_and(|online| online.user == user);
            if is_theirs && !session.is_closing && !session.is_behind {
                let frame = mail.frame.clone();
                self.emit(Effect::Send { conn, frame, lane: Lane::Notice });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::{DeviceClass, Epoch};

    use super::*;
    use crate::table::Online;

    #[test]
    fn each_reactor_gets_one_mail_for_all_its_sessions() {
        let table = SessionTable::default();
        let enter = |user, reactor, index, class| {
            let conn = ConnId { index, generation: 0 };
            let reactor = ReactorId(reactor);
            table.enter(UserId(user), Online { reactor, conn, class, epoch: Epoch(1) });
        };
        enter(1, 0, 1, DeviceClass::Phone);
        enter(1, 1, 2, DeviceClass::Web);
        enter(2, 0, 3, DeviceClass::Phone);
        enter(3, 0, 4, DeviceClass::Phone);
        let users = [1, 2, 9].map(UserId).into_iter().collect();
        let body = Bytes::from_static(b"body");
        let mails = place(&Notice { command: Command::TypingNotify, body, users }, &table);
        let told = mails.iter().map(|(reactor, mail)| match mail {
            PeerMail::Notice(mail) => (reactor.0, mail.targets.len(), mail.frame.len()),
            other => panic!("{other:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), [(0, 2, 20), (1, 1, 20)]);
    }
}
