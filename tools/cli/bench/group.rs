//! Makes the groups of `aldis bench fanout`: created by the first member, who invites the others.

use std::time::Duration;

use aldis_wire::{Command, Frame, pb};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::codec::{SEQ_SET_UP, decode, request_frame};
use super::net::{ConnIndex, Handler, Net, Outbox};

/// Users invited by one request: several requests, so that GROUP_INVITE takes part.
const INVITED_AT_ONCE: usize = 250;
/// A request unanswered for so long: the server does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

#[derive(Default)]
struct Answer {
    conn: ConnIndex,
    result: Option<Result<u64>>,
}

impl Handler for Answer {
    fn handle_frame(&mut self, _: &mut Outbox, conn: ConnIndex, frame: Frame<'_>, _now_ns: u64) {
        if conn != self.conn || frame.header.seq != SEQ_SET_UP {
            return;
        }
        self.result = Some(if frame.header.cmd == Command::GroupCreateResp.id() {
            decode(frame.header, frame.body).map(|resp: pb::GroupCreateResp| resp.group_id)
        } else {
            decode(frame.header, frame.body)
                .map(|resp: pb::GroupInviteResp| resp.added_ids.len() as u64)
        });
    }

    fn handle_closed(&mut self, _: &mut Outbox, conn: ConnIndex, why: &str) {
        self.conn = conn;
        self.result = Some(Err(anyhow::anyhow!("a connection ended while making groups: {why}")));
    }
}

fn ask(net: &mut Net, conn: ConnIndex, frame: &[u8]) -> Result<u64> {
    let mut answer = Answer { conn, result: None };
    net.outbox().send(conn, frame);
    let until_ns = net.now_ns() + ANSWER_WITHIN.as_nanos() as u64;
    loop {
        net.turn(&mut answer, until_ns)?;
        if let Some(result) = answer.result.take() {
            return result;
        }
        if net.now_ns() >= until_ns {
            bail!("no answer within {} s", ANSWER_WITHIN.as_secs());
        }
    }
}

/// Makes a group of these users; the first is the owner, and is logged in on `conn`.
pub fn create(net: &mut Net, conn: ConnIndex, users: &[u64], request_id: [u8; 16]) -> Result<u64> {
    let (_, others) = users.split_first().context("a group has an owner")?;
    let first = &others[..others.len().min(INVITED_AT_ONCE)];
    let request = pb::GroupCreateReq {
        name: "bench".to_owned(),
        member_ids: first.to_vec(),
        request_id: Bytes::copy_from_slice(&request_id),
        open_history: false,
    };
    let frame = request_frame(Command::GroupCreate, SEQ_SET_UP, &request);
    let group_id = ask(net, conn, &frame).context("GROUP_CREATE")?;
    for invited in others[first.len()..].chunks(INVITED_AT_ONCE) {
        let request = pb::GroupInviteReq { group_id, member_ids: invited.to_vec() };
        let frame = request_frame(Command::GroupInvite, SEQ_SET_UP, &request);
        let added = ask(net, conn, &frame).context("GROUP_INVITE")?;
        ensure!(added == invited.len() as u64, "{added} of {} were added", invited.len());
    }
    Ok(group_id)
}
