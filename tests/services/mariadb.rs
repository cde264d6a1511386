//! A private MariaDB: its own data directory, port and socket. Knows no schema.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::program::{POLL, Program, START_MAX, find, free_port, remove_after_exit};

/// Debian's package with the server.
const SERVER_PACKAGE: &str = "mariadb-server";
/// A clean end writes all pages; small ones in tests.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct MariaDbOptions {
    /// Where its data directory is made, such as a small file system; its files take their whole
    /// size then, as those of an installation do. By default with other temporary files, where they
    /// have holes.
    pub parent: Option<PathBuf>,
    /// Added to its command line, where the last value of an option wins.
    pub args: Vec<String>,
}

/// A running server. Dropping it kills the process and removes its data.
pub struct MariaDb {
    dir: TempDir,
    port: u16,
    args: Vec<String>,
    program: Program,
    database_count: AtomicU32,
}

impl MariaDb {
    /// Starts one: durable, without a binary log.
    pub fn start() -> Self {
        Self::start_with(MariaDbOptions::default())
    }

    /// Starts one.
    pub fn start_with(options: MariaDbOptions) -> Self {
        let holes = if options.parent.is_some() { "--sparse=never" } else { "--sparse=always" };
        let parent = options.parent.unwrap_or_else(std::env::temp_dir);
        let dir = TempDir::with_prefix_in("aldis-mariadb-", parent).expect("a temporary directory");
        remove_after_exit(dir.path());
        install(dir.path(), holes);
        let port = free_port();
        let program = start(dir.path(), port, &options.args);
        let database_count = AtomicU32::new(0);
        let mut server = Self { dir, port, args: options.args, program, database_count };
        server.wait_until_ready();
        server
    }

    /// One server for all tests of this process that only need a database.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<MariaDb> = OnceLock::new();
        SHARED.get_or_init(|| {
            // The parent-death signal comes when the starting thread ends, so one that never does
            // starts it; tests' threads end with their test.
            let (sender, receiver) = std::sync::mpsc::sync_channel(1);
            std::thread::spawn(move || {
                let server = Self::start();
                let _ = sender.send(server);
                loop {
                    std::thread::park();
                }
            });
            receiver.recv().expect("MariaDB starts")
        })
    }

    /// A database on this server, as root.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database of its own for a test; its URL.
    pub fn fresh_database(&self) -> String {
        let number = self.database_count.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        self.url(&name)
    }

    /// Runs SQL as root; tab-separated rows without column names.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs SQL as root; what it gives or what the client says is wrong.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        run_client(&self.socket(), sql)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket file.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.dir.path().join("log")).expect("the server's log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the process is gone although nobody asked it to end.
    pub fn has_ended(&mut self) -> bool {
        self.program.has_ended()
    }

    /// Ends it as a power failure would, as far as a process can.
    pub fn kill_9(&mut self) {
        self.program.kill_9();
    }

    /// Ends it cleanly.
    pub fn stop(&mut self) {
        self.program.stop(STOP_MAX);
    }

    /// Starts it again after its end, with the same data at the same address.
    pub fn restart(&mut self) {
        self.program = start(self.dir.path(), self.port, &self.args);
        self.wait_until_ready();
    }

    /// Stops it in its tracks (SIGSTOP): connections stay, nothing is answered.
    pub fn pause(&self) {
        self.program.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.program.signal(Signal::CONT);
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_MAX;
        while let Err(error) = run_client(&self.socket(), "SELECT 1") {
            if self.program.has_ended() || Instant::now() > deadline {
                panic!("MariaDB does not start: {error}\n{}", self.log());
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Makes the data directory: once in a process, then by copying.
fn install(dir: &Path, holes: &str) {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| {
        let template = TempDir::with_prefix("aldis-mariadb-template-").expect("a directory");
        remove_after_exit(template.path());
        let output = Command::new(find("mariadb-install-db", SERVER_PACKAGE))
            .arg("--no-defaults")
            .arg(format!("--datadir={}", template.path().join("data").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--innodb-log-file-size=32M"])
            // A server that starts removes all temporary tables that it finds, others' too.
            .arg(format!("--tmpdir={}", template.path().display()))
            .args(as_root())
            .output()
            .expect("mariadb-install-db runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        template
    });
    let copied = Command::new("cp")
        .args(["-r", holes])
        .args([template.path().join("data"), dir.join("data")])
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "cannot copy a data directory");
}

fn start(dir: &Path, port: u16, more: &[String]) -> Program {
    let mut args = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", dir.join("data").display()),
        format!("--socket={}", dir.join("socket").display()),
        format!("--pid-file={}", dir.join("pid").display()),
        format!("--tmpdir={}", dir.display()),
        format!("--port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--skip-name-resolve".to_owned(),
        "--innodb-log-file-size=32M".to_owned(),
        "--innodb-buffer-pool-size=128M".to_owned(),
        "--innodb-flush-log-at-trx-commit=1".to_owned(),
        "--skip-log-bin".to_owned(),
    ];
    args.extend(as_root());
    args.extend(more.iter().cloned());
    Program::start(&find("mariadbd", SERVER_PACKAGE), &args, &dir.join("log"))
}

/// The server refuses to run as root unless it is told to.
fn as_root() -> Option<String> {
    geteuid().is_root().then(|| "--user=root".to_owned())
}

fn run_client(socket: &Path, sql: &str) -> Result<String, String> {
    let output = Command::new(find("mariadb", "mariadb-client"))
        .args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"])
        .arg(format!("--socket={}", socket.display()))
        .args(["--connect-timeout=10", "--execute", sql])
        .output()
        .expect("the client runs");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    }
}
