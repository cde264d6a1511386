//! A server under abuse with a pair of clients that behave, and what must hold afterwards.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aldis_wire::DeviceClass;

use crate::process::descriptor_count;
use crate::{Pair, RawClient, Server, ServerOptions};

/// Time for the server to notice that all abusers are gone: longer than any of its deadlines.
const SETTLE_MAX: Duration = Duration::from_secs(40);

/// See the file's first line.
pub struct Scene {
    /// The server.
    pub server: Server,
    pair: Pair,
    descriptors: usize,
}

impl Scene {
    /// A server with its defaults, and the pair at work.
    pub fn start() -> Self {
        Self::start_with(ServerOptions::default())
    }

    /// A server with these options, and the pair at work.
    pub fn start_with(options: ServerOptions) -> Self {
        let server = Server::start_with(options);
        let pair = Pair::start(&server);
        let mut descriptors = descriptor_count(server.pid());
        // The connections that registered the pair may still be closing.
        wait_for("descriptors settle", || {
            let before = std::mem::replace(&mut descriptors, descriptor_count(server.pid()));
            before == descriptors
        });
        Self { server, pair, descriptors }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A new user who is logged in; its connection and id.
    pub fn user(&self, name: &str) -> (RawClient, u64) {
        let password = "a password of a test";
        let id = RawClient::register(self.address(), name, password);
        (RawClient::login(self.address(), name, password, DeviceClass::Desktop), id)
    }

    /// The users of the pair, whom a test must leave in peace.
    pub fn pair_ids(&self) -> [u64; 2] {
        self.pair.ids()
    }

    /// Waits until the pair has done a round that began after this call.
    pub fn pair_is_served(&self) {
        self.pair.wait_rounds(2);
    }

    /// To be called when all abusive connections are dropped: the same process serves on, nothing
    /// was logged that an operator must act on, no descriptor leaked, and the pair noticed nothing.
    pub fn finish(mut self) {
        wait_for("descriptors are given back", || {
            descriptor_count(self.server.pid()) <= self.descriptors
        });
        self.pair.finish();
        assert!(self.server.is_running(), "the server has ended");
        let log = self.server.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(!log.contains("ERROR"), "{log}");
    }
}

/// Waits until something holds; panics if it never does.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SETTLE_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
