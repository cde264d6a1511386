//! Goal: two people talk on the full-screen chat, each on a terminal of their own, over a real
//! server that is killed and comes back; what they see is asserted on, and nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use aldis_scenario::{Server, aldis};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse";
/// Something that is not on a screen by then does not come.
const SHOW_MAX: Duration = Duration::from_secs(60);
/// Between two looks at a screen.
const LOOK: Duration = Duration::from_millis(50);

/// A chat in a pseudo-terminal of tmux, with a tmux server and a home of its own.
struct Screen {
    home: TempDir,
    user: &'static str,
}

impl Screen {
    fn start(server: &Server, user: &'static str, args: &[&str], size: (u16, u16)) -> Self {
        let home = TempDir::with_prefix("aldis-screen-").expect("a temporary directory");
        let screen = Self { home, user };
        let environment = screen.environment(server);
        let registered = screen.aldis(&environment, &["register"]).output().expect("aldis runs");
        assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
        screen.open(server, args, size);
        screen
    }

    fn environment(&self, server: &Server) -> Vec<(String, String)> {
        let home = self.home.path().display().to_string();
        let pairs = [
            ("ALDIS_SERVER", server.address().to_string()),
            ("ALDIS_USER", self.user.to_owned()),
            ("ALDIS_PASSWORD", PASSWORD.to_owned()),
            ("XDG_CONFIG_HOME", home),
            ("LC_ALL", "C.UTF-8".to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn aldis(&self, environment: &[(String, String)], args: &[&str]) -> Command {
        let mut command = aldis();
        command.args(args).envs(environment.iter().cloned());
        command
    }

    fn open(&self, server: &Server, args: &[&str], (columns, rows): (u16, u16)) {
        let mut command = self.tmux_command();
        command.args(["-f", "/dev/null", "new-session", "-d", "-s", "chat"]);
        command.args(["-x", &columns.to_string(), "-y", &rows.to_string()]);
        for (name, value) in self.environment(server) {
            command.arg("-e").arg(format!("{name}={value}"));
        }
        command.arg(aldis().get_program()).arg("chat").args(args);
        let output = command.output().expect("tmux runs: apt-get install tmux");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("tmux")
    }

    fn tmux_command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(self.socket()).env_remove("TMUX");
        command
    }

    fn tmux(&self, args: &[&str]) -> Output {
        self.tmux_command().args(args).output().expect("tmux runs: apt-get install tmux")
    }

    /// Types text as it is.
    fn type_text(&self, text: &str) {
        assert!(self.tmux(&["send-keys", "-t", "chat", "-l", text]).status.success());
    }

    /// Presses keys by tmux's names.
    fn press(&self, keys: &[&str]) {
        let args: Vec<&str> =
            ["send-keys", "-t", "chat"].into_iter().chain(keys.iter().copied()).collect();
        assert!(self.tmux(&args).status.success());
    }

    fn say(&self, text: &str) {
        self.type_text(text);
        self.press(&["Enter"]);
    }

    fn shown(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-t", "chat"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the screen is as wanted.
    fn wait(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + SHOW_MAX;
        loop {
            let shown = self.shown();
            if is_it(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{} does not see {what}:\n{shown}", self.user);
            std::thread::sleep(LOOK);
        }
    }

    fn sees(&self, text: &str) -> String {
        self.wait(text, |shown| shown.contains(text))
    }

    fn has_ended(&self) -> bool {
        !self.tmux(&["has-session", "-t", "chat"]).status.success()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let socket: &Path = &self.socket();
        if socket.exists() {
            self.tmux(&["kill-server"]);
        }
    }
}

#[test]
fn two_people_talk_on_full_screens_over_a_killed_server() {
    let mut server = Server::start();
    let ben = Screen::start(&server, "ben", &[], (80, 24));
    ben.sees("none yet");
    let ada = Screen::start(&server, "ada", &["ben"], (200, 50));
    ada.sees("nothing was said here yet");

    // A first message makes a conversation on the other side, unread until it is opened.
    ada.say("你好 Ben 👋");
    ada.sees("✓  you: 你好 Ben 👋");
    ben.sees("1 unread");
    ben.press(&["Enter"]);
    ben.sees("ada: 你好 Ben 👋");
    ben.wait("nothing unread", |shown| !shown.contains("unread"));
    ben.say("hello Ada");
    ada.sees("ben: hello Ada");

    // What is told and not stored, and what is put to a message.
    ada.sees("✓✓ you: 你好 Ben");
    ada.sees("ben (ben)");
    ben.type_text("well");
    ada.sees("ben is writing…");
    ben.press(&["C-u"]);
    ben.press(&["Up", "Up", "+"]);
    ben.sees("react with");
    ben.say("👍");
    ada.wait("a reaction", |shown| shown.contains("         👍"));
    ben.press(&["Escape"]);

    // What was said is found.
    ada.press(&["F5"]);
    ada.sees("search messages for:");
    ada.say("hello");
    ada.wait("what was found", |shown| {
        shown.contains("Found: hello") && shown.contains("ben: hello Ada")
    });
    ada.press(&["Enter"]);
    ada.wait("the conversation", |shown| shown.contains("r reply") && shown.contains("hello Ada"));
    ada.press(&["C-g"]);
    ada.press(&["F2", "p"]);
    ada.sees("pinned");
    ada.press(&["Tab"]);

    // Several lines, an edit, and taking back.
    ada.type_text("first line");
    ada.press(&["C-j"]);
    ada.say("second line");
    ben.wait("two lines", |shown| {
        shown.contains("ada: first line\n") || shown.contains("second line")
    });
    ada.press(&["Up", "e"]);
    ada.sees("editing");
    ada.say(", better");
    ben.sees("second line, better (edited)");
    ada.press(&["Up", "d"]);
    ada.sees("(y/n)");
    ada.press(&["y"]);
    ben.sees("ada: taken back");

    // The server dies; what is typed waits and arrives once.
    server.kill_9();
    ben.sees("○");
    ben.say("are you there?");
    ben.sees("…  you: are you there?");
    server.restart();
    // The other one may have read it by then.
    ben.wait("that it was sent", |shown| {
        let line =
            shown.lines().find(|line| line.contains("you: are you there?") && line.contains('✓'));
        line.is_some_and(|line| !line.contains('…'))
    });
    let shown = ada.sees("ben: are you there?");
    assert_eq!(shown.matches("ben: are you there?").count(), 1, "{shown}");

    // Another size, the help, and the end.
    ben.tmux(&["resize-window", "-t", "chat", "-x", "100", "-y", "30"]);
    ben.press(&["F1"]);
    ben.sees("Everywhere");
    ben.press(&["Escape"]);
    ada.press(&["C-q"]);
    let deadline = Instant::now() + SHOW_MAX;
    while !ada.has_ended() {
        assert!(Instant::now() < deadline, "ada is still there:\n{}", ada.shown());
        std::thread::sleep(LOOK);
    }
}

#[test]
fn a_group_is_made_on_the_screen_and_its_people_are_seen() {
    let server = Server::start();
    let ben = Screen::start(&server, "ben", &[], (80, 24));
    let ada = Screen::start(&server, "ada", &[], (80, 24));
    ada.sees("Welcome, ada");
    ada.press(&["F4"]);
    ada.sees("create one");
    ada.press(&["c"]);
    ada.sees("name of the new group:");
    ada.say("Lunch 🍜");
    ada.sees("its members");
    ada.say("ben");
    ada.sees("* you created the group Lunch 🍜");
    ben.sees("Lunch 🍜");
    ben.press(&["Enter"]);
    ben.sees("2 members");
    ada.say("@ben noodles?");
    ben.sees("@  ada: @ben noodles?");
    // The only other one has read it, which is asked now and then.
    ada.sees("✓✓ you: @ben noodles?");

    // A friend request, with its answer.
    ada.press(&["F3"]);
    ada.sees("ask somebody to be a friend");
    ada.press(&["a"]);
    ada.sees("ask to be friends");
    ada.say("ben");
    ada.sees("why");
    ada.say("lunch");
    ben.sees("1 asking to be friends");
    ben.press(&["F3", "Tab"]);
    ben.sees("asks: lunch");
    ben.press(&["y"]);
    ada.sees("Friends 1");

    // What others wrote cannot clear the screen.
    let environment = ben.environment(&server);
    let sent = ben.aldis(&environment, &["send", "ada", "\u{1b}[2Jgone?\u{7}"]).output();
    assert!(sent.expect("aldis runs").status.success());
    ada.press(&["Escape"]);
    ada.wait("the message in the list", |shown| shown.contains("\\u{1b}[2Jgone?"));
}

#[test]
fn a_taken_session_says_so_and_comes_back_when_asked() {
    let server = Server::start();
    let ada = Screen::start(&server, "ada", &[], (100, 24));
    ada.sees("Welcome, ada");
    let environment = ada.environment(&server);
    // Another program of the same device class.
    let other = ada.aldis(&environment, &["sync", "--device-class", "desktop"]).output();
    assert!(other.expect("aldis runs").status.success());
    ada.sees("another login took this session");
    ada.press(&["C-l"]);
    ada.wait("the connection", |shown| shown.contains("● ada at"));
}

#[test]
fn a_password_is_changed_and_a_device_is_logged_out_on_the_screen() {
    const NEW_PASSWORD: &str = "battery staple";
    let server = Server::start();
    let ada = Screen::start(&server, "ada", &[], (100, 24));
    ada.sees("Welcome, ada");
    let environment = ada.environment(&server);
    let phone = ["sync", "--device-class", "phone", "--device-id", "old-phone"];
    assert!(ada.aldis(&environment, &phone).output().expect("aldis runs").status.success());
    ada.press(&["F6"]);
    ada.sees("Name for others");
    ada.press(&["Tab"]);
    ada.wait("the devices", |shown| shown.contains("old-phone") && shown.contains("this one"));
    // The last login stands first.
    ada.press(&["x"]);
    ada.sees("(y/n)");
    ada.press(&["y"]);
    ada.wait("that it is logged out", |shown| {
        shown.lines().any(|line| line.contains("logged out  old-phone"))
    });

    ada.press(&["Tab", "Down", "Down", "Down", "Enter"]);
    ada.sees("your password now:");
    for (typed, next) in [
        (PASSWORD, "the new one:"),
        (NEW_PASSWORD, "the new one once more:"),
        (NEW_PASSWORD, "the password is changed"),
    ] {
        ada.say(typed);
        let shown = ada.sees(next);
        assert!(!shown.contains(typed), "{shown}");
    }
    // The session goes on, and comes back by its token after another one took it.
    let log_in = |password: &str| {
        let mut command = ada.aldis(&environment, &["sync", "--device-class", "desktop"]);
        // Another home has no token.
        let home = TempDir::with_prefix("aldis-screen-").expect("a temporary directory");
        command.env("XDG_CONFIG_HOME", home.path()).env("ALDIS_PASSWORD", password);
        command.output().expect("aldis runs").status.success()
    };
    assert!(!log_in(PASSWORD) && log_in(NEW_PASSWORD));
    ada.sees("another login took this session");
    ada.press(&["C-l"]);
    ada.wait("the connection", |shown| shown.contains("● ada at"));
}

#[test]
fn whoever_ends_the_chat_the_terminal_is_given_back() {
    // A shell that goes on afterwards and says what it finds.
    const SHELL: &str = r#"sh -c 'echo $$ >"$1"; exec "$0" chat' "$0" "$1"; stty -a; sleep 600"#;
    let server = Server::start();
    let ada = Screen::start(&server, "ada", &[], (80, 24));
    ada.sees("Welcome, ada");
    assert!(ada.tmux(&["respawn-pane", "-k", "-t", "chat", "sleep", "600"]).status.success());
    ada.wait("nothing", |shown| !shown.contains("Welcome"));
    let aldis = aldis().get_program().to_string_lossy().into_owned();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let pid_file = ada.home.path().join(format!("pid-{}", signal.as_raw()));
        let file = pid_file.display().to_string();
        let respawn = ["respawn-pane", "-k", "-t", "chat", "sh", "-c", SHELL, &aldis, &file];
        assert!(ada.tmux(&respawn).status.success());
        ada.sees("Welcome, ada");
        let pid = std::fs::read_to_string(&pid_file).expect("the shell wrote it");
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a number");
        kill_process(pid, signal).expect("our own grandchild");
        let shown = ada.wait("the shell", |shown| shown.contains("echoe"));
        assert!(!shown.contains("Conversations"), "the usual screen is back: {shown}");
        assert!(!shown.contains("-icanon") && !shown.contains("-echo "), "{signal:?}: {shown}");
    }
}
