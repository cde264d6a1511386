//! Measures `reactor_echo` against `echo`: CPU time of the server per heartbeat, from /proc.
//!
//! `taskset -c 1 echo_load [CONNECTIONS [SECONDS [ROUNDS]]]` starts both servers from its own
//! folder, pinned to core 0, one after the other in each round, with 1 and with 16 heartbeats
//! outstanding per connection, and prints medians and their ratio.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use aldis_wire::{Command, HEADER_LEN, OutFrame, parse_frame, pb};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// USER_HZ, the unit of times in /proc, is 100 on all Linux systems of today.
const US_PER_CPU_TICK: f64 = 10_000.0;

fn main() -> Result<()> {
    let number = |at: usize, default: u64| -> Result<u64> {
        std::env::args().nth(at).map_or(Ok(default), |text| Ok(text.parse()?))
    };
    let (connections, seconds, rounds) = (number(1, 1000)?, number(2, 3)?, number(3, 5)?);
    for window in [1, 16] {
        let mut results = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (name, list) in ["echo", "reactor_echo"].into_iter().zip(&mut results) {
                list.push(measure(name, connections as usize, window, seconds)?);
            }
        }
        let medians = results.map(|mut list| {
            list.sort_by(|a, b| a.0.total_cmp(&b.0));
            list[list.len() / 2]
        });
        let [(bare_us, bare_rate), (us, rate)] = medians;
        println!(
            "window {window}: echo {bare_us:.3} us/request ({bare_rate:.0}/s), \
             reactor_echo {us:.3} us/request ({rate:.0}/s), ratio {:.2}",
            us / bare_us
        );
    }
    Ok(())
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// CPU microseconds per request of the server, and requests per second.
fn measure(name: &str, connections: usize, window: usize, seconds: u64) -> Result<(f64, f64)> {
    let folder = std::env::current_exe()?.parent().ok_or("no folder")?.to_owned();
    let mut process = Process::new("taskset");
    process.args(["-c", "0"]).arg(folder.join(name)).arg("127.0.0.1:0");
    let child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut server = Server(child);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let mut load = Load::connect(line.trim().parse()?, connections, window)?;
    load.run(Duration::from_millis(500))?;
    let (cpu_before, begin) = (cpu_us(server.0.id())?, Instant::now());
    let count = load.run(Duration::from_secs(seconds))?;
    let (cpu, elapsed) = (cpu_us(server.0.id())? - cpu_before, begin.elapsed());
    Ok((cpu / count as f64, count as f64 / elapsed.as_secs_f64()))
}

/// User and system time of a process.
fn cpu_us(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').ok_or("unexpected /proc/PID/stat")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Ok(ticks as f64 * US_PER_CPU_TICK)
}

/// Connections that each wait for all their answers, then send as many heartbeats again.
struct Load {
    poll: Poll,
    streams: Vec<(TcpStream, usize)>,
    requests: Vec<u8>,
    window: usize,
    buffer: Vec<u8>,
}

impl Load {
    fn connect(address: SocketAddr, connections: usize, window: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let login = OutFrame::encode(
            Command::Login.id(),
            aldis_wire::Code::Ok,
            1,
            &pb::LoginReq { token: "t".into(), ..Default::default() },
        );
        let heartbeat = pb::HeartbeatReq { local_seq: 1000 };
        let heartbeat =
            OutFrame::encode(Command::Heartbeat.id(), aldis_wire::Code::Ok, 2, &heartbeat);
        let requests = heartbeat.to_vec().repeat(window);
        let mut streams = Vec::new();
        for index in 0..connections {
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.write_all(&login.to_vec())?;
            stream.read_exact(&mut [0; HEADER_LEN])?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            stream.write_all(&requests)?;
            streams.push((stream, window));
        }
        Ok(Self { poll, streams, requests, window, buffer: vec![0; 64 << 10] })
    }

    /// Requests answered within `duration`.
    fn run(&mut self, duration: Duration) -> Result<u64> {
        let end = Instant::now() + duration;
        let mut events = Events::with_capacity(1024);
        let mut answered = 0;
        while Instant::now() < end {
            self.poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                let (stream, outstanding) = &mut self.streams[event.token().0];
                let len = match stream.read(&mut self.buffer) {
                    Ok(0) => return Err("the server closed a connection".into()),
                    Ok(len) => len,
                    Err(_) => continue,
                };
                let mut rest = &self.buffer[..len];
                while let Some(frame) = parse_frame(rest, 1 << 20)? {
                    rest = &rest[HEADER_LEN + frame.body.len()..];
                    *outstanding -= 1;
                    answered += 1;
                }
                if !rest.is_empty() {
                    return Err("an answer was cut".into());
                }
                if *outstanding == 0 {
                    *outstanding = self.window;
                    stream.write_all(&self.requests)?;
                }
            }
        }
        Ok(answered)
    }
}
