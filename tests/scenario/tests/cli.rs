//! Goal: what the command-line tool prints for programs is what happened, and its exit codes are
//! those of `aldis --help`.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use aldis_scenario::{Server, ServerOptions, aldis, seed};
use serde_json::Value;
use tempfile::TempDir;

const PASSWORD: &str = "correct horse";
const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const UNREACHABLE: i32 = 3;
const TIMEOUT: i32 = 4;

/// The tool of one person: a configuration directory of its own.
struct Tool {
    home: TempDir,
    user: &'static str,
    address: SocketAddr,
}

impl Tool {
    fn new(server: &Server, user: &'static str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        Self { home, user, address: server.address() }
    }

    fn registered(server: &Server, user: &'static str) -> Self {
        let tool = Self::new(server, user);
        tool.ok(&["register"]);
        tool
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = aldis();
        command
            .args(args)
            .env("ALDIS_SERVER", self.address.to_string())
            .env("ALDIS_USER", self.user)
            .env("ALDIS_PASSWORD", PASSWORD)
            .env("XDG_CONFIG_HOME", self.home.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("aldis runs")
    }

    /// What a command that must end well printed.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {args:?}: {stderr}", self.user);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The same, as JSON lines.
    fn json(&self, args: &[&str]) -> Vec<Value> {
        let lines = self.ok(args);
        lines.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    fn exit_code(&self, args: &[&str]) -> Option<i32> {
        self.run(args).status.code()
    }
}

fn field<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().map(|line| &line[name]).collect()
}

#[test]
fn messages_are_sent_and_read_back() {
    let server = Server::start();
    let ada = Tool::registered(&server, "ada");
    let ben = Tool::registered(&server, "小本");
    let sent = ada.json(&["send", "--json", "小本", "hello", "你好", "👋"]);
    assert_eq!((sent[0]["seq"].as_u64(), sent[0]["conv_seq"].as_u64()), (Some(1), Some(1)));
    // From standard input, with everything that a shell would not pass on.
    let text = "line 1\nline 2 'quoted' \"twice\" \\ % \u{202E}\u{1B}[31m";
    let mut child = ada
        .command(&["send", "--json", "小本"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("aldis runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("aldis reads");
    drop(stdin);
    let output = child.wait_with_output().expect("aldis ends");
    assert!(output.status.success());
    let second: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // The same id again changes nothing.
    let id = second["client_msg_id"].as_str().expect("hexadecimal");
    let again = ada.json(&["send", "--json", "--client-msg-id", id, "小本", text]);
    assert_eq!(again[0]["msg_id"], second["msg_id"]);
    assert_eq!(ada.exit_code(&["send", "--client-msg-id", id, "小本", "else"]), Some(REFUSED));

    for args in [&["sync", "--json"][..], &["history", "--json", "ada"]] {
        let entries = ben.json(args);
        assert_eq!(field(&entries, "text"), ["hello 你好 👋", text], "{args:?}");
        assert_eq!(field(&entries, "sender"), ["ada", "ada"]);
    }
    assert_eq!(field(&ben.json(&["sync", "--json", "--after", "1"]), "text"), [text]);
    // For people, control characters are not handed to the terminal.
    let shown = ben.ok(&["history", "ada"]);
    assert!(shown.contains("你好") && !shown.contains('\u{1B}') && !shown.contains('\u{202E}'));
}

#[test]
fn tail_prints_each_entry_once_and_in_order_over_a_restart() {
    let mut server = Server::start();
    let ada = Tool::registered(&server, "ada");
    let ben = Tool::registered(&server, "ben");
    let mut tail = ben
        .command(&["tail", "--json", "--all", "--count", "6"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("aldis runs");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("tail goes on").expect("UTF-8");
        serde_json::from_str(&line).expect("a JSON line")
    };
    for number in 1..=6 {
        if number == 4 {
            server.kill_9();
            server.restart();
        }
        ada.ok(&["send", "ben", &format!("text {number}")]);
        let entry = next();
        assert_eq!(entry["text"], format!("text {number}"));
        assert_eq!(entry["seq"], number);
    }
    assert!(tail.wait().expect("our own child").success());
}

#[test]
fn groups_are_made_changed_and_listed() {
    let server = Server::start();
    let ada = Tool::registered(&server, "ada");
    let ben = Tool::registered(&server, "ben");
    let cat = Tool::registered(&server, "cat");
    let made = ada.json(&["group", "create", "--json", "Lunch 🍜", "ben"]);
    let id = made[0]["group_id"].as_u64().expect("an id").to_string();
    let target = format!("group:{id}");
    ada.ok(&["send", &target, "who is hungry?"]);
    assert_eq!(cat.exit_code(&["send", &target, "me!"]), Some(REFUSED), "not a member");
    let invited = ben.json(&["group", "invite", "--json", &id, "cat", "ada"]);
    assert_eq!(invited[0]["added_ids"].as_array().map(Vec::len), Some(1));
    cat.ok(&["send", &target, "me!"]);
    let list = cat.json(&["group", "list", "--json"]);
    assert_eq!((&list[0]["name"], &list[0]["member_count"]), (&"Lunch 🍜".into(), &3.into()));
    let members = cat.json(&["group", "members", "--json", &id]);
    assert_eq!(field(&members, "user"), ["ada", "ben", "cat"]);
    assert_eq!(field(&members, "role"), ["OWNER", "MEMBER", "MEMBER"]);
    cat.ok(&["group", "leave", &id]);
    assert!(cat.json(&["group", "list", "--json"]).is_empty());
    let history = ben.json(&["history", "--json", &target]);
    let kinds: Vec<&str> =
        history.iter().filter_map(|e| e["group_event"]["kind"].as_str()).collect();
    assert_eq!(kinds, ["GROUP_CREATED", "MEMBERS_JOINED", "MEMBER_LEFT"]);
    let texts: Vec<&str> = history.iter().filter_map(|entry| entry["text"].as_str()).collect();
    assert_eq!(texts, ["who is hungry?", "me!"]);
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let mut server = Server::start();
    let ada = Tool::registered(&server, "ada");
    assert_eq!(ada.exit_code(&["register"]), Some(REFUSED), "the name is taken");
    assert_eq!(ada.exit_code(&["send", "nobody", "hello"]), Some(REFUSED));
    assert_eq!(ada.exit_code(&["send", "id:999999", "hello"]), Some(REFUSED));
    assert_eq!(ada.exit_code(&["send", "--user", "no user", "ada", "hello"]), Some(USAGE));
    assert_eq!(ada.exit_code(&["send", "ada", ""]), Some(USAGE));
    assert_eq!(ada.exit_code(&["frobnicate"]), Some(USAGE));
    assert_eq!(ada.exit_code(&["tail", "--count", "1", "--idle", "1"]), Some(TIMEOUT));
    let wrong = Tool::new(&server, "ada");
    let output =
        wrong.command(&["sync"]).env("ALDIS_PASSWORD", "wrong horse").output().expect("aldis runs");
    assert_eq!(output.status.code(), Some(REFUSED));
    // With the stored token no password is needed, and without either it is not guessed.
    let with_token = ada.command(&["sync"]).env_remove("ALDIS_PASSWORD").status();
    assert!(with_token.expect("aldis runs").success());
    let without = wrong.command(&["sync"]).env_remove("ALDIS_PASSWORD").status();
    assert_eq!(without.expect("aldis runs").code(), Some(USAGE));
    server.kill_9();
    assert_eq!(ada.exit_code(&["sync"]), Some(UNREACHABLE));
}

fn replay(tool: &Tool, file: &Path) -> (Option<i32>, Value, String) {
    let path = file.to_str().expect("UTF-8");
    let output = tool.run(&["replay", "--json", "--connections", "40", path]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), report, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn dialogues_in_many_languages_are_replayed_and_read_back() {
    let server = Server::start();
    let tool = Tool::new(&server, "replayer");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sample = dir.path().join("sample.jsonl");
    let seed = seed().to_string();
    tool.ok(&["replay", "--sample", "2000", "--seed", &seed, sample.to_str().expect("UTF-8")]);
    let (code, report, stderr) = replay(&tool, &sample);
    println!("{report}");
    assert_eq!(code, Some(0), "{stderr}");

    // What a generator may not think of.
    let longest = "界".repeat((64 << 10) / 3);
    let texts = ["e\u{301} is not é", "\0", "\u{FEFF}", "a\r\nb\u{2028}c", " ", "NULL", &longest];
    let own = dir.path().join("own.jsonl");
    let mut lines = String::new();
    for (number, text) in texts.iter().enumerate() {
        let from = ["Ολίβια", "أحمد", "Ада"][number % 3];
        let line = serde_json::json!({"conversation": "κουβέντα", "from": from, "text": text});
        lines.push_str(&format!("{line}\n"));
    }
    std::fs::write(&own, &lines).expect("the directory is writable");
    let (code, report, stderr) = replay(&tool, &own);
    println!("{report}");
    assert_eq!(code, Some(0), "{stderr}");

    for broken in ["{\"conversation\": \"c\", \"from\": \"a\"}\n", "no JSON\n"] {
        std::fs::write(&own, broken).expect("the directory is writable");
        assert_eq!(replay(&tool, &own).0, Some(USAGE), "{broken}");
    }
}

#[test]
fn a_gateway_says_where_to_connect() {
    let config = "[api]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    let server = Server::start_with(ServerOptions { config, ..ServerOptions::default() });
    let gateway = format!("http://{}", server.http_address("api"));
    // The tool knows no server: nobody listens at the address that it has instead.
    let mut tool = Tool::new(&server, "gus");
    tool.address = SocketAddr::from(([127, 0, 0, 1], 1));
    tool.ok(&["register", "--gateway", &gateway]);
    let sent = tool.json(&["send", "--gateway", &gateway, "--json", "gus", "to myself"]);
    assert_eq!(sent[0]["conv_seq"].as_u64(), Some(1));
    let entries = tool.json(&["sync", "--gateway", &gateway, "--json"]);
    assert_eq!(field(&entries, "text"), ["to myself"]);
    let nobody = ["sync", "--gateway", "http://127.0.0.1:1"];
    assert_eq!(tool.exit_code(&nobody), Some(UNREACHABLE));
    assert_eq!(tool.exit_code(&["sync", "--gateway", "127.0.0.1:1"]), Some(USAGE));
}

#[test]
fn one_sees_who_is_there_and_puts_ones_own_account_in_order() {
    let server = Server::start();
    let (ada, ben) = (Tool::registered(&server, "ada"), Tool::registered(&server, "ben"));
    assert_eq!(ada.json(&["presence", "--json", "ben"]).len(), 0, "strangers see nobody");
    ben.ok(&["profile", "--set-nickname", "Ben of the lamp", "--set-presence", "everybody"]);
    assert_eq!(ben.json(&["profile", "--json"])[0]["nickname"], "Ben of the lamp");
    let seen = ada.json(&["presence", "--json", "ben"]);
    assert_eq!(
        (seen[0]["user"].as_str(), seen[0]["is_unknown"].as_bool()),
        (Some("ben"), Some(false))
    );

    ada.ok(&["friend", "list", "--device-class", "phone", "--device-id", "my-phone"]);
    let devices = ada.json(&["devices", "--json"]);
    let phone = devices.iter().find(|device| device["device_id"] == "my-phone").expect("the phone");
    assert_eq!((&phone["class"], &phone["is_this"]), (&"phone".into(), &false.into()));
    ada.ok(&["devices", "revoke", "my-phone"]);
    assert_eq!(ada.exit_code(&["devices", "revoke", "no-such-device"]), Some(REFUSED));

    let mut passwd = ada.command(&["passwd"]);
    let output = passwd.env("ALDIS_NEW_PASSWORD", "another horse").output().expect("aldis runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(ada.exit_code(&["devices"]), Some(REFUSED), "the old password");
    let mut list = ada.command(&["devices", "--json"]);
    let output = list.env("ALDIS_PASSWORD", "another horse").output().expect("aldis runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
