//! Goal: the admin listener says truthfully whether the process lives and can serve, and its metrics
//! are what Prometheus expects and what happened.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aldis_scenario::http::{assert_clean, http_get, http_post, http_raw, metric, scrape};
use aldis_scenario::requests::text_to;
use aldis_scenario::{NodeOptions, RawClient, Scene, ServerOptions, wait_for};
use aldis_services::MariaDb;
use aldis_wire::{Command, DeviceClass, pb};
use rustix::process::Signal;
use serde_json::json;

const TABLES: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n";

fn scene() -> (Scene, SocketAddr) {
    let config = TABLES.to_owned();
    let scene = Scene::start_with(ServerOptions { config, ..ServerOptions::default() });
    let admin = scene.server.http_address("admin");
    (scene, admin)
}

#[test]
fn a_node_that_serves_is_alive_and_ready() {
    let (scene, admin) = scene();
    let health = http_get(admin, "/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let ready = http_get(admin, "/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    assert_eq!(http_get(admin, "/").status, 404);
    assert_eq!(http_get(admin, "/v1/gateway").status, 404, "that is for clients");
    let posted = http_post(admin, "/healthz", &json!({}));
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    let large = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert!(http_raw(admin, large.as_bytes()).is_none_or(|reply| reply.status == 431));
    scene.finish();
}

#[test]
fn metrics_are_clean_and_count_what_happens() {
    let (scene, admin) = scene();
    let api = scene.server.http_address("api");
    assert_eq!(http_get(api, "/v1/gateway").status, 200);
    assert_eq!(http_get(api, "/nowhere").status, 404);
    let (mut ann, _) = scene.user("ann");
    let (ben, ben_id) = scene.user("ben");
    let before = scrape(admin);
    let sent = 20;
    for n in 0..sent {
        ann.send_message(&text_to(ben_id, &format!("message {n}")));
    }
    assert_ne!(ann.call_raw(0x7777, &[]).code().as_u16(), 0);
    // A second login of the class ends the first.
    let ann_again =
        RawClient::login(scene.address(), "ann", "a password of a test", DeviceClass::Desktop);
    ann.notification(Command::KickNotify);
    let after = scrape(admin);
    assert_clean(&after);
    let value =
        |page: &str, name: &str| metric(page, name).unwrap_or_else(|| panic!("no {name}:\n{page}"));
    let grown = |name: &str| value(&after, name) - metric(&before, name).unwrap_or(0.0);
    assert!(grown("aldis_requests_total{command=\"MsgSend\",code=\"OK\"}") >= f64::from(sent));
    assert!(grown("aldis_messages_committed_total") >= f64::from(sent));
    assert!(grown("aldis_commit_batch_jobs_count") >= f64::from(sent));
    assert!(grown("aldis_commit_duration_seconds_sum") > 0.0);
    assert!(grown("aldis_frames_received_total") >= f64::from(sent));
    assert!(grown("aldis_frames_sent_total") >= f64::from(2 * sent), "answers and pushes");
    assert!(grown("aldis_received_bytes_total") >= f64::from(sent) * 16.0);
    assert!(grown("aldis_sent_bytes_total") >= f64::from(2 * sent) * 16.0);
    assert_eq!(grown("aldis_kicks_total"), 1.0);
    assert_eq!(
        value(&after, "aldis_requests_total{command=\"Unknown\",code=\"UNSUPPORTED\"}"),
        1.0
    );
    assert_eq!(value(&after, "aldis_http_requests_total{listener=\"api\",status=\"404\"}"), 1.0);
    assert!(value(&after, "aldis_sessions") >= 4.0, "ann, ben and the pair");
    assert!(value(&after, "aldis_connections") >= 4.0);
    assert_eq!(value(&after, "aldis_store_up"), 1.0);
    assert_eq!(value(&after, "aldis_directory_up"), 1.0);
    assert_eq!(value(&after, "aldis_open_nodes"), 1.0);
    for queue in ["write", "read", "hash", "directory"] {
        let limit = value(&after, &format!("aldis_queue_limit_jobs{{queue=\"{queue}\"}}"));
        assert!(value(&after, &format!("aldis_queue_jobs{{queue=\"{queue}\"}}")) <= limit);
    }
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(value(&after, name) > 0.0, "{name}");
    }
    drop((ann, ann_again, ben));
    scene.finish();
}

#[test]
fn what_was_counted_is_visible_although_nothing_more_happens() {
    let (scene, admin) = scene();
    let (mut quiet, _) = scene.user("quiet");
    quiet.call(Command::Heartbeat, &pb::HeartbeatReq::default());
    let page = scrape(admin);
    let beats = metric(&page, "aldis_requests_total{command=\"Heartbeat\",code=\"OK\"}");
    assert_eq!(beats, Some(1.0), "{page}");
    drop(quiet);
    scene.finish();
}

#[test]
fn a_node_is_not_ready_while_its_database_hangs_and_is_again_afterwards() {
    let mariadb = MariaDb::start();
    let url = mariadb.fresh_database();
    let mut options = NodeOptions::new(1, &url);
    options.tables = TABLES.to_owned();
    let node = options.start();
    let (admin, api) = (node.http_address("admin"), node.http_address("api"));
    let name = "waiting";
    RawClient::register(node.address(), name, "a password of a test");
    assert_eq!(http_get(admin, "/readyz").status, 200);
    mariadb.pause();
    let reason = std::cell::RefCell::new(String::new());
    wait_for("not ready", || {
        let reply = http_get(admin, "/readyz");
        *reason.borrow_mut() = reply.body;
        reply.status == 503
    });
    assert!(reason.borrow().contains("the store"), "{reason:?}");
    assert_eq!(http_get(admin, "/healthz").status, 200, "the process is alive");
    assert_clean(&scrape(admin));
    // A login finds out too, in bounded time.
    let body = json!({
        "username": name, "password": "a password of a test", "device_id": "d",
        "device_class": "web",
    });
    let begun = Instant::now();
    let reply = http_post(api, "/v1/login", &body);
    assert_eq!((reply.status, reply.error_code().as_str()), (503, "UNAVAILABLE"));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    // The claim runs out with time, which is told too.
    wait_for("the claim is in doubt", || http_get(admin, "/readyz").body.contains("claimed"));
    mariadb.resume();
    wait_for("ready again", || http_get(admin, "/readyz").status == 200);
    wait_for("logins again", || http_post(api, "/v1/login", &body).status == 200);
}

#[test]
fn a_node_that_drains_is_alive_and_not_ready() {
    let config = format!("{TABLES}[drain]\nseconds = 20\n");
    let mut scene = Scene::start_with(ServerOptions { config, ..ServerOptions::default() });
    let (admin, api) = (scene.server.http_address("admin"), scene.server.http_address("api"));
    // Somebody who does not leave keeps the drain going.
    let (staying, _) = scene.user("staying");
    scene.server.signal(Signal::TERM);
    wait_for("draining", || http_get(admin, "/readyz").status == 503);
    assert_eq!(http_get(admin, "/readyz").body, "not ready: draining\n");
    assert_eq!(http_get(admin, "/healthz").status, 200);
    assert_eq!(metric(&scrape(admin), "aldis_draining"), Some(1.0));
    let gateway = http_get(api, "/v1/gateway");
    assert_eq!(gateway.status, 503, "there is no other node: {gateway:?}");
    assert!(gateway.header("retry-after").is_some());
    drop(staying);
    assert!(scene.server.wait_end(Duration::from_secs(60)), "it ends well");
}
