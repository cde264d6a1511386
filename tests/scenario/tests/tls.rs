//! Goal: with a certificate the server speaks TLS and nothing else; clients that trust it talk as
//! always, the others do not get in; a certificate is replaced while the server runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aldis_client::core::{Config, Credentials, Event, SavedState, Target};
use aldis_client::shell::TlsOptions;
use aldis_client::{Client, ClientConfig, ClientError};
use aldis_scenario::{RawClient, Server, ServerOptions, aldis, aldisd, frame, wait_for};
use aldis_wire::{Command as Cmd, DeviceClass, UserId, pb};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PASSWORD: &str = "a password of a test";
const UNREACHABLE: i32 = 3;

/// A directory with a certificate for this machine.
fn certificate() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    make_certificate(dir.path());
    dir
}

fn make_certificate(dir: &Path) {
    let output = aldisd().args(["admin", "certificate", "--dir"]).arg(dir).output();
    let output = output.expect("aldisd runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn options(dir: &Path) -> ServerOptions {
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| dir.join(name));
    let config = format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    ServerOptions { config, ..ServerOptions::default() }
}

fn client(server: &Server, roots: PathBuf, class: DeviceClass) -> Client {
    let mut config = ClientConfig::new(server.address().to_string(), Config::new("tls", class));
    config.tls = Some(TlsOptions { roots: Some(roots), name: None });
    config.fail_fast = true;
    Client::new(config, SavedState::default()).expect("a client")
}

fn register(server: &Server, dir: &Path, name: &str) -> (Client, UserId) {
    let mut client = client(server, dir.join("certificate.pem"), DeviceClass::Phone);
    let id = client.register(name, PASSWORD, "").expect("the user registers");
    let credentials =
        Credentials::Password { username: name.to_owned(), password: PASSWORD.to_owned() };
    client.login(credentials).expect("the user logs in");
    (client, id)
}

