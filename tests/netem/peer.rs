//! One end of a measurement: sends numbered datagrams and counts their echoes, or echoes. Runs in a
//! namespace; knows no router.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;

/// Between two datagrams: slow enough for an emulated router.
const PAUSE: Duration = Duration::from_millis(2);
/// Silence after which nothing more is expected.
const QUIET: Duration = Duration::from_secs(2);
/// Bytes of a datagram; the first four are its number, the others known.
const BYTES: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["echo", address] => echo(parse(address)),
        ["send", address, count] => send(parse(address), count.parse().expect("a count")),
        _ => panic!("usage: netem-peer echo IP:PORT | send IP:PORT COUNT"),
    }
}

fn parse(address: &str) -> SocketAddr {
    address.parse().expect("IP and port")
}

/// Until its input ends: whoever started it by way of sudo cannot kill it.
fn echo(address: SocketAddr) {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(0);
    });
    let socket = UdpSocket::bind(address).expect("a socket");
    println!("ready");
    let mut buffer = [0; 2 * BYTES];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).expect("a datagram");
        socket.send_to(&buffer[..len], from).expect("sent");
    }
}

#[derive(Default)]
struct Seen {
    numbers: HashSet<u32>,
    duplicates: u32,
    overtaken: u32,
    damaged: u32,
    highest: u32,
    times_us: Vec<u64>,
}

impl Seen {
    fn note(&mut self, datagram: &[u8], sent_at: &[Instant]) {
        let number = datagram.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let is_whole = datagram.len() == BYTES && datagram[4..].iter().all(|byte| *byte == 0x5A);
        let sent = number.and_then(|number| Some((number, sent_at.get(number as usize)?)));
        let (Some((number, sent_at)), true) = (sent, is_whole) else {
            self.damaged += 1;
            return;
        };
        if !self.numbers.insert(number) {
            self.duplicates += 1;
            return;
        }
        self.overtaken += u32::from(number < self.highest);
        self.highest = self.highest.max(number);
        self.times_us.push(sent_at.elapsed().as_micros() as u64);
    }
}

fn send(address: SocketAddr, count: u32) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect(address).expect("an address");
    let (mut seen, mut sent_at) = (Seen::default(), Vec::new());
    let mut buffer = [0; 2 * BYTES];
    for number in 0..count {
        let mut datagram = [0x5A; BYTES];
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        sent_at.push(Instant::now());
        socket.send(&datagram).expect("sent");
        std::thread::sleep(PAUSE);
        // Sending waits where an emulated router is behind; receiving does not.
        socket.set_nonblocking(true).expect("a flag");
        while let Ok(len) = socket.recv(&mut buffer) {
            seen.note(&buffer[..len], &sent_at);
        }
        socket.set_nonblocking(false).expect("a flag");
    }
    socket.set_read_timeout(Some(QUIET)).expect("a timeout");
    while let Ok(len) = socket.recv(&mut buffer) {
        seen.note(&buffer[..len], &sent_at);
    }
    seen.times_us.sort_unstable();
    let median = seen.times_us.get(seen.times_us.len() / 2);
    let line = json!({
        "sent": count, "received": seen.numbers.len(), "duplicates": seen.duplicates,
        "overtaken": seen.overtaken, "damaged": seen.damaged,
        "rtt_us_min": seen.times_us.first(), "rtt_us_median": median,
    });
    println!("{line}");
}
