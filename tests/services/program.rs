//! A server program of a test's own: started under a parent-death signal, killed at the end. Knows
//! no particular program.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A server that does not answer within this time does not start at all.
pub(crate) const START_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks whether something has come to pass.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Where Debian puts servers that are not in every user's path.
const SERVER_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// The path of a program, or a failure that says where to get it.
pub fn find(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SERVER_FOLDERS.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is missing: apt-get install {package} (tests/run installs it)")
    })
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket").port()
}

/// A running program.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// Starts it with its output appended to a file. It dies with the thread's process, however
    /// that ends.
    pub(crate) fn start<A: AsRef<OsStr>>(program: &Path, args: &[A], log: &Path) -> Self {
        let log = append_to(log);
        let child = Command::new(find("setpriv", "util-linux"))
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        Self { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// Kills it and waits for its end. A stopped one dies too.
    pub(crate) fn kill_9(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Asks it to end and waits until it did.
    pub(crate) fn stop(&mut self, wait_max: Duration) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let deadline = Instant::now() + wait_max;
        while self.child.try_wait().expect("our own child").is_none() {
            assert!(Instant::now() < deadline, "a server does not end");
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }
}

/// Removes a folder when this process has ended, however it ends: statics are never dropped, and
/// nothing is when it is killed.
pub(crate) fn remove_after_exit(folder: &Path) {
    run_after_exit("rm -rf -- \"$0\"", folder.as_os_str());
}

/// Runs a shell script, with this argument as `$0`, when this process has ended, however it ends: a
/// shell waits for the end of its input, which only this process holds open.
pub fn run_after_exit(script: &str, argument: &OsStr) {
    static SHELLS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let shell = Command::new("sh")
        .arg("-c")
        .arg(format!("trap '' INT TERM HUP; read -r _; sleep 1; {script}"))
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    SHELLS.lock().expect("nobody panics while pushing").push(shell);
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn append_to(path: &Path) -> File {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
