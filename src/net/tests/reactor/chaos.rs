//! Everything at once, at random, with small limits. Goal: whatever happens in whatever order, each
//! connection opens and closes once, its frames come in order without a gap, nothing is left over.
//!
//! The seed is printed; ALDIS_NET_SEED takes it back (threads still interleave as they like).

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aldis_net::{CloseReason, Config, ConnId, Lane};
use aldis_wire::{Command, OutFrame};
use bytes::Bytes;
use socket2::{Domain, SockRef, Socket, Type};

use crate::node::{Event, Node, PATIENCE, heartbeat, request};

const CLIENTS: u64 = 6;
const CONNECTIONS_EACH: usize = 40;
const STEPS_OF_HANDLER: usize = 6000;

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

fn seed() -> u64 {
    let given = std::env::var("ALDIS_NET_SEED").ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = given.unwrap_or(now.as_nanos() as u64);
    println!("ALDIS_NET_SEED={seed}");
    seed
}

/// One connection after the other: sends, reads or does not, and ends in some way. Errors only say
/// that the server was faster.
fn run_client(address: SocketAddr, mut random: Random) {
    for _ in 0..CONNECTIONS_EACH {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        if socket.connect(&address.into()).is_err() {
            continue;
        }
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut bytes = Vec::new();
        if random.below(8) > 0 {
            bytes.extend(request(Command::Login.id(), 0, b""));
        }
        for seq in 1..=random.below(200) as u32 {
            bytes.extend(heartbeat(seq, random.below(300) as usize));
        }
        if random.below(4) == 0 {
            bytes.extend([&b"IM\x01"[..], &[1 + random.below(2) as u8; 13]].concat());
        }
        let mut buffer = [0; 3000];
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + random.below(4000) as usize).min(rest.len()));
            rest = later;
            if stream.write_all(now).is_err() {
                break;
            }
            if random.below(3) == 0 {
                let _ = stream.read(&mut buffer);
            }
        }
        match random.below(4) {
            0 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            1 => drop(stream.shutdown(Shutdown::Write)),
            _ => {}
        }
        for _ in 0..random.below(20) {
            let _ = stream.read(&mut buffer);
        }
    }
}

/// One random thing that a handler may do.
fn act(node: &Node, id: ConnId, random: &mut Random) {
    let (action, number) = (random.below(12), random.below(400) as usize);
    node.call(move |io, echo| match action {
        0 => io.close(id, CloseReason::Handler),
        1 => io.close_after_flush(id, CloseReason::Handler),
        2 => echo.admitted = number,
        3 => io.set_logged_in(id),
        4..8 => {
            let head = &heartbeat(0, 5 * number)[..16];
            let frame = OutFrame::new(head, Bytes::from(vec![0; 5 * number]));
            let lane = if number % 5 == 0 { Lane::Reply } else { Lane::Push };
            let _ = io.send(id, frame, lane);
        }
        _ => {
            echo.admitted = echo.admitted.max(20);
            io.resume(id);
        }
    });
}

#[test]
fn whatever_happens_connections_open_and_close_once_and_frames_keep_their_order() {
    let deadline = Duration::from_millis(300);
    let config = Config {
        output_soft_bytes: 2000,
        output_hard_bytes: 200_000,
        read_bytes_per_turn: 700,
        write_bytes_per_turn: 500,
        accepts_per_turn: 1,
        mails_per_turn: 3,
        connections_max: 10,
        login_deadline: deadline,
        frame_deadline: deadline,
        idle_deadline: deadline,
        write_stall_deadline: deadline,
        linger_deadline: deadline,
        ..Config::default()
    };
    let node = Node::start_with_send_buffer(config, 4096);
    let mut random = Random(seed());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, random) = (node.address, Random(random.below(u64::MAX)));
            std::thread::spawn(move || run_client(address, random))
        })
        .collect();
    for _ in 0..STEPS_OF_HANDLER {
        let index = random.below(10) as u32;
        let last = node.call(move |io, _| io.counters().accepted as u32);
        let generation = last.saturating_sub(random.below(4) as u32);
        act(&node, ConnId { index, generation }, &mut random);
    }
    for client in clients {
        client.join().unwrap();
    }
    // What still waits is resumed and runs into its deadlines.
    let begin = std::time::Instant::now();
    while node.call(|io, _| io.connection_count()) > 0 {
        assert!(begin.elapsed() < PATIENCE, "connections are left");
        let last = node.call(|io, _| io.counters().accepted as u32);
        node.call(move |io, echo| {
            echo.admitted = usize::MAX;
            for generation in last.saturating_sub(1000)..=last {
                for index in 0..10 {
                    io.resume(ConnId { index, generation });
                }
            }
        });
        std::thread::sleep(Duration::from_millis(10));
    }
    check(&node.events());
    assert_eq!(node.call(|io, _| (io.input_capacity(), io.output_len())), (0, 0));
    let counters = node.counters();
    println!("{counters:?}");
    assert_eq!(counters.closed.iter().sum::<u64>(), counters.accepted);
}

fn check(events: &[Event]) {
    let mut next_seq: HashMap<ConnId, Option<u32>> = HashMap::new();
    let mut closed: HashMap<ConnId, CloseReason> = HashMap::new();
    for event in events {
        let (Event::Open(id)
        | Event::Frame(id, _)
        | Event::Error(id, _)
        | Event::HalfClosed(id)
        | Event::Drained(id)
        | Event::Closed(id, _)) = *event;
        assert!(!closed.contains_key(&id), "{event:?} after the end");
        match event {
            Event::Open(_) => assert_eq!(next_seq.insert(id, None), None),
            Event::Frame(_, seq) => {
                let next = next_seq.get_mut(&id).unwrap();
                // The first frame is the LOGIN or the frame behind it.
                assert!(next.is_none_or(|next| next == *seq), "{event:?}, not {next:?}");
                assert!(next.is_some() || *seq <= 1);
                *next = Some(seq + 1);
            }
            Event::Closed(_, reason) => drop(closed.insert(id, *reason)),
            _ => assert!(next_seq.contains_key(&id)),
        }
    }
    assert_eq!(closed.len(), next_seq.len());
}
