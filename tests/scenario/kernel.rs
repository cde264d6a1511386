//! What tests change in the kernel, and take back: a small file system, dropped packets. Knows no
//! protocol. Needs root, or sudo without a password.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use aldis_services::{find, run_after_exit};
use tempfile::TempDir;

/// A file system in memory that is soon full. Dropping it unmounts it.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one that anybody may write to.
    pub fn mount(mib: u32) -> Self {
        let folder = TempDir::with_prefix("aldis-disk-").expect("a temporary directory");
        let script = "umount --lazy -- \"$0\" && rmdir -- \"$0\"";
        run_after_exit(script, folder.path().as_os_str());
        let options = format!("size={mib}m,mode=1777");
        as_root("mount", "mount", &["-t", "tmpfs", "-o", &options, "none"], folder.path().as_ref());
        Self { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let zeros = vec![0; 1 << 16];
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast());
        let mut file = file.expect("a file on the small disk");
        let error = loop {
            if let Err(error) = std::io::Write::write_all(&mut file, &zeros) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
    }

    /// Gives back what `fill` took.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("it was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The folder may be busy for a moment longer; its owner's files are gone with it.
        as_root("umount", "mount", &["--lazy"], self.folder.path().as_ref());
    }
}

/// Packets to and from a port of this machine vanish, as on a cut cable: nothing is refused and
/// nothing is answered. Dropping it lets them through.
pub struct Blackhole {
    table: String,
}

impl Blackhole {
    /// Begins to drop packets of this TCP port on the loopback interface.
    pub fn of_port(port: u16) -> Self {
        Self::of("tcp", port, &["dport", "sport"])
    }

    /// The same of a UDP port.
    pub fn of_udp_port(port: u16) -> Self {
        Self::of("udp", port, &["dport", "sport"])
    }

    /// The same of a UDP port in one direction.
    pub fn of_udp_datagrams_to(port: u16) -> Self {
        Self::of("udp", port, &["dport"])
    }

    /// Drops so many percent of the datagrams of a UDP port, in both directions, at random.
    pub fn of_some_udp_datagrams(port: u16, percent: u32) -> Self {
        let dice = format!("numgen random mod 100 < {percent}");
        Self::of_matching("udp", port, &["dport", "sport"], &dice)
    }

    fn of(protocol: &str, port: u16, sides: &[&str]) -> Self {
        Self::of_matching(protocol, port, sides, "")
    }

    fn of_matching(protocol: &str, port: u16, sides: &[&str], what: &str) -> Self {
        let table = format!("aldis_test_{}_{protocol}_{port}", std::process::id());
        run_after_exit("nft delete table inet \"$0\"", OsStr::new(&table));
        let rule = |side: &&str| format!("iifname lo {protocol} {side} {port} {what} drop\n");
        let rules: String = sides.iter().map(rule).collect();
        let rules = format!(
            "table inet {table} {{
                chain input {{
                    type filter hook input priority 0; policy accept;
                    {rules}
                }}
            }}"
        );
        as_root("nft", "nftables", &[], rules.as_ref());
        Self { table }
    }
}

impl Drop for Blackhole {
    fn drop(&mut self) {
        as_root("nft", "nftables", &["delete", "table", "inet"], self.table.as_ref());
    }
}

fn as_root(program: &str, package: &str, args: &[&str], last: &OsStr) {
    let program = find(program, package);
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new(program)
    } else {
        let mut command = Command::new(find("sudo", "sudo"));
        command.arg("--non-interactive").arg(program);
        command
    };
    let output = command.args(args).arg(last).output().expect("it was found");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} needs root or sudo: {error}");
}
