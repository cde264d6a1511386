//! Goal: what can happen to a node that is alone, its disk, its memory and its clock, costs time only:
//! nothing that it acknowledged is lost or doubled, and it serves again when the fault is over. Each
//! load is recorded and judged by the checker.

use std::path::{Path, PathBuf};
use std::process::Command;

use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions, Moment};
use aldis_scenario::kernel::SmallDisk;
use aldis_scenario::requests::text_to;
use aldis_scenario::{RawClient, Server, ServerOptions, frame, seed, wait_for};
use aldis_services::find;
use aldis_wire::{Code, Command as Request, DeviceClass, Message};

/// Acknowledgements before a fault, and after it.
const ACKS: usize = 300;
/// More than message ids run ahead of a clock that was set back.
const YEAR_DAYS: u32 = 365;

struct Stage {
    server: Server,
    hammer: Hammer,
}

impl Stage {
    fn start(server: ServerOptions) -> Self {
        let server = Server::start_with(server);
        let options = options(&server);
        Self::start_load(server, options)
    }

    fn start_load(server: Server, options: HammerOptions) -> Self {
        let crowd = Crowd::seed(&server, "crowd", options.users());
        let hammer = Hammer::start(options, &crowd);
        hammer.wait_for_acks(ACKS);
        Self { server, hammer }
    }

