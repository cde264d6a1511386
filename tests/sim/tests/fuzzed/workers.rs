//! The other threads of the node: writer, readers, hashing, directory, and the mail to the reactors.
//! Each does its next thing when it is told to.

use aldis_directory::Directory as _;
use aldis_logic::Service;
use aldis_logic::fan_out;
use aldis_logic::job::{
    DirectoryReply, HashJob, HashReply, HashRequest, HashResult, LocateReply, LocateRequest,
    ReadReply, ReadRequest, Ticket, WriteReply,
};
use aldis_store::memory::Fate;
use aldis_store::{Reader as _, Writer as _};

use crate::world::{CREDITS, Mail, REACTORS, World};

impl World {
    /// Credits bound what is under way.
    pub fn check_queues(&self) {
        for number in 0..REACTORS {
            let of = |ticket: Ticket| usize::from(ticket.reactor.0) == number;
            let writes = self.writes.iter().filter(|request| of(request.ticket)).count();
            let reads = self.reads.iter().filter(|request| of(request.ticket)).count();
            let hashes = self.hashes.iter().filter(|request| of(request.ticket)).count();
            assert!(writes <= CREDITS.write_queue_len(), "{writes} write jobs");
            assert!(reads <= CREDITS.read_queue_len(), "{reads} read jobs");
            assert!(hashes <= CREDITS.hash_queue_len(), "{hashes} hash jobs");
        }
    }

    /// The writer takes what is queued, up to so many, and its transaction ends so.
    pub fn write(&mut self, count: usize, fate: Fate) {
        let mut replies = Vec::new();
        for _ in 0..count.min(self.writes.len()) {
            let Some(request) = self.writes.pop_front() else { break };
            replies.extend(self.batcher.admit(&self.writer, self.now, request));
        }
        let mut events = Vec::new();
        if !self.batcher.is_empty() {
            self.store.plan([fate]);
            let committed = self.writer.commit(self.now.unix_ms, self.batcher.batch());
            for (request, result) in self.batcher.batch().iter().zip(&committed.results) {
                self.judge.note(&request.job, result, fate == Fate::Unknown);
            }
            let (answered, made) = self.batcher.finish(committed);
            replies.extend(answered);
            events = made;
        }
        let written =
            |reply: WriteReply| (usize::from(reply.ticket.reactor.0), Mail::Written(reply));
        self.mails.extend(replies.into_iter().map(written));
        let mut deliveries = vec![Vec::new(); REACTORS];
        fan_out(&events, &self.node, &mut deliveries);
        for (reactor, deliveries) in deliveries.into_iter().enumerate() {
            self.mails.extend(deliveries.into_iter().map(|one| (reactor, Mail::Delivery(one))));
        }
    }

    /// A reader answers; `which` of those that wait, because there are several readers.
    pub fn read(&mut self, which: usize) {
        let at = which % self.reads.len().max(1);
        let Some(ReadRequest { ticket, job }) = self.reads.remove(at) else { return };
        let reply = ReadReply { ticket, result: self.reader.read(&job) };
        self.mails.push_back((usize::from(ticket.reactor.0), Mail::Read(reply)));
    }

    pub fn hash(&mut self) {
        let Some(HashRequest { ticket, job }) = self.hashes.pop_front() else { return };
        let result = match job {
            HashJob::Hash { password } => HashResult::Hashed(format!("phc:{password}")),
            HashJob::Verify { password, password_phc } => {
                HashResult::Verified(password_phc == format!("phc:{password}"))
            }
        };
        let reply = HashReply { ticket, result };
        self.mails.push_back((usize::from(ticket.reactor.0), Mail::Hashed(reply)));
    }

    /// The directory does the next thing; or its queue is full, which the reactor says at once.
    pub fn register(&mut self, is_full: bool) {
        let Some(request) = self.registrations.pop_front() else { return };
        let ticket = request.ticket;
        let reactor = usize::from(ticket.reactor.0);
        if is_full {
            self.services[reactor].handle_directory_full(self.now, &request);
            return self.drain(reactor);
        }
        let done = self.directory.apply(self.now.mono_ms, &[request.job]);
        for registration in done.into_iter().flatten() {
            let reply = DirectoryReply { ticket, registration };
            self.mails.push_back((reactor, Mail::Directory(reply)));
        }
    }

    pub fn locate(&mut self) {
        let Some(LocateRequest { ticket, users }) = self.locates.pop_front() else { return };
        let found = self.directory.sessions_of(self.now.mono_ms, &users);
        let reply = LocateReply { ticket, sessions: found.found, unknown: found.unknown };
        self.mails.push_back((usize::from(ticket.reactor.0), Mail::Located(reply)));
    }

    /// The oldest mail of a reactor arrives; a delivery may be lost on its way, and noticed.
    pub fn deliver(&mut self, reactor: usize, is_lost: bool) {
        let reactor = reactor % REACTORS;
        let Some(at) = self.mails.iter().position(|(to, _)| *to == reactor) else { return };
        let Some((_, mail)) = self.mails.remove(at) else { return };
        let (service, now) = (&mut self.services[reactor], self.now);
        match mail {
            Mail::Written(reply) => service.handle_write_reply(now, reply),
            Mail::Read(reply) => service.handle_read_reply(now, reply),
            Mail::Hashed(reply) => service.handle_hash_reply(now, reply),
            Mail::Directory(reply) => service.handle_directory_reply(now, reply),
            Mail::Located(reply) => service.handle_locate_reply(now, &reply),
            Mail::Delivery(delivery) if is_lost => {
                let conns: Vec<_> = delivery.targets.iter().map(|target| target.conn).collect();
                service.handle_missed(now, &conns);
            }
            Mail::Delivery(delivery) => service.handle_delivery(now, &delivery),
            Mail::Peer(mail) => service.handle_peer(now, mail),
        }
        self.drain(reactor);
    }

    /// All do what they are asked, in order.
    pub fn work(&mut self) {
        self.write(usize::MAX, Fate::Commit);
        while !self.reads.is_empty() {
            self.read(0);
        }
        while !self.hashes.is_empty() {
            self.hash();
        }
        while !self.registrations.is_empty() {
            self.register(false);
        }
        while !self.locates.is_empty() {
            self.locate();
        }
        for _ in 0..self.mails.len() {
            let Some(&(reactor, _)) = self.mails.front() else { break };
            self.deliver(reactor, false);
        }
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        let is_queued = !self.writes.is_empty()
            || !self.reads.is_empty()
            || !self.hashes.is_empty()
            || !self.registrations.is_empty()
            || !self.locates.is_empty()
            || !self.mails.is_empty()
            || !self.resumed.is_empty();
        !is_queued && self.services.iter().all(Service::is_idle)
    }
}
