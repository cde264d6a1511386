//! What a reader was shown survives a crash of the database, although InnoDB shows commits before
//! their log is on disk.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aldis_logic::job::{
    CreateGroup, GroupLimits, HistoryRange, JobError, ReadJob, WriteJob, Written,
};
use aldis_services::{MariaDb, MariaDbOptions};
use aldis_store::mysql::MysqlStore;
use aldis_store::{Reader, Store, Writer};
use aldis_wire::{ConversationKey, RequestId, Seq};
use mysql::prelude::Queryable;

use super::harness::{Scene, message, options, request, sync, texts, unix_ms};

/// Far longer than the test, microseconds.
const DELAY_US: u64 = 60_000_000;
/// Far longer than anything should take.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Keeps a thread's writes from reaching files. Other threads of a database must be able to go on:
/// were one of those that write its log on their own stopped, nothing at all would be answered.
struct Stalled(Child);

impl Stalled {
    /// In its next write.
    fn new(thread: u32) -> Self {
        Self::at(thread, &["pwrite64", "fdatasync"], 1)
    }

    /// In the `number`th of these system calls, counted from now for each of them.
    fn at(thread: u32, calls: &[&str], number: u32) -> Self {
        let inject = |call| format!("inject={call}:delay_enter={DELAY_US}:when={number}+");
        let child = Command::new("strace")
            .args(["-o", "/dev/null", "-e", "trace=pwrite64,fdatasync"])
            .args(calls.iter().flat_map(|call| ["-e".to_owned(), inject(call)]))
            .args(["-p", &thread.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace (Debian package strace; tests/run installs it)");
        let stalled = Self(child);
        wait_until("strace is not attached", || {
            let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
            !status.contains("TracerPid:\t0\n")
        });
        stalled
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill_9(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WAIT_MAX, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a node does up to the COMMIT of a message to Bob, without the node: it keeps its claim too.
fn append_by_hand(node: &mut mysql::Conn, bob: u64) {
    for statement in [
        "BEGIN",
        &format!("UPDATE im_mailbox SET max_seq = 2 WHERE owner = {bob}"),
        "INSERT INTO im_message_body (msg_id, lo, hi, conv_seq, msg_no, sender, sender_seq, time_ms,
             client_msg_id, body_hash, kind, content, extra)
         SELECT msg_id + 1, lo, hi, 2, 2, sender, 2, time_ms,
             x'00000000000000000000000000000001', 0, kind, 'taken back', '' FROM im_message_body",
        &format!(
            "INSERT INTO im_message_index (owner, seq, msg_id, bytes)
             SELECT {bob}, 2, MAX(msg_id), 10 FROM im_message_body"
        ),
    ] {
        node.query_drop(statement).unwrap();
    }
}

#[test]
fn no_page_holds_what_a_crash_of_the_database_takes_back() {
    let mut server = MariaDb::start();
    let url = server.fresh_database();
    let mut scene = Scene::new(&url);
    scene.send("first").unwrap();
    let bob = scene.bob;
    // Readers of another process, which knows nothing of what this one has committed.
    let other = MysqlStore::open(options(&url, 2)).unwrap();
    let conversation = ConversationKey::direct(scene.ann, bob);
    let (range, limit) = (HistoryRange::Newest, 100);
    let questions = [
        ReadJob::Sync { user: bob, after: Seq(0), limit },
        ReadJob::History { reader: bob, conversation, range, limit },
        ReadJob::Heads { users: vec![bob] },
        ReadJob::LoginState { user: bob, device_id: "phone".into() },
    ];
    let mut readers = questions.map(|question| (other.reader().unwrap(), question));
    let mut plain = mysql::Conn::new(url.as_str()).unwrap();
    let head = format!("SELECT COUNT(*) FROM im_message_index WHERE owner = {}", bob.0);
    assert_eq!(plain.query_first(&head).unwrap(), Some(1));

    let mut node = mysql::Conn::new(url.as_str()).unwrap();
    append_by_hand(&mut node, bob.0);
    let thread = "SELECT tid FROM information_schema.processlist WHERE id = CONNECTION_ID()";
    let stalled = Stalled::new(node.query_first(thread).unwrap().unwrap());
    let (committed, shown) = std::thread::scope(|scope| {
        let committing = scope.spawn(|| node.query_drop("COMMIT"));
        // The hazard: another connection sees what is not on disk.
        wait_until("the commit is not visible", || plain.query_first(&head).unwrap() == Some(2));
        let reading =
            readers.each_mut().map(|(reader, question)| scope.spawn(|| reader.read(question)));
        std::thread::sleep(Duration::from_millis(500));
        let is_early = reading.each_ref().map(|reading| reading.is_finished());
        assert_eq!(is_early, [false; 4], "something was shown before it was on disk");
        kill_9(server.pid());
        // Until it lets go of the dead threads the process cannot be waited for.
        drop(stalled);
        server.kill_9();
        (committing.join().unwrap(), reading.map(|reading| reading.join().unwrap()))
    });
    assert!(committed.is_err(), "not acknowledged");
    assert!(shown.iter().all(Result::is_err), "{shown:?}");

    server.restart();
    let mut plain = mysql::Conn::new(url.as_str()).unwrap();
    assert_eq!(plain.query_first(&head).unwrap(), Some(1), "the crash took it back");
    wait_until("the writer comes back", || scene.send("second").is_ok());
    let [(reader, _), ..] = &mut readers;
    wait_until("the reader comes back", || sync(reader, bob, 0).is_ok());
    assert_eq!(texts(&sync(reader, bob, 0).unwrap()), ["first", "second"]);
}

#[test]
fn with_the_binary_log_nothing_is_visible_before_that_log_is_on_disk() {
    let args = ["--log-bin=binlog", "--server-id=1", "--sync-binlog=1"];
    let args = args.map(str::to_owned).to_vec();
    let server = MariaDb::start_with(MariaDbOptions { args, ..MariaDbOptions::default() });
    let url = server.fresh_database();
    let mut scene = Scene::new(&url);
    scene.send("first").unwrap();
    let mut node = mysql::Conn::new(url.as_str()).unwrap();
    append_by_hand(&mut node, scene.bob.0);
    let thread = "SELECT tid FROM information_schema.processlist WHERE id = CONNECTION_ID()";
    let thread = node.query_first(thread).unwrap().unwrap();
    // The first is that of InnoDB's log, when it prepares; the second is the binary log's.
    let stalled = Stalled::at(thread, &["fdatasync"], 2);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| node.query_drop("COMMIT"));
        let is_written = || binary_log(&server).windows(TEXT.len()).any(|part| part == TEXT);
        wait_until("the commit does not come to the binary log", is_written);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(texts(&scene.sync(scene.bob, 0).unwrap()), ["first"]);
        drop(stalled);
        committing.join().unwrap().unwrap();
        assert_eq!(scene.sync(scene.bob, 0).unwrap().entries.len(), 2);
    });
}

/// Of the message that is appended by hand.
const TEXT: &[u8] = b"taken back";

fn binary_log(server: &MariaDb) -> Vec<u8> {
    std::fs::read(server.data_dir().join("binlog.000001")).unwrap()
}

/// The one of the store's first writer. Each scene keeps a writer and a reader; those that opened
/// the stores may still be ending.
fn stall_oldest_connection(plain: &mut mysql::Conn, scene_count: usize) -> Stalled {
    let threads = "SELECT tid FROM information_schema.processlist
                   WHERE db = DATABASE() AND id <> CONNECTION_ID() ORDER BY id";
    let mut found: Vec<u32> = Vec::new();
    wait_until("there are other connections", || {
        found = plain.query(threads).unwrap();
        found.len() == 2 * scene_count
    });
    Stalled::new(found[0])
}

#[test]
fn no_resend_is_answered_with_what_a_crash_of_the_database_takes_back() {
    let mut server = MariaDb::start();
    let url = server.fresh_database();
    let mut first = Scene::new(&url);
    let create = WriteJob::CreateGroup(CreateGroup {
        owner: first.ann,
        name: "group".into(),
        members: vec![first.bob],
        open_history: false,
        request_id: RequestId([1; 16]),
        limits: GroupLimits::default(),
    });
    let created = first.writer.commit(unix_ms(), &[request(create)]).results.remove(0);
    let Ok(Written::GroupCreated { group, .. }) = created else { panic!("{created:?}") };
    let mut plain = mysql::Conn::new(url.as_str()).unwrap();
    let head = format!("SELECT COUNT(*) FROM im_message_index WHERE owner = {}", first.bob.0);
    let mut second = Scene::with(options(&url, 2));
    let stalled = stall_oldest_connection(&mut plain, 2);
    // To a group: a resend to one user counts the conversation up and down, which is a change.
    let WriteJob::Append(mut job) = message(first.ann, first.bob, "taken back") else { panic!() };
    job.conversation = ConversationKey::group(group);
    let batch = [request(WriteJob::Append(job))];
    let (sent, resent) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| first.writer.commit(unix_ms(), &batch));
        wait_until("the commit is not visible", || plain.query_first(&head).unwrap() == Some(2));
        // The client goes to another node, which finds the message and has nothing to write.
        let resent = second.writer.commit(unix_ms(), &batch);
        kill_9(server.pid());
        drop(stalled);
        server.kill_9();
        (sending.join().unwrap(), resent)
    });
    assert!(sent.results[0].is_err(), "not acknowledged");
    assert!(resent.results[0].is_err(), "acknowledged before it was on disk: {resent:?}");
    server.restart();
    let mut plain = mysql::Conn::new(url.as_str()).unwrap();
    assert_eq!(plain.query_first(&head).unwrap(), Some(1), "the crash took it back");
}

#[test]
fn a_commit_whose_answer_came_too_late_is_found_by_the_resend() {
    let server = MariaDb::start();
    let url = server.fresh_database();
    let mut scene = Scene::new(&url);
    scene.send("first").unwrap();
    let mut plain = mysql::Conn::new(url.as_str()).unwrap();
    let stalled = stall_oldest_connection(&mut plain, 1);
    let batch = [request(message(scene.ann, scene.bob, "second"))];
    let unknown = scene.writer.commit(unix_ms(), &batch);
    assert_eq!(unknown.results, [Err(JobError::Unavailable)]);
    assert!(unknown.events.is_empty());
    drop(stalled);
    let mut resent = None;
    wait_until("the writer does not come back", || {
        resent = scene.writer.commit(unix_ms(), &batch).results.remove(0).ok();
        resent.is_some()
    });
    let Some(Written::Appended(placed)) = resent else { panic!("{resent:?}") };
    assert_eq!(placed.seq, Seq(2));
    wait_until("the reader does not come back", || scene.sync(scene.bob, 0).is_ok());
    assert_eq!(texts(&scene.sync(scene.bob, 0).unwrap()), ["first", "second"]);
}
