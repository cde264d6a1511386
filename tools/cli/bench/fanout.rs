//! `aldis bench fanout`: groups of which one member sends and all others receive. Sets the groups
//! up and reports.

use std::ops::Range;

use aldis_wire::limits::GROUP_FANOUT_MAX;
use anyhow::{Context, Result};

use super::args::{FanoutArgs, require, split};
use super::chat::RunIdentity;
use super::codec::{SendTemplate, Target};
use super::group;
use super::login::log_in;
use super::messages::{Messages, Pace, Role, Sender};
use super::net::Net;
use super::receiver::{Expect, Receiver};
use super::report::Report;
use super::stream::Stream;
use super::workers;

pub(super) fn run(args: &FanoutArgs) -> Result<Report> {
    require(args.groups > 0, || "--groups must be above 0".to_owned())?;
    require((2..=GROUP_FANOUT_MAX).contains(&args.members), || {
        format!("--members is 2 to {GROUP_FANOUT_MAX}")
    })?;
    let window = args.messages.window()?;
    let payload_len = args.messages.payload_len()?;
    let server = args.common.server_addr()?;
    let sessions_count = args.members * args.groups;
    let course = args.common.course(sessions_count)?;
    let users = args.common.users(sessions_count)?;
    let tls = args.common.tls()?;
    let identity = RunIdentity::new();
    let expect = Expect { tag: identity.tag, payload_len };
    let receivers = args.members - 1;
    let parts = split(args.groups, args.common.threads);
    let interval_ns = args.messages.interval_ns(parts.len())?;
    let pace = Pace { interval_ns, drain: args.messages.drain()? };
    let measured = workers::run(course, parts, |groups: Range<usize>, gate| {
        let mut net = Net::new(gate.epoch, tls.clone())?;
        let members = groups.start * args.members..groups.end * args.members;
        let first = members.start;
        let users = users.get(members).context("a user per member")?;
        let sessions = log_in(&mut net, &[server], users, first, &gate.progress)?;
        let unix_ms = identity.unix_ms_at(gate.epoch);
        let mut senders = Vec::new();
        let mut roles: Vec<Role> = sessions.iter().map(|_| Role::default()).collect();
        for group in 0..groups.len() {
            let conn = group * args.members;
            let members = &sessions[conn..conn + args.members];
            let ids: Vec<u64> = members.iter().map(|session| session.user_id).collect();
            let mut request_id = [0; 16];
            request_id[..8].copy_from_slice(&unix_ms.to_be_bytes());
            request_id[8..12].copy_from_slice(&identity.tag.0.to_be_bytes());
            request_id[12..].copy_from_slice(&((groups.start + group) as u32).to_be_bytes());
            let group_id = group::create(&mut net, conn, &ids, request_id)?;
            let target = Target::Group(group_id);
            let template = SendTemplate::new(target, payload_len, identity.tag, unix_ms);
            // Waiting for all deliveries keeps the receivers' pushes from piling up.
            let stream = Stream::new(template, window, receivers as u32);
            roles[conn].sends = Some(group);
            for (member, session) in members.iter().enumerate().skip(1) {
                let receiver = Receiver::new(group, ids[0], session.head);
                roles[conn + member].receives = Some(receiver);
            }
            senders.push(Sender { conn, stream, receivers: receivers as u64 });
        }
        let window = gate.wait_for_start()?;
        Messages::new(senders, roles, expect, pace, window).run(&mut net, &gate.progress)
    })?;
    let settings = serde_json::json!({
        "members": args.members, "groups": args.groups, "window": window,
        "rate": args.messages.rate, "payload": payload_len,
    });
    Ok(Report::of_load("fanout", &args.common, settings, measured, sessions_count))
}
