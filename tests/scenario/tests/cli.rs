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
fn friends_are_asked_answered_named_blocked_and_deleted() {
    let server = Server::start();
    let ada = Tool::registered(&server, "ada");
    let ben = Tool::registered(&server, "ben");
    assert_eq!(ada.ok(&["friend", "add", "ben", "we met at the fair"]), "ben was asked\n");
    assert_eq!(field(&ben.json(&["friend", "list", "requests", "--json"]), "user"), ["ada"]);
    assert!(ben.ok(&["friend", "list", "requests"]).contains("we met at the fair"));
    assert_eq!(ben.ok(&["friend", "accept", "ada"]), "ada is a friend now\n");
    ada.ok(&["friend", "rename", "ben", "Big Ben", "--folder", "London"]);
    let friends = ada.json(&["friend", "list", "--json"]);
    assert_eq!(
        (&friends[0]["remark"], &friends[0]["folder"]),
        (&"Big Ben".into(), &"London".into())
    );
    // Friends see each other come and go; strangers are told that they don't.
    assert!(ada.ok(&["presence", "ben"]).starts_with("ben: "));
    let cat = Tool::registered(&server, "cat");
    let hidden = cat.run(&["presence", "ben"]);
    let stderr = String::from_utf8_lossy(&hidden.stderr);
    assert!(hidden.status.success() && stderr.contains("ben does not show it"), "{stderr}");
    ben.ok(&["friend", "block", "ada"]);
    assert_eq!(ada.exit_code(&["send", "ben", "hello"]), Some(REFUSED));
    ben.ok(&["friend", "unblock", "ada"]);
    ada.ok(&["send", "ben", "hello"]);
    ada.ok(&["friend", "delete", "ben"]);
    assert!(ada.json(&["friend", "list", "--json"]).is_empty());
    assert_eq!(ada.exit_code(&["friend", "add", "nobody"]), Some(REFUSED));
    assert_eq!(ada.exit_code(&["friend", "add", "ada"]), Some(REFUSED), "oneself");
}

#[test]
fn a_group_is_run_by_its_number() {
    let server = Server::start();
    let ada = Tool::registered(&server, "ada");
    let ben = Tool::registered(&server, "ben");
    let made = ada.json(&["group", "create", "--json", "Lunch"]);
    let id = made[0]["group_id"].as_u64().expect("an id").to_string();
    let group = format!("group:{id}");
    assert_eq!(ben.exit_code(&["group", "join", &group]), Some(REFUSED), "by invitation only");
    ada.ok(&["group", "set", &group, "--join", "asked", "--announcement", "noon"]);
    assert_eq!(ben.ok(&["group", "join", &group, "I am hungry"]), "asked to come in\n");
    assert!(ada.ok(&["group", "requests", &id]).contains("ben: I am hungry"));
    ada.ok(&["group", "admit", &group, "ben"]);
    ada.ok(&["group", "mute", &group]);
    assert_eq!(ben.exit_code(&["send", &group, "hello"]), Some(REFUSED));
    ada.ok(&["group", "unmute", &group]);
    ben.ok(&["send", &group, "hello"]);
    ada.ok(&["group", "promote", &group, "ben"]);
    ada.ok(&["group", "transfer", &group, "ben"]);
    ben.ok(&["group", "remove", &group, "ada"]);
    assert_eq!(ada.exit_code(&["group", "members", &group]), Some(REFUSED));
    ben.ok(&["group", "dissolve", &group]);
    assert_eq!(ben.exit_code(&["group", "members", "Lunch"]), Some(USAGE));
}