    /// The fault is over: it goes on, and everything is where it belongs.
    fn finish(mut self) {
        self.hammer.wait_for_acks(ACKS);
        self.hammer.stop();
        println!("{} acknowledged messages", self.hammer.acks());
        self.hammer.final_syncs(&[self.server.address()]);
        self.hammer.expect_valid();
        let log = self.server.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    fn refused(&self, from: Moment) -> usize {
        self.hammer.answers(from, Moment::now()).count("send", "UNAVAILABLE")
    }
}

fn options(server: &Server) -> HammerOptions {
    HammerOptions {
        hot_users: 12,
        groups: 2,
        group_members: 20,
        writers: 4,
        readers: 2,
        churners: 1,
        sends_per_s_max: 300,
        ..HammerOptions::new(vec![server.address(); 2], seed())
    }
}

/// Everybody writes to one group of 200, so that each message waits for all others.
#[test]
fn a_hot_group_keeps_one_order() {
    let server = Server::start();
    let options = HammerOptions {
        groups: 1,
        group_members: 200,
        group_percent: 100,
        writers: 8,
        sends_per_s_max: 200,
        ..options(&server)
    };
    let stage = Stage::start_load(server, options);
    stage.finish();
}

#[test]
fn a_full_disk_refuses_messages_until_there_is_room() {
    let disk = SmallDisk::mount(64);
    let data_dir = Some(disk.path().join("data"));
    let mut stage = Stage::start(ServerOptions { data_dir, ..ServerOptions::default() });
    let from = Moment::now();
    disk.fill();
    wait_for("the log cannot grow", || stage.refused(from) > 50);
    assert!(stage.server.is_running(), "it waits for room");
    disk.free();
    stage.finish();
}

#[test]
fn a_flush_that_fails_acknowledges_nothing() {
    let strace = find("strace", "strace");
    // `-D`: the server is our child, and the tracer ends with it. Calls are counted by thread, and one
    // thread flushes the log.
    let fault = "inject=fdatasync:error=EIO:when=200..260";
    let words = ["-D", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fdatasync", "-e", fault, "-o"];
    let mut wrapper = vec![strace.display().to_string()];
    wrapper.extend(words.map(str::to_owned));
    wrapper.push("/dev/null".to_owned());
    let mut stage = Stage::start(ServerOptions { wrapper, ..ServerOptions::default() });
    let from = Moment::now();
    let is_failing = |log: &str| log.contains("the store is unavailable: disk I/O error");
    wait_for("a flush fails", || is_failing(&stage.server.log()));
    stage.hammer.wait_for_acks(ACKS);
    println!("{} sends were refused", stage.refused(from));
    // What was acknowledged after failures is in the files, and not only in the process.
    stage.server.kill_9();
    stage.server.restart();
    stage.finish();
}

#[test]
fn a_node_without_memory_ends_at_worst_and_loses_nothing() {
    let mut stage = Stage::start(ServerOptions::default());
    let prlimit = find("prlimit", "util-linux");
    let size = address_space(stage.server.pid());
    let limit = format!("--as={size}:{size}");
    let status = Command::new(prlimit)
        .args(["--pid", &stage.server.pid().to_string(), &limit])
        .status()
        .expect("it was found");
    assert!(status.success(), "our own child");
    // Unfinished messages of a MiB, from as many as it takes.
    let body = vec![0; 1 << 20];
    let users = stage.server.seed_users("eater", 200, DeviceClass::Phone);
    let mut eaters = Vec::new();
    for user in &users {
        if !stage.server.is_running() {
            break;
        }
        let mut eater = RawClient::connect(stage.server.address());
        let login = frame(Request::Login.id(), 1, &user.login_body().encode_to_vec());
        let is_in = eater.try_send_bytes(&login)
            && eater.receive().is_some_and(|reply| reply.code() == Code::Ok);
        let message = frame(Request::MsgSend.id(), 2, &body);
        // All but the last byte, so that it stays in the server's memory.
        if !is_in || !eater.try_send_bytes(&message[..message.len() - 1]) {
            break;
        }
        eaters.push(eater);
    }
    let has_ended = !stage.server.is_running();
    println!("after {} eaters it has ended: {has_ended}", eaters.len());
    drop(eaters);
    // A supervisor starts it again; one that has shed its load may as well be started again.
    stage.server.kill_9();
    stage.server.restart();
    stage.finish();
}

/// Bytes of address space that a process has.
fn address_space(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("our own child");
    let pages = text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * 4_096
}

/// A clock that a test sets for one process: what is written to the file is added to the time.
struct FalseClock {
    folder: tempfile::TempDir,
}

impl FalseClock {
    fn new() -> Self {
        let clock = Self { folder: tempfile::tempdir().expect("a temporary directory") };
        clock.set("+0");
        clock
    }

    fn set(&self, offset: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, offset).expect("the directory is writable");
        std::fs::rename(next, self.path()).expect("the directory is writable");
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    fn options(&self) -> ServerOptions {
        let variables = [
            format!("LD_PRELOAD={}", library().display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.path().display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            // Timers of the kernel go on as they are.
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "DONT_FAKE_MONOTONIC=1".to_owned(),
        ];
        let wrapper = std::iter::once("env".to_owned()).chain(variables).collect();
        ServerOptions { wrapper, ..ServerOptions::default() }
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("a Linux");
    let place = Path::new("faketime/libfaketimeMT.so.1");
    let found =
        folders.flatten().map(|folder| folder.path().join(place)).find(|path| path.exists());
    found.expect("libfaketime is missing: apt-get install faketime")
}

#[test]
fn a_clock_that_goes_back_an_hour_disturbs_nobody() {
    let clock = FalseClock::new();
    let mut stage = Stage::start(clock.options());
    let from = Moment::now();
    clock.set("-3600");
    stage.hammer.wait_for_acks(ACKS);
    assert_eq!(stage.refused(from), 0, "message ids go on above the newest");
    // A process that begins while the clock is behind does the same.
    stage.server.kill_9();
    stage.server.restart();
    stage.finish();
}

#[test]
fn a_clock_that_goes_forward_a_year_and_back_loses_nothing() {
    let clock = FalseClock::new();
    let server = Server::start_with(clock.options());
    let users = server.seed_users("clock", 2, DeviceClass::Phone);
    let mut sender = RawClient::login_seeded(server.address(), &users[0]);
    let mut reader = RawClient::login_seeded(server.address(), &users[1]);
    let say = |sender: &mut RawClient, text: &str| sender.send_code(&text_to(users[1].id, text));
    assert_eq!(say(&mut sender, "today"), Code::Ok);
    clock.set(&format!("+{}", YEAR_DAYS * 86_400));
    assert_eq!(say(&mut sender, "in a year"), Code::Ok, "whoever is in stays in");
    let mut late = RawClient::connect(server.address());
    let reply = late.call(Request::Login, &users[0].login_body());
    assert_eq!(reply.code(), Code::TokenExpired);
    clock.set("+0");
    // Ids never go back: an operator has to look, and meanwhile nothing is taken and all is read.
    assert_eq!(say(&mut sender, "today again"), Code::Unavailable);
    wait_for("the log says so", || server.log().contains("behind the newest message id"));
    let entries = reader.sync_all(0);
    let texts = aldis_scenario::requests::texts(&entries);
    assert_eq!(texts, ["today", "in a year"]);
    // The first login may get what the refused message left behind: the same answer, to try again.
    wait_for("whoever comes is let in", || {
        let mut again = RawClient::connect(server.address());
        let reply = again.call(Request::Login, &users[0].login_body());
        assert!(matches!(reply.code(), Code::Ok | Code::Unavailable), "{:?}", reply.code());
        reply.code() == Code::Ok
    });
}
