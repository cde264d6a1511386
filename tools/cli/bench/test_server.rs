//! A server for tests of the generator: as much protocol as the loads use, a thread per
//! connection, everything in memory, with faults that can be planted.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aldis_wire::{Code, Command, Frame, HEADER_LEN, Message, OutFrame, parse_frame, pb};

/// What goes wrong, by number of the message in its conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Planted {
    /// Nothing.
    #[default]
    Nothing,
    /// The third message is stored but never pushed; a hint says so.
    HintInsteadOfPush,
    /// The third message is stored but not pushed, and nobody says so.
    SilentLossOfPush,
    /// The third message is acknowledged and forgotten.
    LostAfterAck,
    /// The third message is pushed twice.
    PushedTwice,
    /// The third message is stored twice.
    StoredTwice,
    /// The content of the third message is changed.
    Changed,
    /// The third send and those of its conversation that follow at once are refused.
    Busy,
    /// The third send is refused for good.
    Forbidden,
}

#[derive(Default)]
struct State {
    streams: HashMap<u64, TcpStream>,
    mailboxes: HashMap<u64, Vec<pb::MessageData>>,
    conversations: BTreeMap<(u64, u64), u64>,
    groups: Vec<Vec<u64>>,
    planted: Planted,
    /// The conversation and message that a resend must begin with, once a send was refused.
    refused: HashMap<(u64, u64, u64), bytes::Bytes>,
    busy_left: bool,
}

/// Starts a server that lives as long as the test process, and says where.
pub fn start(planted: Planted) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Mutex::new(State { planted, busy_left: true, ..State::default() }));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let state = state.clone();
            std::thread::spawn(move || serve(stream, &state));
        }
    });
    address
}

/// A tokens file for users 1 to `count`, whose token is their number.
pub fn tokens(count: u64, name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("aldis-bench-{}-{name}", std::process::id()));
    let lines: String =
        (1..=count).map(|user| format!("{user}\tuser{user}\t{user}\td\t5\n")).collect();
    std::fs::write(&path, lines).unwrap();
    path
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut bytes = Vec::new();
    let mut scratch = [0; 4096];
    let mut user = 0;
    while let Ok(len @ 1..) = stream.read(&mut scratch) {
        bytes.extend_from_slice(&scratch[..len]);
        let mut used = 0;
        while let Ok(Some(frame)) = parse_frame(&bytes[used..], 1 << 20) {
            used += HEADER_LEN + frame.body.len();
            state.lock().unwrap().handle(&stream, &mut user, frame);
        }
        bytes.drain(..used);
    }
}

impl State {
    fn handle(&mut self, stream: &TcpStream, user: &mut u64, frame: Frame<'_>) {
        let seq = frame.header.seq;
        let answer = match Command::request(frame.header.cmd).unwrap() {
            Command::Login => {
                let request = pb::LoginReq::decode(frame.body).unwrap();
                *user = request.token.parse().unwrap();
                self.streams.insert(*user, stream.try_clone().unwrap());
                let head = self.head(*user);
                let heads = vec![pb::StreamHead { stream: 0, head, cursor: 0 }];
                let body = pb::LoginResp { user_id: *user, heads, ..Default::default() };
                OutFrame::response(Command::Login, seq, &body)
            }
            Command::Heartbeat => {
                let body = pb::HeartbeatResp { head_seq: self.head(*user), ..Default::default() };
                OutFrame::response(Command::Heartbeat, seq, &body)
            }
            Command::GroupCreate => {
                let request = pb::GroupCreateReq::decode(frame.body).unwrap();
                self.groups.push([&[*user], request.member_ids.as_slice()].concat());
                let body = pb::GroupCreateResp { group_id: self.groups.len() as u64, seq: 0 };
                OutFrame::response(Command::GroupCreate, seq, &body)
            }
            Command::GroupInvite => {
                let request = pb::GroupInviteReq::decode(frame.body).unwrap();
                self.groups[request.group_id as usize - 1].extend(&request.member_ids);
                let body = pb::GroupInviteResp { added_ids: request.member_ids, seq: 0 };
                OutFrame::response(Command::GroupInvite, seq, &body)
            }
            Command::MsgSync => {
                let request = pb::MsgSyncReq::decode(frame.body).unwrap();
                let head = self.head(*user);
                let entries = self.mailboxes.entry(*user).or_default();
                let from = entries.partition_point(|entry| entry.seq <= request.after_seq);
                let entries = entries[from..].to_vec();
                let body = pb::MsgSyncResp { entries, head, ..Default::default() };
                OutFrame::response(Command::MsgSync, seq, &body)
            }
            Command::MsgSend => self.send(*user, frame),
            other => panic!("the generator does not send {other:?}"),
        };
        write(stream, &answer);
    }