#[test]
fn what_was_taken_back_or_changed_says_so() {
    let server = Server::start();
    let ada = Tool::registered(&server, "ada");
    let ben = Tool::registered(&server, "ben");
    ada.ok(&["send", "ben", "one"]);
    ada.ok(&["send", "ben", "two"]);
    ada.ok(&["recall", "ben", "1"]);
    ada.ok(&["edit", "ben", "2", "second"]);
    ben.ok(&["read", "ada", "2"]);
    let shown = ben.ok(&["history", "ada"]);
    assert!(shown.contains("ada -> ben: (taken back)\n"), "{shown}");
    assert!(shown.contains("ada -> ben: second (edited)\n"), "{shown}");
    // What one's own devices tell each other goes to oneself.
    assert!(!ben.ok(&["sync"]).contains("id:0"));
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
    assert_eq!(ada.json(&["devices", "--json"]).len(), 2, "the new token was kept");
    let elsewhere = ["devices", "--json", "--device-class", "tablet"];
    assert_eq!(ada.exit_code(&elsewhere), Some(REFUSED), "the old password");
    let mut list = ada.command(&elsewhere);
    let output = list.env("ALDIS_PASSWORD", "another horse").output().expect("aldis runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn conversations_are_listed_pinned_cleared_and_reacted_in() {
    let server = Server::start();
    let [ada, ben, cem] = ["ada", "ben", "cem"].map(|user| Tool::registered(&server, user));
    for text in ["one", "two", "three"] {
        ada.ok(&["send", "ben", text]);
    }
    cem.ok(&["send", "ben", "hello"]);
    let listed = ben.json(&["conversations", "--json"]);
    assert_eq!(field(&listed, "unread"), [1, 3]);
    assert_eq!(listed[1]["last"]["text"], "three");
    assert!(ben.ok(&["conversations"]).contains("ada (3 unread): three"));
    ben.ok(&["pin", "ada"]);
    ben.ok(&["mute", "ada"]);
    ben.ok(&["read", "ada", "2"]);
    let pinned = ben.json(&["conversations", "--json", "--pinned"]);
    assert_eq!((&pinned[0]["muted"], &pinned[0]["unread"]), (&Value::Bool(true), &1.into()));
    let receipts = ada.json(&["receipts", "--json", "ben"]);
    assert_eq!((field(&receipts, "read_conv_seq"), receipts.len()), (vec![&Value::from(2)], 1));
    ben.ok(&["react", "ada", "3", "👍"]);
    let reactions = ada.json(&["reactions", "--json", "ben", "3"]);
    assert_eq!(reactions[0]["reactions"][0], "👍");
    ben.ok(&["react", "--off", "ada", "3", "👍"]);
    assert_eq!(ada.ok(&["reactions", "ben", "3"]), "");
    ben.ok(&["clear", "ada", "5"]);
    assert_eq!(field(&ben.json(&["conversations", "--json"]), "unread"), [1]);
    ben.ok(&["pin", "--off", "ada"]);
    assert_eq!(ben.ok(&["conversations", "--pinned"]), "");
    assert_eq!(ben.exit_code(&["clear", "ada", "99"]), Some(REFUSED));
}

#[test]
fn the_stream_of_a_large_group_is_read_and_followed() {
    let config = "[policy]\nfanout_max = 1\n".to_owned();
    let server = Server::start_with(ServerOptions { config, ..ServerOptions::default() });
    let (ada, ben) = (Tool::registered(&server, "ada"), Tool::registered(&server, "ben"));
    let made = ada.json(&["group", "create", "--json", "Everybody", "ben"]);
    let id = made[0]["group_id"].as_u64().expect("an id").to_string();
    for text in ["one", "two"] {
        ada.ok(&["send", &format!("group:{id}"), text]);
    }
    let read = ben.json(&["sync", "--json", "--stream", &id]);
    let shown: Vec<_> = read.iter().map(|entry| (&entry["seq"], &entry["stream"])).collect();
    assert_eq!(shown.len(), 2, "{read:?}");
    assert_eq!(*shown[0].0, 3, "GROUP_CREATED and GROUP_BECAME_STREAM are in the mailbox");
    assert_eq!(shown[0].1.as_u64().map(|stream| stream.to_string()), Some(id));
    let all = ben.json(&["tail", "--json", "--all", "--count", "4", "--idle", "20"]);
    assert_eq!(all.len(), 4, "two of the mailbox, two of the stream");
}

#[test]
fn who_comes_into_a_group_made_open_later_reads_everything() {
    let server = Server::start();
    let (ada, ben) = (Tool::registered(&server, "ada"), Tool::registered(&server, "ben"));
    for (is_open, texts) in [(true, vec!["before ben"]), (false, vec![])] {
        let create = ["group", "create", "--json", "Readers", "--open-history"];
        let made = ada.json(&create[..create.len() - usize::from(!is_open)]);
        let id = made[0]["group_id"].as_u64().expect("an id").to_string();
        let target = format!("group:{id}");
        ada.ok(&["send", &target, "before ben"]);
        ada.ok(&["group", "invite", &id, "ben"]);
        let history = ben.json(&["history", "--json", &target]);
        let read: Vec<_> = history.iter().filter_map(|entry| entry["text"].as_str()).collect();
        assert_eq!(read, texts);
    }
}
