//! `aldis bench chat`: pairs of users, one or both of whom send. Sets the pairs up and reports.

use std::ops::Range;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::args::{ChatArgs, require, resolve, split};
use super::codec::{RunTag, SendTemplate, Target};
use super::login::log_in;
use super::messages::{Messages, Pace, Role, Sender};
use super::net::Net;
use super::receiver::{Expect, Receiver};
use super::report::Report;
use super::stream::Stream;
use super::workers;

/// What makes the messages of one run its own, and its clock a wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunIdentity {
    /// In every message.
    pub tag: RunTag,
    at: SystemTime,
    at_instant: Instant,
}

impl RunIdentity {
    /// Another one for every run; it only has to differ from what is still under way.
    pub fn new() -> Self {
        let at = SystemTime::now();
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let tag = RunTag((since.as_nanos() as u32).rotate_left(7) ^ std::process::id());
        Self { tag, at, at_instant: Instant::now() }
    }

    /// The wall clock at `epoch`, Unix ms.
    pub fn unix_ms_at(&self, epoch: Instant) -> u64 {
        let since = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let offset = epoch.saturating_duration_since(self.at_instant);
        (since + offset).as_millis() as u64
    }
}

pub(super) fn run(args: &ChatArgs) -> Result<Report> {
    require(args.pairs > 0, || "--pairs must be above 0".to_owned())?;
    let window = args.messages.window()?;
    let payload_len = args.messages.payload_len()?;
    let mut servers = vec![args.common.server_addr()?];
    if let Some(other) = &args.peer_server {
        servers.push(resolve("--peer-server", other)?);
    }
    let course = args.common.course(args.pairs * 2)?;
    let users = args.common.users(args.pairs * 2)?;
    let tls = args.common.tls()?;
    let identity = RunIdentity::new();
    let expect = Expect { tag: identity.tag, payload_len };
    let parts = split(args.pairs, args.common.threads);
    let interval_ns = args.messages.interval_ns(parts.len())?;
    let pace = Pace { interval_ns, drain: args.messages.drain()? };
    let measured = workers::run(course, parts, |pairs: Range<usize>, gate| {
        let mut net = Net::new(gate.epoch, tls.clone())?;
        let first = pairs.start * 2;
        let users = users.get(first..pairs.end * 2).context("two users per pair")?;
        let sessions = log_in(&mut net, &servers, users, first, &gate.progress)?;
        let mut senders = Vec::new();
        let mut roles: Vec<Role> = sessions.iter().map(|_| Role::default()).collect();
        for conn in (0..sessions.len()).filter(|conn| args.both || conn % 2 == 0) {
            let peer = conn ^ 1;
            let target = Target::User(sessions[peer].user_id);
            let unix_ms = identity.unix_ms_at(gate.epoch);
            let template = SendTemplate::new(target, payload_len, identity.tag, unix_ms);
            let stream = Stream::new(template, window, u32::from(args.wait_delivery));
            let index = senders.len();
            let from = sessions[conn].user_id;
            roles[conn].sends = Some(index);
            roles[peer].receives = Some(Receiver::new(index, from, sessions[peer].head));
            senders.push(Sender { conn, stream, receivers: 1 });
        }
        let window = gate.wait_for_start()?;
        Messages::new(senders, roles, expect, pace, window).run(&mut net, &gate.progress)
    })?;
    let settings = serde_json::json!({
        "pairs": args.pairs, "both": args.both, "window": window, "rate": args.messages.rate,
        "payload": payload_len, "wait_delivery": args.wait_delivery,
        "peer_server": args.peer_server,
    });
    Ok(Report::of_load("chat", &args.common, settings, measured, args.pairs * 2))
}
