//! Goal: `aldis impair tcp` delays and slows real connections without changing a byte, cuts them as
//! networks do, and lets a server's clients through.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_scenario::{Impair, RawClient, Server};
use aldis_wire::{Command, DeviceClass, pb};

/// Nothing takes longer than this on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Accepts one connection and sends back what comes until its end.
fn echo(listener: TcpListener) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut out = stream.try_clone().expect("a second handle");
        let copied = std::io::copy(&mut stream, &mut out).unwrap_or(0);
        let _ = out.shutdown(Shutdown::Write);
        copied
    })
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn streams_arrive_whole_and_in_order_while_delays_change() {
    let (target, to) = listener();
    let echo = echo(target);
    let relay = Impair::start(&[
        "tcp",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &to,
        "--set",
        "delay=40ms jitter=20ms rate=200mbit",
        "--at",
        "100ms delay=1ms jitter=0",
        "--at",
        "200ms delay=30ms",
        "--at",
        "300ms partition",
        "--at",
        "700ms heal",
    ]);
    let mut stream = connect(relay.address("listen"));
    let sent = pattern(8 << 20);
    let (mut out, bytes) = (stream.try_clone().expect("a second handle"), sent.clone());
    let writer = std::thread::spawn(move || {
        out.write_all(&bytes).expect("written");
        out.shutdown(Shutdown::Write).expect("half closed");
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("the echo, then its end");
    writer.join().expect("the writer");
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    assert_eq!(echo.join().expect("the echo"), sent.len() as u64);
    let end = relay.end();
    for way in ["up", "down"] {
        assert_eq!(end[way]["sent_bytes"], sent.len(), "{end}");
        assert_eq!(end[way]["received_bytes"], sent.len(), "{end}");
    }
}

#[test]
fn delay_and_rate_take_their_time() {
    let (target, to) = listener();
    let echo = echo(target);
    let words = "delay=100ms up.rate=4mbit";
    let relay = Impair::start(&["tcp", "--listen", "127.0.0.1:0", "--to", &to, "--set", words]);
    let mut stream = connect(relay.address("listen"));
    let start = Instant::now();
    stream.write_all(b"x").expect("written");
    stream.read_exact(&mut [0]).expect("the echo");
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    let (start, bytes) = (Instant::now(), pattern(512 << 10));
    let (mut out, copy) = (stream.try_clone().expect("a second handle"), bytes.clone());
    let writer = std::thread::spawn(move || out.write_all(&copy).expect("written"));
    let mut received = vec![0; bytes.len()];
    stream.read_exact(&mut received).expect("the echo");
    assert!(received == bytes && start.elapsed() >= Duration::from_secs(1), "half a MiB at 4 Mbit");
    writer.join().expect("the writer");
    drop(stream);
    echo.join().expect("the echo");
}

#[test]
fn a_reset_reaches_both_ends_and_later_connections_live() {
    let (target, to) = listener();
    let relay_args = ["tcp", "--listen", "127.0.0.1:0", "--to", &to, "--at", "2s reset"];
    let mut relay = Impair::start(&relay_args);
    let mut near = connect(relay.address("listen"));
    let (mut far, _) = target.accept().expect("accepted");
    far.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    near.write_all(b"before").expect("written");
    far.read_exact(&mut [0; 6]).expect("it passes");
    relay.wait_line("set");
    for end in [&mut near, &mut far] {
        let error = end.read(&mut [0]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    let mut near = connect(relay.address("listen"));
    let (mut far, _) = target.accept().expect("accepted");
    near.write_all(b"after").expect("written");
    far.read_exact(&mut [0; 5]).expect("it passes");
}

#[test]
fn a_black_hole_says_nothing_to_either_end() {
    let (target, to) = listener();
    let relay_args = ["tcp", "--listen", "127.0.0.1:0", "--to", &to, "--at", "2s blackhole"];
    let mut relay = Impair::start(&relay_args);
    let mut near = connect(relay.address("listen"));
    let (mut far, _) = target.accept().expect("accepted");
    near.write_all(b"before").expect("written");
    far.read_exact(&mut [0; 6]).expect("it passes");
    relay.wait_line("set");
    // One end speaks and leaves; the other hears neither.
    near.write_all(b"lost").expect("the kernel takes it");
    drop(near);
    far.set_read_timeout(Some(Duration::from_millis(700))).expect("a timeout");
    let error = far.read(&mut [0]).expect_err("silence");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    let end = relay.end();
    assert_eq!(end["up"]["sent_bytes"], 6, "{end}");
}

#[test]
fn a_cut_holds_everything_back_new_connections_and_resets_too_until_it_is_healed() {
    let (target, to) = listener();
    target.set_nonblocking(true).expect("a flag");
    let accept = || {
        let accepted = target.accept().ok().map(|(stream, _)| stream);
        if let Some(stream) = &accepted {
            stream.set_nonblocking(false).expect("a flag");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        }
        accepted
    };
    let wait_accept = || {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nobody connects");
            if let Some(stream) = accept() {
                return stream;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut relay = Impair::start(&["tcp", "--listen", "127.0.0.1:0", "--to", &to]);
    let mut talking = connect(relay.address("listen"));
    let mut talked_to = wait_accept();
    let resetting = connect(relay.address("listen"));
    let mut left = wait_accept();
    relay.set("partition");
    talking.write_all(b"held back").expect("the kernel takes it");
    let mut newcomer = connect(relay.address("listen"));
    newcomer.write_all(b"new").expect("the kernel takes it");
    socket2::SockRef::from(&resetting).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(resetting);
    for end in [&mut talked_to, &mut left] {
        end.set_read_timeout(Some(Duration::from_millis(400))).expect("a timeout");
        let error = end.read(&mut [0]).expect_err("silence");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        end.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    }
    assert!(accept().is_none(), "nobody gets through");
    relay.set("heal");
    let mut held_back = [0; 9];
    talked_to.read_exact(&mut held_back).expect("it passes now");
    assert_eq!(&held_back, b"held back");
    wait_accept().read_exact(&mut [0; 3]).expect("the newcomer passes");
    let error = left.read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn nobody_behind_the_relay_looks_like_nobody() {
    let (target, to) = listener();
    drop(target);
    let relay = Impair::start(&["tcp", "--listen", "127.0.0.1:0", "--to", &to]);
    let mut stream = connect(relay.address("listen"));
    assert!(stream.read(&mut [0]).is_err() || stream.read(&mut [0]).is_ok_and(|len| len == 0));
}

#[test]
fn clients_of_a_server_talk_through_it() {
    let server = Server::start();
    let to = server.address().to_string();
    let relay = Impair::start(&[
        "tcp",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &to,
        "--set",
        "delay=15ms jitter=5ms",
    ]);
    let through = relay.address("listen");
    RawClient::register(through, "far-ann", "a password for far");
    let class = DeviceClass::Desktop;
    let mut client = RawClient::login(through, "far-ann", "a password for far", class);
    let start = Instant::now();
    client.call(Command::Heartbeat, &pb::HeartbeatReq { local_seq: 0 });
    assert!(start.elapsed() >= Duration::from_millis(30), "{:?}", start.elapsed());
}
