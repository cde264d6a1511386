//! Goal: what is safe without being asked for, and how far: the unit's sandbox, files, secrets in logs,
//! limits that are on, the lints that keep wire data from stopping a node. README.md, "Security", names
//! these tests beside those of other files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aldis_scenario::requests::{login_body, register_body, text_to};
use aldis_scenario::{RawClient, Server, ServerOptions};
use aldis_services::find;
use aldis_wire::{Code, Command as Request, DeviceClass, pb};

/// Of `systemd-analyze security`, from 0 (all closed) to 10, times ten.
const EXPOSURE_MAX: u32 = 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_unit_leaves_the_server_little_of_the_machine() {
    let unit = root().join("conf/aldisd.service");
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let output = Command::new(find("systemd-analyze", "systemd"))
        .args(["security", "--offline=true", "--no-pager", &threshold])
        .arg(unit)
        .output()
        .expect("it was found");
    let text = String::from_utf8_lossy(&output.stdout);
    let verdict = text.lines().find(|line| line.contains("Overall exposure")).unwrap_or(&text);
    println!("{verdict}");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("Overall exposure"), "it was judged: {text}");
}

/// Passwords, tokens and what people say to each other are in no log, however much is logged.
#[test]
fn the_most_talkative_log_has_no_secret_and_no_message() {
    const PASSWORD: &str = "a-password-that-no-log-has";
    const NEXT: &str = "another-password-that-no-log-has";
    const WORDS: &str = "words-between-two-people";
    let wrapper = ["env", "ALDIS_LOG=trace"].map(String::from).to_vec();
    let mut server = Server::start_with(ServerOptions { wrapper, ..ServerOptions::default() });
    let mut ann = RawClient::connect(server.address());
    let register = register_body("ann", PASSWORD);
    ann.call(Request::Register, &register).ok::<pb::RegisterResp>();
    let ben = RawClient::register(server.address(), "ben", PASSWORD);
    let wrong = login_body("ann", "a-wrong-password-that-no-log-has", DeviceClass::Phone);
    assert_eq!(ann.call(Request::Login, &wrong).code(), Code::BadCredentials);
    let said = ann.call(Request::Login, &login_body("ann", PASSWORD, DeviceClass::Phone));
    let token = said.ok::<pb::LoginResp>().token;
    ann.send_message(&text_to(ben, WORDS));
    let change = pb::ChangePasswordReq { old_password: PASSWORD.into(), new_password: NEXT.into() };
    let fresh = ann.call(Request::ChangePassword, &change).ok::<pb::ChangePasswordResp>().token;
    // Frames that are not understood are no reason to quote them.
    assert_eq!(ann.call_raw(Request::MsgSend.id(), WORDS.as_bytes()).code(), Code::BadRequest);
    drop(ann);
    assert!(server.terminate(std::time::Duration::from_secs(60)));
    let log = server.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it is talkative: {log}");
    let secrets = [PASSWORD, NEXT, "a-wrong-password", WORDS, &token, &fresh, "$argon2"];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret:?} stands in the log");
    }
}

#[test]
fn what_the_server_writes_is_its_own_accounts_only() {
    let server = Server::start();
    let _ = RawClient::register(server.address(), "owner", "a password of a test");
    let mut folders = vec![server.dir().join("data")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder) & 0o077, 0, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).expect("the data") {
            let path = entry.expect("the data").path();
            match path.is_dir() {
                true => folders.push(path),
                // The folder keeps others out of what SQLite makes in it.
                false => count += 1,
            }
        }
    }
    assert!(count >= 2, "a lock and a database");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode()
}

/// Two stores have nothing secret in common: a token of one is nothing to the other.
#[test]
fn each_store_has_a_signing_key_of_its_own() {
    let servers = [Server::start(), Server::start()];
    let [ours, theirs] = servers.each_ref().map(|server| {
        let user = server.seed_users("same", 1, DeviceClass::Phone).remove(0);
        RawClient::login_seeded(server.address(), &user);
        user
    });
    assert_eq!((ours.id, &ours.name), (theirs.id, &theirs.name), "only the keys differ");
    for (server, token) in [(&servers[0], &theirs), (&servers[1], &ours)] {
        let reply = RawClient::connect(server.address()).call(Request::Login, &token.login_body());
        assert_eq!(reply.code(), Code::BadCredentials);
    }
}

/// Every crate takes the workspace's lints, which deny unsafe code and unwrap, and system calls that
/// no crate wraps are in the few files that say so.
#[test]
fn every_crate_takes_the_workspaces_lints() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace");
    assert!(text.contains("unsafe_code = \"deny\"") && text.contains("unwrap_used = \"warn\""));
    let list = text.split_once("members = [").and_then(|(_, rest)| rest.split_once(']'));
    let members = list.expect("a list of members").0.split('"').skip(1).step_by(2);
    let mut count = 0;
    for member in members {
        let manifest = root().join(member).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).expect("a member");
        assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
        count += 1;
    }
    assert!(count > 10, "{count} members were looked at");
}

/// What takes bytes of peers apart has no index that a wrong length could make panic: clippy sees to it
/// where these lines stand.
#[test]
fn what_takes_the_wire_apart_is_denied_indexes() {
    let has = |path: &str, line: &str| {
        let text = std::fs::read_to_string(root().join(path)).expect("a source file");
        assert!(text.contains(line), "{path}: {line}");
    };
    has("protocol/wire/lib.rs", "#![deny(clippy::indexing_slicing)]");
    has("protocol/rudp/wire/mod.rs", "#![deny(clippy::indexing_slicing)]");
    for module in ["input", "tail", "tls", "transport"] {
        has("src/net/lib.rs", &format!("#[deny(clippy::indexing_slicing)]\nmod {module};"));
    }
}
