//! Over TLS the reactor keeps what it promises: frames in order however records are cut, orderly
//! ends, slow readers that cost nothing; and who speaks no TLS is told so and gone.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use aldis_net::{CloseReason, Config, Lane, Sent, Tls};
use aldis_wire::{Command, Header, OutFrame};
use bytes::Bytes;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};

use crate::node::{Client, Event, Node, PATIENCE, heartbeat, receive_from, request};

/// A certificate for this machine, and what trusts it.
struct Identity {
    server: Arc<ServerConfig>,
    root: CertificateDer<'static>,
}

impl Identity {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let root = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12, &TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![root.clone()], key)
            .unwrap();
        server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        Self { server: Arc::new(server), root }
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }

    fn tls(&self) -> Arc<Tls> {
        Arc::new(Tls::new(self.server.clone()))
    }
}

type TlsClient = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> TlsClient {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(config.clone(), name).unwrap();
    StreamOwned::new(session, Client::connect(address).stream)
}

fn log_in(node: &Node, config: &Arc<ClientConfig>) -> (TlsClient, aldis_net::ConnId) {
    let mut client = connect(node.address, config);
    let id = node.wait(|event| match event {
        Event::Open(conn) => Some(*conn),
        _ => None,
    });
    client.write_all(&request(Command::Login.id(), 1, b"")).unwrap();
    assert_eq!(receive_from(&mut client).unwrap().0.seq, 1);
    (client, id)
}

#[test]
fn frames_of_all_sizes_come_back_in_both_versions() {
    let identity = Identity::new();
    for version in [&TLS12, &TLS13] {
        let node = Node::start_tls(Config::default(), identity.tls());
        let (mut client, id) = log_in(&node, &identity.client(version));
        let sizes = [0, 1, 100, 1_000, 16_000, 16_384, 17_000, 70_000, 300_000, 1 << 20];
        for (seq, size) in sizes.into_iter().enumerate() {
            client.write_all(&heartbeat(seq as u32, size)).unwrap();
            let (header, body) = receive_from(&mut client).unwrap();
            assert_eq!((header.seq, body), (seq as u32, vec![seq as u8; size]));
        }
        assert_eq!(node.counters().handshakes, 1);
        client.conn.send_close_notify();
        client.flush().unwrap();
        client.sock.shutdown(Shutdown::Write).unwrap();
        node.wait_for(Event::HalfClosed(id));
        let mut rest = Vec::new();
        // Without close_notify this would be an error.
        assert_eq!(client.read_to_end(&mut rest).unwrap(), 0);
        node.wait_for(Event::Closed(id, CloseReason::Peer));
    }
}

#[test]
fn records_that_come_byte_by_byte_are_records() {
    let identity = Identity::new();
    let node = Node::start_tls(Config::default(), identity.tls());
    let mut client = connect(node.address, &identity.client(&TLS13));
    client.conn.writer().write_all(&request(Command::Login.id(), 1, b"")).unwrap();
    let mut is_answered = false;
    while !is_answered {
        while client.conn.wants_write() {
            let mut records = Vec::new();
            client.conn.write_tls(&mut records).unwrap();
            for byte in records {
                client.sock.write_all(&[byte]).unwrap();
                node.call(|_, _| ());
            }
        }
        client.conn.read_tls(&mut client.sock).unwrap();
        let state = client.conn.process_new_packets().unwrap();
        is_answered = state.plaintext_bytes_to_read() > 0;
    }
    assert_eq!(receive_from(&mut client).unwrap().0.seq, 1);
}

#[test]
fn many_pipelined_frames_are_answered_in_order() {
    let identity = Identity::new();
    let node = Node::start_tls(Config::default(), identity.tls());
    let (mut client, _) = log_in(&node, &identity.client(&TLS13));
    let bytes: Vec<u8> = (0..20_000).flat_map(|seq| heartbeat(seq, 60)).collect();
    let mut writer = client.sock.try_clone().unwrap();
    // The answers are read meanwhile, or both sides would wait for each other.
    let mut records = Vec::new();
    for chunk in bytes.chunks(8_000) {
        client.conn.writer().write_all(chunk).unwrap();
        client.conn.write_tls(&mut records).unwrap();
    }
    let sender = std::thread::spawn(move || writer.write_all(&records).unwrap());
    for seq in 0..20_000 {
        assert_eq!(receive_from(&mut client).unwrap().0.seq, seq);
    }
    sender.join().unwrap();
}