    fn head(&self, user: u64) -> u64 {
        let last = self.mailboxes.get(&user).and_then(|entries| entries.last());
        last.map_or(0, |entry| entry.seq)
    }

    fn send(&mut self, sender: u64, frame: Frame<'_>) -> OutFrame {
        let seq = frame.header.seq;
        let request = pb::MsgSendReq::decode(frame.body).unwrap();
        let group = request.group_id;
        let peer = request.receiver_id;
        let key = if group > 0 { (0, group) } else { (sender.min(peer), sender.max(peer)) };
        let error = |code| OutFrame::error(Command::MsgSend.id(), seq, code, "planted", 1);
        let order = (key.0, key.1, sender);
        if let Some(first) = self.refused.get(&order) {
            if *first != request.client_msg_id {
                return error(Code::Busy);
            }
            self.refused.remove(&order);
        }
        let conv_seq = self.conversations.get(&key).copied().unwrap_or(0) + 1;
        let third = conv_seq == 3;
        if third && self.planted == Planted::Busy && std::mem::take(&mut self.busy_left) {
            self.refused.insert(order, request.client_msg_id);
            return error(Code::Busy);
        }
        if third && self.planted == Planted::Forbidden && std::mem::take(&mut self.busy_left) {
            return error(Code::Forbidden);
        }
        self.conversations.insert(key, conv_seq);
        let owners = match group {
            0 => vec![sender, peer],
            group => self.groups[group as usize - 1].clone(),
        };
        let message = pb::MessageData {
            conv_seq,
            sender_id: sender,
            receiver_id: peer,
            group_id: group,
            r#type: request.r#type,
            content: request.content,
            client_msg_id: request.client_msg_id,
            ..Default::default()
        };
        for owner in owners {
            self.store(owner, &message, third);
        }
        let body = pb::MsgSendResp { msg_id: 1, seq: 0, conv_seq, send_time_ms: 1 };
        OutFrame::response(Command::MsgSend, seq, &body)
    }

    /// Stores an entry and pushes it to all but the sender.
    fn store(&mut self, owner: u64, message: &pb::MessageData, third: bool) {
        let planted =
            if third && owner != message.sender_id { self.planted } else { Planted::Nothing };
        if planted == Planted::LostAfterAck {
            return;
        }
        let mut entry = message.clone();
        if planted == Planted::Changed {
            entry.content = b"changed".to_vec().into();
        }
        let copies = if planted == Planted::StoredTwice { 2 } else { 1 };
        let mut entries = Vec::new();
        for _ in 0..copies {
            entry.seq = self.head(owner) + 1;
            self.mailboxes.entry(owner).or_default().push(entry.clone());
            entries.push(entry.clone());
        }
        let head = entry.seq;
        match planted {
            Planted::PushedTwice => entries.push(entry),
            Planted::HintInsteadOfPush => entries.clear(),
            _ => {}
        }
        if owner != message.sender_id && planted != Planted::SilentLossOfPush {
            let body = pb::MsgPushNotify { stream: 0, head, entries };
            let frame = OutFrame::notification(Command::MsgPushNotify, &body);
            write(&self.streams[&owner], &frame);
        }
    }
}

fn write(mut stream: &TcpStream, frame: &OutFrame) {
    // A generator that has finished does not read the rest.
    let _ = stream.write_all(&frame.to_vec());
}
