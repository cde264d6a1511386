//! The loop: answers each request that somebody waits for, announces the node while it is idle, and
//! leaves when nobody can ask any more.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_directory::{
    Conflict, Directory, DirectoryJobs, DirectoryOutput, Lookup, MemoryDirectory, NodeAnnouncement,
    RedisDirectory, RedisOptions, run_directory,
};
use aldis_logic::AttemptRules;
use aldis_logic::job::{
    BootId, DirectoryJob, DirectoryReply, DirectoryRequest, LocateRequest, NodeId, ReactorId,
    Registration, SessionRecord, Ticket,
};
use aldis_services::Redis;
use aldis_wire::{Command, ConnId, DeviceClass, Epoch, UserId};
use crossbeam::channel::{Receiver, Sender, bounded, never};

/// What takes longer never comes.
const WAIT_MAX: Duration = Duration::from_secs(30);

struct Loop {
    jobs: Sender<DirectoryRequest>,
    locates: Sender<LocateRequest>,
    lookups: Sender<Lookup>,
    outputs: Receiver<DirectoryOutput>,
    is_draining: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    start: Instant,
}

impl Loop {
    fn start(directory: impl Directory + Send + 'static) -> Self {
        Self::start_with(directory, false)
    }

    fn start_with(directory: impl Directory + Send + 'static, is_linked: bool) -> Self {
        let (jobs, queue) = bounded(4_096);
        let (lookups, lookup_queue) = bounded(2);
        let (locates, locate_queue) = bounded(2);
        let lookup_queue = is_linked.then_some(lookup_queue);
        let queue = DirectoryJobs {
            sessions: queue,
            locates: locate_queue,
            attempts: never(),
            lookups: lookup_queue,
        };
        let (outputs_way, outputs) = bounded(8_192);
        let is_draining = Arc::new(AtomicBool::new(false));
        let (flag, start) = (is_draining.clone(), Instant::now());
        let thread = std::thread::spawn(move || {
            let clock = || start.elapsed().as_millis() as u64;
            run_directory(directory, queue, &flag, clock, |output| {
                outputs_way.send(output).unwrap();
            });
        });
        Self { jobs, locates, lookups, outputs, is_draining, thread, start }
    }

    fn send(&self, request: u32, job: DirectoryJob) {
        self.jobs.send(DirectoryRequest { ticket: ticket(request), job }).unwrap();
    }

    fn reply(&self) -> DirectoryReply {
        match self.outputs.recv_timeout(WAIT_MAX).unwrap() {
            DirectoryOutput::Reply(reply) => reply,
            DirectoryOutput::Conflict(conflict) => panic!("{conflict:?}"),
            DirectoryOutput::Found { .. }
            | DirectoryOutput::Located(_)
            | DirectoryOutput::Attempted(_)
            | DirectoryOutput::Departed
            | DirectoryOutput::Nodes(_)
            | DirectoryOutput::Recovered => panic!("nobody asked"),
        }
    }

    fn end(self) {
        drop(self.jobs);
        self.thread.join().unwrap();
    }
}

fn ticket(request: u32) -> Ticket {
    let conn = ConnId { index: 0, generation: 0 };
    let (reactor, command) = (ReactorId(0), Command::Login);
    Ticket { reactor, conn, request, command, bytes: 0 }
}

fn record(node: u16, user: u64, epoch: u64) -> SessionRecord {
    SessionRecord {
        user: UserId(user),
        class: DeviceClass::Phone,
        epoch: Epoch(epoch),
        node: NodeId(node),
        boot: BootId(node.into()),
    }
}

fn redis_directory(redis: &Redis, node: u16) -> RedisDirectory {
    RedisDirectory::new(RedisOptions {
        urls: vec![redis.url()],
        node: NodeId(node),
        boot: BootId(node.into()),
        store_epoch: 1,
        announcement: NodeAnnouncement::default(),
        attempts: AttemptRules::default(),
    })
    .unwrap()
}

