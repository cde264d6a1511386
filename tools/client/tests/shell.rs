//! The blocking client and the recorder over real sockets, against a scripted server on a thread.
//! Goal: what the core decides happens on the wire, and every wait ends.

// Helpers of tests fail like tests.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_client::core::{Credentials, Event};
use aldis_client::recorder::HistoryFile;
use aldis_client::shell::ClientConfig;
use aldis_client::{Client, ClientError, Config, SavedState, Target};
use aldis_wire::{Code, Command, DeviceClass, Message, OutFrame, UserId, limits, parse_frame, pb};
use bytes::Bytes;

/// Long enough for any machine; only broken clients wait so long.
const FOREVER: Duration = Duration::from_secs(60);

/// The server's end of one connection.
struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// The next request; heartbeats and marks are answered by the way.
    fn request(&mut self) -> (Command, u32, Vec<u8>) {
        loop {
            let parsed = parse_frame(&self.buffer, limits::BODY_BYTES_MAX).unwrap();
            if let Some(frame) = parsed {
                let command = Command::request(frame.header.cmd).unwrap();
                let (seq, body) = (frame.header.seq, frame.body.to_vec());
                self.buffer.drain(..16 + body.len());
                if command == Command::MarkDelivered {
                    self.give(&OutFrame::response(command, seq, &pb::MarkDeliveredResp {}));
                    continue;
                }
                return (command, seq, body);
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the client left");
            self.buffer.extend_from_slice(&bytes[..count]);
        }
    }

    fn expect<M: Message + Default>(&mut self, command: Command) -> (u32, M) {
        let (got, seq, body) = self.request();
        assert_eq!(got, command);
        (seq, M::decode(&body[..]).unwrap())
    }

    fn give(&mut self, frame: &OutFrame) {
        self.stream.write_all(&frame.to_vec()).unwrap();
    }

    fn log_in(&mut self, head: u64) {
        let (seq, _) = self.expect::<pb::LoginReq>(Command::Login);
        let resp = pb::LoginResp {
            user_id: 7,
            session_id: 1,
            token: "t".into(),
            heads: vec![pb::StreamHead { stream: 0, head, cursor: 0 }],
            store_epoch: 1,
            cursor: head,
            heartbeat_interval_ms: 60_000,
            ..Default::default()
        };
        self.give(&OutFrame::response(Command::Login, seq, &resp));
    }

    fn ack(&mut self, seq: u32, mailbox_seq: u64) {
        let resp = pb::MsgSendResp { msg_id: 9, seq: mailbox_seq, conv_seq: 1, send_time_ms: 1 };
        self.give(&OutFrame::response(Command::MsgSend, seq, &resp));
    }
}

fn serve(script: impl FnOnce(&TcpListener) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, std::thread::spawn(move || script(&listener)))
}

fn config(server: &str) -> ClientConfig {
    let mut config = ClientConfig::new(server, Config::new("dev", DeviceClass::Desktop));
    config.call_timeout = FOREVER;
    config
}

fn client(server: &str) -> Client {
    Client::new(config(server), SavedState::default()).unwrap()
}

fn password() -> Credentials {
    Credentials::Password { username: "ada".into(), password: "secret-1".into() }
}

fn bob() -> Target {
    Target::User(UserId(8))
}

#[test]
fn a_server_that_is_not_there_is_reported_at_once_when_asked_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut config = config(&address);
    config.fail_fast = true;
    let mut client = Client::new(config, SavedState::default()).unwrap();
    let error = client.login(password()).unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    let error = client.register("ada", "secret-1", "").unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

