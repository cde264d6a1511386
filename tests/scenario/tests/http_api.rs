//! Goal: clients get tokens and a node's address over HTTP by the rules of LOGIN and REGISTER, tokens
//! log in over TCP, and whoever sends too much, too slowly or nonsense gets an error in time and
//! nothing else.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aldis_scenario::http::{HttpReply, http_get, http_post, http_post_with, http_raw, read_reply};
use aldis_scenario::process::descriptor_count;
use aldis_scenario::requests::random_16;
use aldis_scenario::{RawClient, Scene, Server, ServerOptions, wait_for};
use aldis_wire::{Code, Command, DeviceClass, pb};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse";

fn scene(more: &str) -> (Scene, SocketAddr) {
    let config = format!("[api]\nlisten = \"127.0.0.1:0\"\n{more}");
    let scene = Scene::start_with(ServerOptions { config, ..ServerOptions::default() });
    let api = scene.server.http_address("api");
    (scene, api)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn login_json(user: &str, password: &str) -> Value {
    json!({ "username": user, "password": password, "device_id": "laptop", "device_class": "web" })
}

fn register_json(user: &str, request_id: &[u8]) -> Value {
    let mut body = login_json(user, PASSWORD);
    body["request_id"] = json!(hex(request_id));
    body
}

/// LOGIN over TCP with the token of an answer.
fn token_login(address: SocketAddr, reply: &HttpReply) -> (RawClient, Code) {
    let mut client = RawClient::connect(address);
    let body = pb::LoginReq {
        token: reply.json()["token"].as_str().expect("a token").to_owned(),
        device_id: "laptop".to_owned(),
        device_class: DeviceClass::Web.number() as i32,
        ..Default::default()
    };
    let code = client.call(Command::Login, &body).code();
    (client, code)
}

#[test]
fn a_registration_and_a_login_give_tokens_that_log_in() {
    let (scene, api) = scene("");
    let request_id = random_16();
    let body = register_json("Ada", &request_id);
    let registered = http_post(api, "/v1/register", &body);
    assert_eq!(registered.status, 200, "{registered:?}");
    assert_eq!(registered.header("cache-control"), Some("no-store"));
    assert_eq!(registered.json()["gateway"], scene.address().to_string());
    let (client, code) = token_login(scene.address(), &registered);
    assert_eq!(code, Code::Ok);
    // A repeat changes nothing, and a login gives a token of the same user without ending the
    // session that there is.
    let again = http_post(api, "/v1/register", &body);
    let login = http_post(api, "/v1/login", &login_json("ADA", PASSWORD));
    for reply in [&again, &login] {
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json()["user_id"], registered.json()["user_id"]);
    }
    let mut client = client;
    let beat = client.call(Command::Heartbeat, &pb::HeartbeatReq::default());
    assert_eq!(beat.code(), Code::Ok, "nobody was kicked by a login that opens no session");
    // The same name with another id is somebody else's.
    let taken = http_post(api, "/v1/register", &register_json("ada", &random_16()));
    assert_eq!((taken.status, taken.error_code().as_str()), (409, "CONFLICT"));
    // Whoever knows the id of a registration and not its password gets no token.
    let mut stolen = register_json("ada", &request_id);
    stolen["password"] = json!("another password");
    let refused = http_post(api, "/v1/register", &stolen);
    assert_eq!((refused.status, refused.error_code().as_str()), (401, "BAD_CREDENTIALS"));
    // LOGOUT ends the device's tokens, the ones from here too; the next ones are good again.
    assert_eq!(client.call(Command::Logout, &pb::LogoutReq::default()).code(), Code::Ok);
    assert_eq!(token_login(scene.address(), &login).1, Code::BadCredentials);
    let login = http_post(api, "/v1/login", &login_json("ada", PASSWORD));
    assert_eq!(token_login(scene.address(), &login).1, Code::Ok);
    scene.finish();
}

#[test]
fn unknown_users_and_wrong_passwords_get_one_answer() {
    let (scene, api) = scene("");
    http_post(api, "/v1/register", &register_json("known", &random_16()));
    let timed = |user: &str| {
        let begun = Instant::now();
        let reply = http_post(api, "/v1/login", &login_json(user, "wrong horse"));
        (reply, begun.elapsed())
    };
    let (wrong, wrong_time) = timed("known");
    let (unknown, unknown_time) = timed("unknown");
    let (bad_name, _) = timed("no such / name");
    for reply in [&wrong, &unknown, &bad_name] {
        assert_eq!((reply.status, &reply.body), (401, &wrong.body));
    }
    // Both hash: neither is done in less than the time of a hash on the fastest machine.
    let least = Duration::from_millis(2);
    assert!(wrong_time > least && unknown_time > least, "{wrong_time:?} {unknown_time:?}");
    scene.finish();
}

