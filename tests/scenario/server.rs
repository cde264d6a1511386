//! A server process of a test's own: private data directory, free port, gone at the end.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aldis_wire::{DeviceClass, pb};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A server that does not start within this time does not start at all.
const START_MAX: Duration = Duration::from_secs(60);

/// How to start a server.
#[derive(Default)]
pub struct ServerOptions {
    /// Lines of its configuration besides data directory and address.
    pub config: String,
    /// Command and arguments to run it under, which must become the server by exec(2): else the
    /// server would outlive the test.
    pub wrapper: Vec<String>,
    /// The program, if it is not the one of all tests.
    pub program: Option<PathBuf>,
    /// Where it listens for clients, if not on loopback: an address of the wrapper's making.
    pub listen: Option<IpAddr>,
    /// Where its data lie, if not in the directory of its own.
    pub data_dir: Option<PathBuf>,
}

/// A user made by `aldisd admin seed-users`: without password, with a token.
#[derive(Clone, Debug)]
pub struct SeededUser {
    /// The user.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Good for the device below only.
    pub token: String,
    /// Of the token.
    pub device_id: String,
    /// Of the token.
    pub class: DeviceClass,
}

impl SeededUser {
    /// A LOGIN with the token.
    pub fn login_body(&self) -> pb::LoginReq {
        pb::LoginReq {
            token: self.token.clone(),
            device_id: self.device_id.clone(),
            device_class: self.class.number() as i32,
            ..Default::default()
        }
    }

    fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, name, token, device_id, class] = fields[..] else { panic!("five fields: {line}") };
        let class = DeviceClass::from_number(class.parse().expect("a number"));
        Self {
            id: id.parse().expect("a number"),
            name: name.into(),
            token: token.into(),
            device_id: device_id.into(),
            class: class.expect("a class"),
        }
    }
}

/// A running server. Dropping it kills the process.
pub struct Server {
    dir: TempDir,
    child: Child,
    address: SocketAddr,
    options: ServerOptions,
}

impl Server {
    /// Starts one with its defaults.
    pub fn start() -> Self {
        Self::start_with(ServerOptions::default())
    }

    /// Starts one.
    pub fn start_with(options: ServerOptions) -> Self {
        Self::try_start_with(options).unwrap_or_else(|log| panic!("no server: {log}"))
    }

    /// Starts one that may refuse to; its log if it does.
    pub fn try_start_with(options: ServerOptions) -> Result<Self, String> {
        let dir = TempDir::with_prefix("aldis-scenario-").expect("a temporary directory");
        let listen = options.listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let any = SocketAddr::from((listen, 0));
        let (child, address) = spawn(dir.path(), any, &options)?;
        Ok(Self { dir, child, address, options })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its data lie.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its configuration file, for `aldisd admin`.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("aldisd.toml")
    }

    /// What it and its earlier lives wrote to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("the server's log")
    }

    /// Where its HTTP listener `admin` or `api` is: the last one that it logged.
    pub fn http_address(&self, name: &str) -> SocketAddr {
        let (log, said) = (self.log(), format!("{name} listens on http://"));
        let address = log.rsplit_once(&said).and_then(|(_, rest)| rest.lines().next());
        address.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name}: {log}"))
    }

    /// Ends it as a power failure would, as far as a process can.
    pub fn kill_9(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Starts it again with the same data at the same address.
    pub fn restart(&mut self) {
        let spawned = spawn(self.dir.path(), self.address, &self.options);
        (self.child, self.address) = spawned.unwrap_or_else(|log| panic!("no server: {log}"));
    }

    /// Asks it to end, and says whether it ended well within the time.
    pub fn terminate(&mut self, wait_max: Duration) -> bool {
        self.signal(Signal::TERM);
        self.wait_end(wait_max)
    }

    /// Waits for the process to end, and says whether it did so well within the time.
    pub fn wait_end(&mut self, wait_max: Duration) -> bool {
        let deadline = Instant::now() + wait_max;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Whether the same process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("our own child");
    }

    /// Users without passwords, made by `aldisd admin`, beside the running server.
    pub fn seed_users(&self, prefix: &str, count: usize, class: DeviceClass) -> Vec<SeededUser> {
        let path = self.dir.path().join(format!("{prefix}.tokens"));
        let tokens = path.to_str().expect("UTF-8");
        let (count, class) = (count.to_string(), class.number().to_string());
        self.admin(
            &[
                "seed-users",
                "--count",
                &count,
                "--tokens",
                tokens,
                "--prefix",
                prefix,
                "--device-class",
                &class,
            ],
            &[],
        );
        let text = std::fs::read_to_string(&path).expect("the tokens were written");
        text.lines().map(SeededUser::parse).collect()
    }

    /// Runs `aldisd admin` with the server's configuration; what it printed.
    pub fn admin(&self, args: &[&str], env: &[(&str, &str)]) -> String {
        let output = aldisd()
            .arg("--config")
            .arg(self.config_path())
            .arg("admin")
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("aldisd runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- the server's log\n{log}---");
        }
    }
}

/// The server's program, ready for arguments.
pub fn aldisd() -> Command {
    Command::new(program("ALDISD_BIN", "aldisd"))
}

/// The command-line tool, ready for arguments.
pub fn aldis() -> Command {
    Command::new(program("ALDIS_BIN", "aldis"))
}

/// tests/run builds the programs and says where they are; without it they are where cargo puts
/// them: beside this test.
fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("this test has a path");
    let folder = test.parent().and_then(Path::parent).expect("target/profile/deps");
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: run tests/run, or set {variable}", path.display());
    path
}

/// Returns when it listens; what it logged if it ends instead.
fn spawn(
    dir: &Path,
    address: SocketAddr,
    options: &ServerOptions,
) -> Result<(Child, SocketAddr), String> {
    let config_path = write_config(dir, address, options);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log"));
    let binary = options.program.clone().unwrap_or_else(|| program("ALDISD_BIN", "aldisd"));
    let mut words = options.wrapper.iter().map(|word| word.into()).chain([binary.into_os_string()]);
    let mut command = Command::new(words.next().expect("at least the binary"));
    let mut child = command
        .args(words)
        .arg("--config")
        .arg(&config_path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.expect("the directory is writable"))
        .spawn()
        .expect("aldisd starts");
    let stdout = child.stdout.take().expect("piped");
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(rest) = line.split("is listening on ").nth(1) {
                let _ = sender.send(rest.trim_end_matches('.').parse::<SocketAddr>());
            }
        }
    });
    let address = receiver.recv_timeout(START_MAX);
    let Ok(Ok(address)) = address else {
        let _ = child.kill();
        let status = child.wait();
        let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        return Err(format!("{address:?}, {status:?}\n{log}"));
    };
    Ok((child, address))
}

/// Keys without a table come first in TOML; `options.config` holds tables.
fn write_config(dir: &Path, address: SocketAddr, options: &ServerOptions) -> PathBuf {
    let path = dir.join("aldisd.toml");
    let data_dir = options.data_dir.clone().unwrap_or_else(|| dir.join("data"));
    let data_dir = data_dir.display().to_string();
    let tables = &options.config;
    let is_plain = !address.ip().is_loopback();
    let listen = format!("[listen]\nclient = \"{address}\"\nallow_plaintext = {is_plain}\n");
    std::fs::write(&path, format!("data_dir = {data_dir:?}\n{tables}\n{listen}"))
        .expect("the directory is writable");
    path
}
