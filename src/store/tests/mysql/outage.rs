//! A server that is away, hangs or cannot be written to: answers stay quick and honest, and all
//! goes on by itself afterwards.

use std::time::{Duration, Instant};

use aldis_logic::job::{JobError, ReadJob, ReadResult};
use aldis_services::MariaDb;
use aldis_store::mysql::{MysqlReader, MysqlStore, migrate};
use aldis_store::{Reader, Store, Writer};

use super::harness::{Scene, options, texts, unix_ms};

/// Far above what coming back takes.
const RECOVERY_MAX: Duration = Duration::from_secs(30);

/// Tries until it works, as clients do; the writer keeps house meanwhile, as its loop does.
fn until_ok<T>(scene: &mut Scene, mut ask: impl FnMut(&mut Scene) -> Result<T, JobError>) -> T {
    let begun = Instant::now();
    loop {
        scene.writer.maintain(unix_ms()).unwrap();
        match ask(scene) {
            Ok(answer) => return answer,
            Err(why) => assert_eq!(why, JobError::Unavailable),
        }
        assert!(begun.elapsed() < RECOVERY_MAX, "it does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn everything(scene: &mut Scene) -> Result<Vec<String>, JobError> {
    let (ann, bob) = (scene.ann, scene.bob);
    scene.history()?;
    scene.reader.read(&ReadJob::Heads { users: vec![ann, bob] })?;
    scene.reader.read(&ReadJob::Users { users: vec![ann, bob] })?;
    Ok(texts(&scene.sync(bob, 0)?))
}

#[test]
fn a_server_that_was_killed_is_used_again_when_it_is_back() {
    let mut server = MariaDb::start();
    let mut scene = Scene::new(&server.fresh_database());
    let mut sent = Vec::new();
    for number in 0..3 {
        let text = format!("message {number}");
        until_ok(&mut scene, |scene| scene.send(&text));
        sent.push(text);
        server.kill_9();
        for _ in 0..20 {
            assert_eq!(everything(&mut scene), Err(JobError::Unavailable));
            assert_eq!(scene.send("never"), Err(JobError::Unavailable));
            scene.writer.maintain(unix_ms()).unwrap();
        }
        server.restart();
        assert_eq!(until_ok(&mut scene, everything), sent);
    }
}

#[test]
fn a_server_that_hangs_is_waited_for_once_and_not_by_everyone() {
    let server = MariaDb::start();
    let mut scene = Scene::new(&server.fresh_database());
    scene.send("before").unwrap();
    assert_eq!(everything(&mut scene), Ok(vec!["before".to_owned()]));
    server.pause();
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(scene.sync(scene.ann, 0), Err(JobError::Unavailable));
        assert_eq!(scene.send("never"), Err(JobError::Unavailable));
    }
    // If each waited for its own timeout, it would be twenty times as much.
    assert!(begun.elapsed() < RECOVERY_MAX, "{:?}", begun.elapsed());
    server.resume();
    until_ok(&mut scene, |scene| scene.send("after"));
    let texts = until_ok(&mut scene, everything);
    assert_eq!(texts.first().map(String::as_str), Some("before"));
    assert_eq!(texts.last().map(String::as_str), Some("after"));
}

#[test]
fn a_connection_that_the_server_closed_is_replaced_without_an_error() {
    let server = MariaDb::start();
    let mut scene = Scene::new(&server.fresh_database());
    scene.send("hello").unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    server.sql(&server.sql(
        "SELECT GROUP_CONCAT('KILL ', id SEPARATOR ';') FROM information_schema.processlist
         WHERE db IS NOT NULL",
    ));
    let job = ReadJob::Users { users: vec![scene.ann] };
    assert!(matches!(scene.reader.read(&job), Ok(ReadResult::Users(found)) if found.len() == 1));
}

#[test]
fn a_server_that_cannot_be_written_to_still_answers() {
    let server = MariaDb::start();
    let url = server.fresh_database();
    migrate::migrate(&url).unwrap();
    let name = url.rsplit('/').next().unwrap();
    server.sql(&format!(
        "CREATE USER im@'127.0.0.1';
         GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO im@'127.0.0.1'"
    ));
    let url = format!("mysql://im@127.0.0.1:{}/{name}", server.port());
    let mut scene = Scene::new(&url);
    scene.send("before").unwrap();
    server.sql("SET GLOBAL read_only = 1");
    assert_eq!(scene.send("never"), Err(JobError::Unavailable));
    // A reader of another process: nothing is known to be on disk.
    let mut other = Scene { reader: fresh_reader(&url), ..scene };
    assert_eq!(until_ok(&mut other, everything), ["before"]);
    server.sql("SET GLOBAL read_only = 0");
    until_ok(&mut other, |scene| scene.send("after"));
    assert_eq!(until_ok(&mut other, everything), ["before", "after"]);
}

fn fresh_reader(url: &str) -> MysqlReader {
    MysqlStore::open(options(url, 2)).unwrap().reader().unwrap()
}
