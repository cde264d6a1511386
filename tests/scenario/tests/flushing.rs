//! Goal: an acknowledgement follows the flush of what it acknowledges. `kill -9` cannot show that,
//! because the kernel keeps what was written; the order of the server's system calls does: between a
//! request's arrival and its answer there is a completed fdatasync that began after the last write
//! to the log.

use std::process::Command;
use std::time::Duration;

use aldis_scenario::requests::text_to;
use aldis_scenario::{RawClient, Server, ServerOptions};
use aldis_wire::{Code, Command as Request, DeviceClass};
use rustix::process::{Pid, Signal, kill_process};

/// Messages, each sent after the one before was answered: every batch holds one.
const MESSAGES: usize = 200;

/// One completed system call, in the order of completion.
#[derive(Debug, PartialEq)]
enum Call {
    Receive,
    LogWrite,
    Flush,
    Answer,
}

#[test]
fn every_answer_follows_a_flush_of_the_log() {
    let found = Command::new("strace").arg("--version").output();
    assert!(found.is_ok(), "strace is missing: apt-get install strace");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let trace = dir.path().join("trace");
    let calls = "trace=read,recvfrom,pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg";
    let words = ["strace", "-f", "-y", "-s", "16", "-e", calls, "-o"];
    let mut wrapper: Vec<String> = words.into_iter().map(str::to_owned).collect();
    wrapper.push(trace.display().to_string());
    let mut server = Server::start_with(ServerOptions { wrapper, ..ServerOptions::default() });

    let users = server.seed_users("flush", 2, DeviceClass::Desktop);
    let mut sender = RawClient::login_seeded(server.address(), &users[0]);
    for number in 0..MESSAGES {
        let body = text_to(users[1].id, &format!("message {number}"));
        assert_eq!(sender.call(Request::MsgSend, &body).code(), Code::Ok);
    }
    let port = server.address().port();
    drop(sender);
    // strace itself ignores SIGTERM and ends with the server, its only child.
    let children = format!("/proc/{0}/task/{0}/children", server.pid());
    let children = std::fs::read_to_string(children).expect("strace runs");
    let traced = children.trim().parse().ok().and_then(Pid::from_raw).expect("one child");
    kill_process(traced, Signal::TERM).expect("the server that this test started");
    assert!(server.wait_end(Duration::from_secs(60)), "the server ends well");

    let text = std::fs::read_to_string(&trace).expect("strace has written it");
    let calls: Vec<Call> = completed(&text, port);
    let answers = calls.iter().filter(|call| **call == Call::Answer).count();
    assert!(answers > MESSAGES, "{answers} answers were traced");
    // Everything up to the login's answer is another story.
    let mut checked = 0;
    let (mut has_written, mut is_flushed) = (false, false);
    for call in &calls {
        match call {
            Call::Receive => (has_written, is_flushed) = (false, false),
            Call::LogWrite => (has_written, is_flushed) = (true, false),
            Call::Flush => is_flushed = has_written,
            Call::Answer if has_written => {
                assert!(is_flushed, "an answer left before the flush");
                checked += 1;
            }
            Call::Answer => {}
        }
    }
    println!("{checked} answers, each after its flush");
    assert!(checked >= MESSAGES, "only {checked} answers followed a write to the log");
}

/// System calls on clients' sockets and on the log, when they were completed. With `-y` strace
/// names the file or socket behind each descriptor; a call that another thread interrupts is
/// printed in two parts, of which the second completes it.
fn completed(text: &str, port: u16) -> Vec<Call> {
    let mut unfinished = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.ends_with("<unfinished ...>") {
            unfinished.insert(thread, rest);
            continue;
        }
        let whole = match rest.contains(" resumed>") {
            true => unfinished.remove(thread).unwrap_or_default(),
            false => rest,
        };
        let succeeded = rest.rsplit_once(" = ").is_some_and(|(_, result)| !result.starts_with('-'));
        if let Some(call) = kind_of(whole, port).filter(|_| succeeded) {
            calls.push(call);
        }
    }
    calls
}

fn kind_of(call: &str, port: u16) -> Option<Call> {
    let (name, arguments) = call.split_once('(')?;
    let file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'))?.0;
    let is_socket = arguments.contains(&format!(":{port}->")) || file.starts_with("socket:");
    let is_log = file.ends_with("-wal");
    match name {
        "read" | "recvfrom" if is_socket => Some(Call::Receive),
        "write" | "writev" | "sendto" | "sendmsg" if is_socket => Some(Call::Answer),
        "pwrite64" if is_log => Some(Call::LogWrite),
        "fdatasync" | "fsync" if is_log => Some(Call::Flush),
        _ => None,
    }
}