#[test]
fn guesses_over_http_and_tcp_are_counted_together() {
    let (scene, api) = scene("");
    http_post(api, "/v1/register", &register_json("guessed", &random_16()));
    let mut tcp_codes = Vec::new();
    for n in 0..8 {
        let guess = login_json("guessed", &format!("wrong horse {n}"));
        let reply = http_post(api, "/v1/login", &guess);
        if reply.status == 429 {
            assert!(reply.header("retry-after").expect("seconds").parse::<u32>().unwrap() >= 1);
            assert!(reply.json()["error"]["retry_after_ms"].as_u64().unwrap() > 0);
            let body = aldis_scenario::requests::login_body("guessed", PASSWORD, DeviceClass::Web);
            tcp_codes.push(RawClient::connect(scene.address()).call(Command::Login, &body).code());
            break;
        }
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    assert_eq!(tcp_codes, [Code::RateLimited], "the delay holds for both");
    scene.finish();
}

#[test]
fn an_address_has_a_rate_and_a_proxy_speaks_for_many() {
    let (scene, api) = scene("requests_per_second = 2\nbehind_proxy = true\n");
    let gateway = |for_whom: &str| {
        let headers = format!("X-Forwarded-For: 203.0.113.7, {for_whom}\r\n");
        let text = format!(
            "GET /v1/gateway HTTP/1.1\r\nHost: aldis\r\nConnection: close\r\n{headers}\r\n"
        );
        http_raw(api, text.as_bytes()).expect("an answer").status
    };
    let statuses: Vec<_> = (0..20).map(|_| gateway("198.51.100.1")).collect();
    assert!(statuses[..8].iter().all(|status| *status == 200), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(gateway("198.51.100.2"), 200, "others are not affected");
    scene.finish();
}

#[test]
fn nonsense_is_refused_with_a_reason_and_without_repeating_it() {
    let (scene, api) = scene("");
    let post = |path: &str, body: &str| http_post_with(api, path, "", body);
    for body in ["", "{", "[]", "null", "{\"username\":\"hunter2\"}", "{\"username\":7}", "\u{1}"] {
        for path in ["/v1/login", "/v1/register"] {
            let reply = post(path, body);
            assert_eq!((reply.status, reply.error_code().as_str()), (400, "BAD_REQUEST"), "{body}");
            assert!(!reply.body.contains("hunter2"));
        }
    }
    let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    assert_eq!(post("/v1/login", &deep).status, 400);
    let with = |key: &str, value: Value| {
        let mut body = register_json("somebody", &random_16());
        body[key] = value;
        http_post(api, "/v1/register", &body)
    };
    for (key, value, status) in [
        ("username", json!("with space"), 400),
        ("username", json!("a".repeat(65)), 413),
        ("username", json!("a\u{0}b"), 400),
        ("password", json!("short"), 400),
        ("password", json!("x".repeat(4_000)), 413),
        ("nickname", json!("bell\u{7}"), 400),
        ("device_id", json!(""), 400),
        ("device_id", json!("d".repeat(4_000)), 400),
        ("device_class", json!("toaster"), 400),
        ("device_class", json!(1), 400),
        ("request_id", json!("00"), 400),
        ("request_id", json!("zz".repeat(16)), 400),
    ] {
        let reply = with(key, value.clone());
        assert_eq!(reply.status, status, "{key} = {value}: {reply:?}");
    }
    let kind = http_raw(
        api,
        b"POST /v1/login HTTP/1.1\r\nHost: aldis\r\nConnection: close\r\n\
          Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    );
    assert_eq!(kind.expect("an answer").status, 415);
    assert_eq!(http_get(api, "/v1/login").status, 405);
    assert_eq!(http_get(api, "/v1/logins").status, 404);
    assert_eq!(http_get(api, "/metrics").status, 404, "that is the admin's");
    assert_eq!(http_get(api, "/../../etc/passwd").status, 404);
    // Nobody was created by any of it.
    let login = http_post(api, "/v1/login", &login_json("somebody", PASSWORD));
    assert_eq!(login.status, 401);
    scene.finish();
}

#[test]
fn what_is_too_large_or_no_http_is_cut_off() {
    let (scene, api) = scene("");
    let large = json!({ "username": "x".repeat(9_000) });
    assert_eq!(http_post(api, "/v1/login", &large).status, 413);
    let head = "POST /v1/login HTTP/1.1\r\nHost: aldis\r\nContent-Type: application/json\r\n";
    let announced = format!("{head}Content-Length: 4294967296\r\n\r\n");
    assert_eq!(http_raw(api, announced.as_bytes()).expect("an answer").status, 413);
    let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunks = chunks + &format!("3e8\r\n{}\r\n", "x".repeat(1_000)).repeat(20);
    assert_eq!(http_raw(api, chunks.as_bytes()).expect("an answer").status, 413);
    let headers = format!("{head}X-Large: {}\r\n\r\n", "x".repeat(100_000));
    let reply = http_raw(api, headers.as_bytes());
    assert!(reply.is_none_or(|reply| reply.status == 431), "a head has a limit");
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let reply = http_raw(api, format!("{head}{many}\r\n").as_bytes());
    assert!(reply.is_none_or(|reply| reply.status == 431), "and a number of lines");
    for bytes in [&b"\x49\x4d\x01\x00\x10\x01\x00\x00"[..], b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n"]
    {
        let reply = http_raw(api, bytes);
        assert!(reply.is_none_or(|reply| reply.status == 400), "no HTTP");
    }
    scene.finish();
}

#[test]
fn slow_and_silent_peers_are_let_go_and_others_served_meanwhile() {
    let (mut scene, api) = scene("");
    let before = descriptor_count(scene.server.pid());
    let slow: Vec<TcpStream> = (0..40)
        .map(|n| {
            let mut stream = TcpStream::connect(api).expect("connected");
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
            let text = match n % 4 {
                0 => "",
                1 => "POST /v1/login HT",
                2 => "POST /v1/login HTTP/1.1\r\nHost: aldis\r\nContent-Le",
                _ => {
                    "POST /v1/login HTTP/1.1\r\nHost: aldis\r\n\
                     Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
                }
            };
            stream.write_all(text.as_bytes()).expect("written");
            stream
        })
        .collect();
    assert_eq!(http_get(api, "/v1/gateway").status, 200, "others are served");
    let begun = Instant::now();
    for (n, mut stream) in slow.into_iter().enumerate() {
        let reply = read_reply(&mut stream);
        assert!(reply.is_none_or(|reply| reply.status == 408), "peer {n} sent no request");
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    wait_for("their descriptors are gone", || descriptor_count(scene.server.pid()) <= before);
    assert!(scene.server.is_running());
    scene.finish();
}

#[test]
fn more_connections_than_there_is_room_for_are_closed_at_once() {
    let server = Server::start_with(ServerOptions {
        config: "[api]\nlisten = \"127.0.0.1:0\"\n".into(),
        ..ServerOptions::default()
    });
    aldis_scenario::process::raise_descriptor_limit();
    let api = server.http_address("api");
    let mut kept: Vec<_> = (0..1_100).filter_map(|_| TcpStream::connect(api).ok()).collect();
    let refused = http_raw(api, b"GET /v1/gateway HTTP/1.1\r\nHost: aldis\r\n\r\n");
    assert!(refused.is_none(), "{refused:?}");
    kept.clear();
    wait_for("there is room again", || {
        let text = b"GET /v1/gateway HTTP/1.1\r\nHost: aldis\r\nConnection: close\r\n\r\n";
        http_raw(api, text).is_some_and(|reply| reply.status == 200)
    });
}

#[test]
fn a_storm_of_logins_is_answered_busy_and_messages_go_on() {
    let (scene, api) = scene("requests_per_second = 0\n");
    http_post(api, "/v1/register", &register_json("storm", &random_16()));
    let threads: Vec<_> = (0..120)
        .map(|_| {
            let body = login_json("storm", PASSWORD);
            std::thread::spawn(move || http_post(api, "/v1/login", &body))
        })
        .collect();
    scene.pair_is_served();
    let replies: Vec<_> = threads.into_iter().map(|one| one.join().expect("a reply")).collect();
    let count = |status| replies.iter().filter(|reply| reply.status == status).count();
    // The right password is throttled too while so many of its attempts are undecided.
    assert_eq!(count(200) + count(503) + count(429), replies.len(), "{replies:?}");
    assert!(count(200) >= 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert!(reply.header("retry-after").is_some(), "{reply:?}");
    }
    scene.finish();
}