#[test]
fn a_server_that_never_answers_costs_the_time_of_the_call_and_no_more() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(listener);
        peer.expect::<pb::LoginReq>(Command::Login);
        let mut rest = Vec::new();
        let _ = peer.stream.read_to_end(&mut rest);
    });
    let mut config = config(&address);
    config.call_timeout = Duration::from_millis(50);
    let mut client = Client::new(config, SavedState::default()).unwrap();
    assert!(matches!(client.login(password()), Err(ClientError::Timeout)));
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_send_cut_off_is_sent_again_with_its_id_on_the_next_connection() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(listener);
        peer.log_in(0);
        let (_, first) = peer.expect::<pb::MsgSendReq>(Command::MsgSend);
        drop(peer);
        let mut peer = Peer::accept(listener);
        peer.log_in(1);
        // Its own entry may be asked for by sync or come with the answer, whichever is first.
        loop {
            let (command, seq, body) = peer.request();
            match command {
                Command::MsgSync => {
                    let page = pb::MsgSyncResp { head: 1, more: true, ..Default::default() };
                    peer.give(&OutFrame::response(command, seq, &page));
                }
                _ => {
                    let again = pb::MsgSendReq::decode(&body[..]).unwrap();
                    assert_eq!(again, first);
                    break peer.ack(seq, 1);
                }
            }
        }
    });
    let mut client = client(&address);
    client.login(password()).unwrap();
    let (_, ack) = client.send(bob(), pb::MsgType::Text, Bytes::from("hi")).unwrap();
    assert_eq!(ack.seq, 1);
    let deadline = Instant::now() + FOREVER;
    loop {
        match client.wait_event(deadline).unwrap().expect("an event comes") {
            Event::Entry { entry, .. } => break assert_eq!(&entry.content[..], b"hi"),
            _ => continue,
        }
    }
    server.join().unwrap();
}

#[test]
fn calls_are_repeated_while_the_server_is_busy_and_leave_other_events_alone() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(listener);
        peer.log_in(0);
        let (seq, _) = peer.expect::<pb::UserFindReq>(Command::UserFind);
        peer.give(&OutFrame::error(Command::UserFind.id(), seq, Code::Busy, "", 5));
        let entries = vec![pb::MessageData { seq: 1, ..Default::default() }];
        let push = pb::MsgPushNotify { stream: 0, head: 1, entries };
        peer.give(&OutFrame::notification(Command::MsgPushNotify, &push));
        let (seq, _) = peer.expect::<pb::UserFindReq>(Command::UserFind);
        let users = vec![pb::UserInfo { user_id: 8, ..Default::default() }];
        peer.give(&OutFrame::response(Command::UserFind, seq, &pb::UserFindResp { users }));
    });
    let mut client = client(&address);
    client.login(password()).unwrap();
    assert_eq!(client.find_users("bob", 1).unwrap()[0].user_id, 8);
    let event = client.wait_event(Instant::now() + FOREVER).unwrap();
    assert!(matches!(event, Some(Event::Entry { .. })), "{event:?}");
    server.join().unwrap();
}

#[test]
fn large_messages_and_pages_pass_in_both_directions() {
    const PAGE_ENTRIES: u64 = 3;
    let content = Bytes::from(vec![b'x'; limits::CONTENT_BYTES_MAX]);
    let expected = content.clone();
    let (address, server) = serve(move |listener| {
        let mut peer = Peer::accept(listener);
        peer.log_in(0);
        let (seq, _) = peer.expect::<pb::MsgSyncReq>(Command::MsgSync);
        let text = Bytes::from(vec![b'y'; limits::TEXT_BYTES_MAX]);
        let entry = |seq| pb::MessageData { seq, content: text.clone(), ..Default::default() };
        let entries = (1..=PAGE_ENTRIES).map(entry).collect();
        let page = pb::MsgSyncResp { entries, head: PAGE_ENTRIES, ..Default::default() };
        peer.give(&OutFrame::response(Command::MsgSync, seq, &page));
        let (seq, req) = peer.expect::<pb::MsgSendReq>(Command::MsgSend);
        assert_eq!(req.content, expected);
        peer.ack(seq, 0);
    });
    let mut client = client(&address);
    client.login(password()).unwrap();
    let page = client.sync_page(0, 0, 0).unwrap();
    assert_eq!(page.entries.len() as u64, PAGE_ENTRIES);
    assert!(page.entries.iter().all(|entry| entry.content.len() == limits::TEXT_BYTES_MAX));
    client.send(bob(), pb::MsgType::File, content).unwrap();
    server.join().unwrap();
}

#[test]
fn a_waker_ends_a_wait_from_another_thread() {
    let mut client = client("127.0.0.1:1");
    let waker = client.waker();
    let thread = std::thread::spawn(move || waker.wake().unwrap());
    assert_eq!(client.wait_event(Instant::now() + FOREVER).unwrap(), None);
    thread.join().unwrap();
}