#[test]
fn two_users_talk_over_tls_in_sizes_up_to_the_limit() {
    let dir = certificate();
    let server = Server::start_with(options(dir.path()));
    let (mut ada, _) = register(&server, dir.path(), "ada");
    let (mut ben, ben_id) = register(&server, dir.path(), "ben");
    for size in [1, 1_000, 20_000, 65_000, 1_000_000] {
        let kind = pb::MsgType::Custom;
        let content = bytes::Bytes::from(vec![7; size]);
        ada.send(Target::User(ben_id), kind, content.clone()).expect("it is stored");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match ben.wait_event(deadline).expect("connected").expect("the message comes") {
                Event::Entry { entry, .. } => {
                    assert_eq!(entry.content, content);
                    break;
                }
                Event::Offline { reason, .. } => panic!("{reason:?}"),
                _ => {}
            }
        }
    }
    // Thousands of sends in flight at once come in order.
    for n in 0..2_000_u32 {
        let content = bytes::Bytes::from(n.to_be_bytes().to_vec());
        loop {
            let (core, now) = ada.core_mut();
            let kind = pb::MsgType::Custom;
            let target = Target::User(ben_id);
            match core.send_message(now, target, kind, content.clone(), bytes::Bytes::new()) {
                Ok(_) => break,
                Err(_) => drop(ada.wait_event(Instant::now() + Duration::from_millis(5))),
            }
        }
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut wanted = 0_u32;
    while wanted < 2_000 {
        assert!(Instant::now() < deadline, "{wanted} came");
        let _ = ada.wait_event(Instant::now() + Duration::from_millis(1)).expect("connected");
        let until = Instant::now() + Duration::from_millis(1);
        while let Some(event) = ben.wait_event(until).expect("connected") {
            if let Event::Entry { entry, .. } = event {
                assert_eq!(entry.content, wanted.to_be_bytes().to_vec());
                wanted += 1;
            }
        }
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

fn tool(server: &Server, home: &Path, args: &[&str]) -> Output {
    let mut command: Command = aldis();
    command
        .args(args)
        .env("ALDIS_SERVER", server.address().to_string())
        .env("ALDIS_USER", "ada")
        .env("ALDIS_PASSWORD", PASSWORD)
        .env("XDG_CONFIG_HOME", home)
        .stdin(Stdio::null());
    command.output().expect("aldis runs")
}

#[test]
fn who_does_not_trust_the_certificate_or_speaks_no_tls_does_not_get_in() {
    let (dir, other, home) = (certificate(), certificate(), certificate());
    let server = Server::start_with(options(dir.path()));
    let trusted = dir.path().join("certificate.pem").display().to_string();
    let output = tool(&server, home.path(), &["register", "--ca", &trusted]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let strange = other.path().join("certificate.pem").display().to_string();
    for args in [&["sync", "--ca", strange.as_str()][..], &["sync", "--tls"], &["sync"]] {
        let args = [args, &["--timeout", "5"]].concat();
        let output = tool(&server, home.path(), &args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        println!("{args:?}: {stderr}");
        assert!(!output.status.success(), "{args:?}");
        if args.len() > 3 {
            assert_eq!(output.status.code(), Some(UNREACHABLE), "{stderr}");
            assert!(stderr.contains("certificate"), "{stderr}");
        }
    }
    let mut plain = RawClient::connect(server.address());
    plain.send_bytes(&frame(Cmd::Heartbeat.id(), 1, &[]));
    let mut closed = [0; 64];
    let read = std::io::Read::read(&mut plain.stream(), &mut closed).unwrap_or(0);
    assert!(read == 0 || closed[0] == 21, "nothing but an alert: {:?}", &closed[..read]);
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn a_new_certificate_is_read_on_sighup_and_a_bad_one_changes_nothing() {
    let dir = certificate();
    let server = Server::start_with(options(dir.path()));
    let (mut ada, ada_id) = register(&server, dir.path(), "ada");
    let roots = |name: &str| dir.path().join(name);
    std::fs::copy(roots("certificate.pem"), roots("old.pem")).expect("copied");
    for name in ["certificate.pem", "key.pem"] {
        std::fs::remove_file(roots(name)).expect("removed");
    }
    make_certificate(dir.path());
    server.signal(Signal::HUP);
    wait_for("the certificate is read", || server.log().contains("the certificate was read again"));
    let send = |client: &mut Client| {
        client.send(Target::User(ada_id), pb::MsgType::Text, "still here".into())
    };
    send(&mut ada).expect("an open connection goes on");
    register(&server, dir.path(), "ben");
    let login = |roots: PathBuf| {
        let credentials =
            Credentials::Password { username: "ben".to_owned(), password: PASSWORD.to_owned() };
        client(&server, roots, DeviceClass::Web).login(credentials)
    };
    assert!(matches!(login(roots("old.pem")), Err(ClientError::Unreachable { .. })));

    std::fs::write(roots("key.pem"), "no key").expect("written");
    server.signal(Signal::HUP);
    wait_for("it says so", || server.log().contains("the certificate stays as it was"));
    login(roots("certificate.pem")).expect("with the certificate of before");
    send(&mut ada).expect("an open connection goes on");
}

/// Whoever listens where others can connect needs a certificate, or has to say that there is none.
#[test]
fn an_open_address_needs_a_certificate_that_can_be_read() {
    let dir = certificate();
    let config = dir.path().join("aldisd.toml");
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| dir.path().join(name));
    let listen = "[listen]\nclient = \"0.0.0.0:0\"\n";
    let tls = format!("tls = {{ certificate = {certificate:?}, key = {key:?} }}\n");
    let check = |text: String| {
        std::fs::write(&config, text).expect("written");
        let output = aldisd().arg("--config").arg(&config).arg("check-config").output();
        let output = output.expect("aldisd runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (is_good, said) = check(listen.to_owned());
    assert!(!is_good && said.contains("certificate"), "{said}");
    assert_eq!(check(format!("{listen}{tls}")), (true, String::new()));
    std::fs::remove_file(&key).expect("removed");
    let (is_good, said) = check(format!("{listen}{tls}"));
    assert!(!is_good && said.contains("key.pem"), "{said}");
    let refused = Server::try_start_with(options(dir.path()));
    assert!(refused.is_err_and(|log| log.contains("key.pem")));
}
