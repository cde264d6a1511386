//! The file system of the virtual machine: busybox, tc with its libraries, the modules of the
//! kernel that it needs, and a first process that takes commands from the serial line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aldis_services::{find, run_after_exit};
use tempfile::TempDir;

use crate::root::sudo;

/// What the router says when it forwards.
pub const READY: &str = "ROUTER READY";
/// What it says behind the output of a command, before its exit code.
pub const DONE: &str = "ROUTER DONE";

/// Modules that may be needed, without endings; what the kernel has built in is missing here.
const MODULES: [&str; 12] = [
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "llc",
    "stp",
    "bridge",
    "sch_netem",
];

/// The first process. Modules are tried in rounds, so that their order does not matter; tc is called
/// by its path, because busybox has a lesser one of the same name built in.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for round in 1 2 3 4 5 6; do
  for module in /modules/*.ko; do insmod "$module" 2>/dev/null; done
done
echo 0 >/proc/sys/kernel/printk
stty -echo </dev/ttyS0
ip link add bridge type bridge
for device in /sys/class/net/eth*; do
  device="${device##*/}"
  brctl addif bridge "$device"
  ip link set "$device" up
done
ip link set bridge up
echo "@READY@"
while read -r line; do
  sh -c "$line" 2>&1
  echo "@DONE@ $?"
done
poweroff -f
"#;

/// A shell command that ends the process whose id is in the file named behind it.
pub const KILL: &str = r#"sh -c 'kill -KILL "$(cat "$0")"'"#;

/// Where the kernel is.
pub fn kernel() -> PathBuf {
    let path = folder().join("vmlinuz");
    assert!(
        path.is_file(),
        "{} is missing: tests/netem/fetch-kernel {} (tests/run calls it)",
        path.display(),
        folder().display()
    );
    path
}

/// Makes the archive that the kernel unpacks, in a folder that vanishes with it.
pub fn build() -> TempDir {
    let work = TempDir::with_prefix("aldis-netem-").expect("a temporary directory");
    let sudo = sudo();
    let script = format!("{sudo}{KILL} \"$0/pid\"; {sudo}rm -rf -- \"$0\"");
    run_after_exit(&script, work.path().as_os_str());
    let root = work.path().join("root");
    for name in ["bin", "sbin", "modules", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(name)).expect("the directory is writable");
    }
    let programs =
        [(find("busybox", "busybox-static"), "bin/busybox"), (find("tc", "iproute2"), "sbin/tc")];
    for (program, name) in programs {
        copy(&program, &root.join(name));
        for library in libraries_of(&program) {
            copy(&library, &root.join(library.strip_prefix("/").expect("an absolute path")));
        }
    }
    for module in MODULES {
        let name = format!("{module}.ko");
        let found = folder().join("modules").join(&name);
        if found.is_file() {
            copy(&found, &root.join("modules").join(name));
        }
    }
    let init = INIT.replace("@READY@", READY).replace("@DONE@", DONE);
    fs::write(root.join("init"), init).expect("the directory is writable");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("init"), executable).expect("our own file");
    pack(&root, &archive(&work));
    work
}

/// The archive in a folder of `build`.
pub fn archive(work: &TempDir) -> PathBuf {
    work.path().join("initramfs")
}

/// Where the machine writes its process id.
pub fn pid_file(work: &TempDir) -> PathBuf {
    work.path().join("pid")
}

/// Where tests/netem/fetch-kernel puts the kernel: beside what cargo builds.
fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("ALDIS_NETEM_DIR") {
        return PathBuf::from(folder);
    }
    let test = std::env::current_exe().expect("this test has a path");
    let target = test.ancestors().nth(3).expect("target/profile/deps/test");
    target.join("netem")
}

fn copy(from: &Path, to: &Path) {
    let folder = to.parent().expect("below the root");
    fs::create_dir_all(folder).expect("the directory is writable");
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// Shared libraries of a program and what loads them; none of one that is linked statically.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let output = Command::new(find("ldd", "libc-bin")).arg(program).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

/// busybox lists the files and packs them.
fn pack(root: &Path, archive: &Path) {
    let script = "cd \"$1\" && \"$0\" find . | \"$0\" cpio -o -H newc >\"$2\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(find("busybox", "busybox-static"))
        .args([root, archive])
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