/// Asks, from another node, until something is seen.
fn wait(
    watcher: &mut impl Directory,
    start: Instant,
    what: &str,
    mut is_so: impl FnMut(usize) -> bool,
) {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let now_ms = start.elapsed().as_millis() as u64;
        watcher.maintain(now_ms);
        let open = watcher.open_nodes(now_ms);
        if open.is_ok_and(|open| is_so(open.len())) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: it never comes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn requests_are_answered_and_the_node_comes_and_goes(
    directory: impl Directory + Send + 'static,
    mut watcher: impl Directory,
) {
    let node = Loop::start(directory);
    wait(&mut watcher, node.start, "both nodes", |open| open == 2);
    for user in 0..3_000 {
        node.send(user, DirectoryJob::Register(record(1, user.into(), 1)));
        node.send(user, DirectoryJob::Unregister(record(1, user.into(), 7)));
    }
    for user in 0..3_000 {
        let reply = node.reply();
        assert_eq!(reply.ticket.request, user);
        assert_eq!(reply.registration, Registration::Live { replaced: None });
    }
    let users: Vec<_> = (0..3_000).map(UserId).collect();
    let now_ms = node.start.elapsed().as_millis() as u64;
    assert_eq!(watcher.sessions_of(now_ms, &users).found.len(), 3_000);
    node.is_draining.store(true, Ordering::Relaxed);
    wait(&mut watcher, node.start, "the node to drain", |open| open == 1);
    let now_ms = node.start.elapsed().as_millis() as u64;
    assert_eq!(watcher.nodes_of(now_ms, &[NodeId(1)]).unwrap().len(), 1);
    let start = node.start;
    node.end();
    let now_ms = start.elapsed().as_millis() as u64;
    assert_eq!(watcher.nodes_of(now_ms, &[NodeId(1)]).unwrap(), []);
}

#[test]
fn in_memory_requests_are_answered_and_the_node_comes_and_goes() {
    let directory = MemoryDirectory::new(NodeId(1), BootId(1), NodeAnnouncement::default());
    let watcher = directory.join(NodeId(2), BootId(2), NodeAnnouncement::default());
    requests_are_answered_and_the_node_comes_and_goes(directory, watcher);
}

#[test]
fn with_redis_requests_are_answered_and_the_node_comes_and_goes() {
    let redis = Redis::start();
    let watcher = redis_directory(&redis, 2);
    requests_are_answered_and_the_node_comes_and_goes(redis_directory(&redis, 1), watcher);
}

#[test]
fn conflicts_come_out_while_nobody_asks() {
    let redis = Redis::start();
    let node = Loop::start(redis_directory(&redis, 1));
    let mut other = redis_directory(&redis, 2);
    wait(&mut other, node.start, "both nodes", |open| open == 2);
    node.send(1, DirectoryJob::Register(record(1, 5, 1)));
    assert_eq!(node.reply().registration, Registration::Live { replaced: None });
    redis.cli(&["FLUSHALL"]);
    let now_ms = node.start.elapsed().as_millis() as u64;
    other.apply(now_ms, &[DirectoryJob::Register(record(2, 5, 2))]);
    match node.outputs.recv_timeout(WAIT_MAX).unwrap() {
        DirectoryOutput::Conflict(conflict) => {
            assert_eq!(conflict, Conflict::Fenced(record(1, 5, 1)));
        }
        DirectoryOutput::Reply(reply) => panic!("{reply:?}"),
        other => panic!("nobody asked: {}", matches!(other, DirectoryOutput::Recovered)),
    }
    node.end();
}

#[test]
fn sessions_that_were_lost_and_told_again_are_reported_once() {
    let redis = Redis::start();
    let node = Loop::start(redis_directory(&redis, 1));
    node.send(1, DirectoryJob::Register(record(1, 5, 1)));
    assert_eq!(node.reply().registration, Registration::Live { replaced: None });
    redis.cli(&["FLUSHALL"]);
    assert!(matches!(node.outputs.recv_timeout(WAIT_MAX).unwrap(), DirectoryOutput::Recovered));
    assert_eq!(redis.cli(&["EXISTS", "im:session:{5}"]), "1", "it is known again by then");
    assert!(node.outputs.recv_timeout(Duration::from_secs(3)).is_err(), "nothing more");
    node.end();
}

#[test]
fn a_link_learns_where_users_are_and_which_nodes_there_are() {
    let redis = Redis::start();
    let node = Loop::start_with(redis_directory(&redis, 1), true);
    let mut other = redis_directory(&redis, 2);
    wait(&mut other, node.start, "both nodes", |open| open == 2);
    let now_ms = node.start.elapsed().as_millis() as u64;
    other.apply(now_ms, &[DirectoryJob::Register(record(2, 5, 7))]);
    node.lookups.send(Lookup { number: 9, users: vec![UserId(5), UserId(6)] }).unwrap();
    let asker = ticket(3);
    node.locates.send(LocateRequest { ticket: asker, users: vec![UserId(6), UserId(5)] }).unwrap();
    let (mut has_found, mut has_both, mut is_located) = (false, false, false);
    while !(has_found && has_both && is_located) {
        match node.outputs.recv_timeout(WAIT_MAX).unwrap() {
            DirectoryOutput::Found { number, sessions } => {
                assert_eq!((number, sessions.found), (9, vec![record(2, 5, 7)]));
                has_found = true;
            }
            DirectoryOutput::Nodes(nodes) => has_both = nodes.len() == 2,
            DirectoryOutput::Located(reply) => {
                assert_eq!((reply.ticket, reply.sessions), (asker, vec![record(2, 5, 7)]));
                is_located = true;
            }
            DirectoryOutput::Reply(_)
            | DirectoryOutput::Conflict(_)
            | DirectoryOutput::Attempted(_)
            | DirectoryOutput::Departed
            | DirectoryOutput::Recovered => panic!("nobody asked"),
        }
    }
    // The other one ends, and its users are looked for.
    other.leave(node.start.elapsed().as_millis() as u64);
    loop {
        match node.outputs.recv_timeout(WAIT_MAX).unwrap() {
            DirectoryOutput::Departed => break,
            DirectoryOutput::Nodes(_) => {}
            output => panic!("{output:?}"),
        }
    }
    node.end();
}