#[test]
fn a_reader_that_stops_gets_everything_when_it_goes_on_and_costs_its_queue() {
    let identity = Identity::new();
    let node = Node::start_tls(Config::default(), identity.tls());
    let (mut client, id) = log_in(&node, &identity.client(&TLS13));
    let body = Bytes::from(vec![7; 1_000_000]);
    let frame = |seq| {
        let header = Header { cmd: 1, code: 0, seq, len: 1_000_000 };
        OutFrame::new(&header.encode(), body.clone())
    };
    let (mut sent, mut result) = (0, Sent::Queued);
    while result == Sent::Queued {
        let frame = frame(sent);
        result = node.call(move |io, _| io.send(id, frame, Lane::Push));
        sent += u32::from(result == Sent::Queued);
    }
    assert_eq!(result, Sent::Dropped);
    assert!(node.call(|io, _| io.output_len()) > 0);
    for seq in 0..sent {
        let (header, body) = receive_from(&mut client).unwrap();
        assert_eq!((header.seq, body.len()), (seq, 1_000_000));
    }
    node.wait_for(Event::Drained(id));
    assert_eq!(node.call(|io, _| io.output_len()), 0);
}

#[test]
fn who_speaks_no_tls_is_told_so_and_gone() {
    let identity = Identity::new();
    let node = Node::start_tls(Config::default(), identity.tls());
    for bytes in [heartbeat(1, 100), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0x16; 70_000]] {
        let (mut client, id) = node.connect();
        // What the server has not read when it closes makes a reset.
        let _ = client.stream.write_all(&bytes);
        let mut answer = Vec::new();
        let _ = client.stream.read_to_end(&mut answer);
        if !answer.is_empty() {
            assert_eq!(answer[0], 21, "an alert");
        }
        node.wait_for(Event::Closed(id, CloseReason::BadTls));
    }
    assert_eq!(node.counters().handshakes, 0);
    node.until(|io, _| io.connection_count() == 0);
}

#[test]
fn a_cut_connection_is_an_end() {
    let identity = Identity::new();
    let node = Node::start_tls(Config::default(), identity.tls());
    let (client, id) = log_in(&node, &identity.client(&TLS13));
    client.sock.shutdown(Shutdown::Write).unwrap();
    node.wait_for(Event::Closed(id, CloseReason::Peer));
}

#[test]
fn handshakes_under_way_are_bounded() {
    let identity = Identity::new();
    let config = Config { handshakes_max: 2, ..Config::default() };
    let node = Node::start_tls(config, identity.tls());
    let (first, _second) = (node.connect(), node.connect());
    let mut third = Client::connect(node.address);
    assert!(third.read_to_end());
    assert_eq!(node.counters().refused, 1);
    drop(first);
    node.until(|io, _| io.connection_count() == 1);
    log_in(&node, &identity.client(&TLS13));
}

#[test]
fn a_storm_of_handshakes_is_served_in_the_time_that_strangers_have() {
    let identity = Identity::new();
    let node =
        Node::start_tls(Config { strangers_percent: 5, ..Config::default() }, identity.tls());
    let config = identity.client(&TLS13);
    let address = node.address;
    let clients: Vec<_> = (0..50)
        .map(|seq| {
            let config = config.clone();
            std::thread::spawn(move || {
                let mut client = connect(address, &config);
                client.sock.set_read_timeout(Some(PATIENCE)).unwrap();
                client.write_all(&request(Command::Login.id(), seq, b"")).unwrap();
                assert_eq!(receive_from(&mut client).unwrap().0.seq, seq);
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(node.counters().handshakes, 50);
}

#[test]
fn sessions_are_resumed_and_a_certificate_can_be_replaced() {
    let (identity, other) = (Identity::new(), Identity::new());
    let tls = identity.tls();
    let node = Node::start_tls(Config::default(), tls.clone());
    for version in [&TLS12, &TLS13] {
        let config = identity.client(version);
        let (first, _) = log_in(&node, &config);
        assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
        let (second, _) = log_in(&node, &config);
        assert_eq!(second.conn.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
    tls.replace(other.server.clone());
    let mut refused = connect(node.address, &identity.client(&TLS13));
    let error = refused.write_all(&request(Command::Login.id(), 1, b"")).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    log_in(&node, &other.client(&TLS13));
}
