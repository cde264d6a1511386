//! `aldis bench idle`: what a logged-in connection costs that does nothing.

use std::ops::Range;

use aldis_wire::{Command, Frame};
use anyhow::{Context, Result};

use super::args::{IdleArgs, split};
use super::login::log_in;
use super::net::{ConnIndex, Handler, Net, Outbox};
use super::proc_stats::pss_bytes;
use super::report::Report;
use super::tally::Tally;
use super::workers;
use super::workers::Window;

struct Quiet {
    tally: Tally,
}

impl Quiet {
    fn run(mut self, net: &mut Net, window: Window) -> Result<Tally> {
        while net.now_ns() < window.end_ns {
            net.turn(&mut self, window.end_ns)?;
        }
        Ok(self.tally)
    }
}

impl Handler for Quiet {
    fn handle_frame(&mut self, _: &mut Outbox, conn: ConnIndex, frame: Frame<'_>, _now_ns: u64) {
        let expected = [Command::HeartbeatResp.id(), Command::MsgPushNotify.id()];
        if !expected.contains(&frame.header.cmd) {
            self.tally
                .faults
                .add("unexpected frames", || format!("connection {conn}: {:?}", frame.header));
        }
    }

    fn handle_closed(&mut self, _: &mut Outbox, conn: ConnIndex, why: &str) {
        self.tally.faults.add("connections lost", || format!("connection {conn}: {why}"));
    }
}

pub(super) fn run(args: &IdleArgs) -> Result<Report> {
    let server = args.common.server_addr()?;
    let course = args.common.course(args.connections)?;
    let users = args.common.users(args.connections)?;
    let tls = args.common.tls()?;
    let before = workers::sum_of(&args.common.server_pid, pss_bytes)?;
    let parts = split(args.connections, args.common.threads);
    let measured = workers::run(course, parts, |range: Range<usize>, gate| {
        let mut net = Net::new(gate.epoch, tls.clone())?;
        let first = range.start;
        let users = users.get(range).context("a user per connection")?;
        log_in(&mut net, &[server], users, first, &gate.progress)?;
        let window = gate.wait_for_start()?;
        Quiet { tally: Tally::default() }.run(&mut net, window)
    })?;
    let settings = serde_json::json!({ "connections": args.connections });
    Ok(Report::of_idle(&args.common, settings, measured, args.connections, before))
}