#[test]
fn the_recorder_writes_invocations_before_completions_and_hides_contents() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(listener);
        peer.log_in(0);
        let (seq, _) = peer.expect::<pb::MsgSendReq>(Command::MsgSend);
        peer.ack(seq, 1);
        let (seq, _) = peer.expect::<pb::MsgSendReq>(Command::MsgSend);
        peer.give(&OutFrame::error(Command::MsgSend.id(), seq, Code::TooLarge, "", 0));
    });
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("history-{}.jsonl", std::process::id()));
    let history = HistoryFile::create(&path, "run", 5).unwrap();
    let mut client = Client::with_recorder(
        config(&address),
        SavedState::default(),
        Some((&history, "client-1")),
    )
    .unwrap();
    client.login(password()).unwrap();
    client.send(bob(), pb::MsgType::Text, Bytes::from("hidden")).unwrap();
    let refused = client.send(bob(), pb::MsgType::Text, Bytes::from("more")).unwrap_err();
    assert!(matches!(refused, ClientError::Refused { code: Code::TooLarge, .. }));
    history.flush().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(!text.contains("hidden") && !text.contains("secret-1"), "{text}");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let phases: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line["op"], line["phase"]).replace('"', ""))
        .collect();
    let expected =
        ["login invoke", "login ok", "send invoke", "send ok", "send invoke", "send fail"];
    assert_eq!(phases, expected);
    assert_eq!(lines[2]["id"], lines[3]["id"]);
    assert_eq!(lines[2]["args"]["conv"], serde_json::json!([7, 8]));
    assert_eq!(lines[3]["result"]["seq"], 1);
    assert_eq!(lines[5]["result"]["code"], "TOO_LARGE");
    let times: Vec<u64> = lines.iter().map(|line| line["t_ns"].as_u64().unwrap()).collect();
    assert!(times.is_sorted());
    server.join().unwrap();
}

#[test]
fn the_recorder_writes_every_try_of_a_send_and_the_node_it_went_to() {
    let send = Command::MsgSend;
    let (second_address, second) = serve(move |listener| {
        let mut peer = Peer::accept(listener);
        peer.log_in(0);
        let (seq, _) = peer.expect::<pb::MsgSendReq>(send);
        peer.give(&OutFrame::error(send.id(), seq, Code::Unavailable, "", 0));
        let (seq, _) = peer.expect::<pb::MsgSendReq>(send);
        peer.ack(seq, 1);
    });
    let (first_address, first) = serve(move |listener| {
        let mut peer = Peer::accept(listener);
        peer.log_in(0);
        let (seq, _) = peer.expect::<pb::MsgSendReq>(send);
        peer.give(&OutFrame::error(send.id(), seq, Code::Busy, "", 1));
        peer.expect::<pb::MsgSendReq>(send);
    });
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("tries-{}.jsonl", std::process::id()));
    let history = HistoryFile::create(&path, "run", 5).unwrap();
    let config = ClientConfig { others: vec![second_address.clone()], ..config(&first_address) };
    let recorded = Some((&history, "client-1"));
    let mut client = Client::with_recorder(config, SavedState::default(), recorded).unwrap();
    client.login(password()).unwrap();
    client.send(bob(), pb::MsgType::Text, Bytes::from("once")).unwrap();
    history.flush().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sends: Vec<_> = lines
        .iter()
        .filter(|line| line["op"] == "send")
        .map(|line| {
            let (phase, id) = (line["phase"].as_str().unwrap(), line["id"].as_u64().unwrap());
            let code = line["result"]["code"].as_str().unwrap_or_default();
            (line["node"].as_str().unwrap(), phase, code, id)
        })
        .collect();
    let (a, b) = (&*first_address, &*second_address);
    let id = sends[0].3;
    let expected = [
        (a, "invoke", "", id),
        (a, "fail", "BUSY", id),
        (a, "invoke", "", id + 1),
        (a, "info", "", id + 1),
        // The login on the second server takes an id.
        (b, "invoke", "", id + 3),
        (b, "info", "UNAVAILABLE", id + 3),
        (b, "invoke", "", id + 4),
        (b, "ok", "", id + 4),
    ];
    assert_eq!(sends, expected);
    let ids = lines.iter().filter(|line| line["op"] == "send");
    let ids: std::collections::BTreeSet<_> =
        ids.map(|line| line["args"]["client_msg_id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    first.join().unwrap();
    second.join().unwrap();
}
