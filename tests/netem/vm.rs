//! A router in a virtual machine, emulated without help of the processor: one TAP interface for
//! each node, commands over the serial line. What it is made of is in `image`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use aldis_services::find;
use tempfile::TempDir;

use crate::image::{self, DONE, KILL, READY};
use crate::lab::interface;
use crate::root::{as_root, ip, run};

/// It takes about six seconds on an idle machine.
const BOOT_MAX: Duration = Duration::from_secs(240);
/// A command takes milliseconds.
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// Lines that may wait to be read: more than any command prints.
const LINES_MAX: usize = 4_096;

/// See the file's first lines. Dropping it ends the machine.
pub struct VmRouter {
    machine: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// Its file system and its process id.
    work: TempDir,
}

impl VmRouter {
    /// Starts a machine that forwards between so many interfaces, which their nodes have to take.
    pub fn start(prefix: &str, node_count: usize) -> Self {
        let work = image::build();
        // Not everywhere may anybody open TAP interfaces.
        let mut command = as_root("setpriv", "util-linux");
        command.args(["--pdeathsig", "KILL", "--"]);
        command.arg(find("qemu-system-x86_64", "qemu-system-x86"));
        command.args(["-accel", "tcg", "-m", "128", "-smp", "1", "-nodefaults", "-no-reboot"]);
        command.args(["-nographic", "-serial", "stdio", "-pidfile"]).arg(image::pid_file(&work));
        command.arg("-kernel").arg(image::kernel());
        command.arg("-initrd").arg(image::archive(&work));
        command.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0"]);
        for node in 0..node_count {
            let name = interface(prefix, node);
            ip(&format!("tuntap add dev {name} mode tap"));
            // Without offloads: each packet is one frame, as on a cable.
            let tap = format!("tap,id=n{node},ifname={name},script=no,downscript=no,vnet_hdr=off");
            let mac = format!("52:54:00:77:00:{:02x}", node + 1);
            let device = format!("virtio-net-pci,netdev=n{node},mac={mac},romfile=");
            command.args(["-netdev", &tap, "-device", &device]);
        }
        let mut machine = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("setpriv starts");
        let input = machine.stdin.take().expect("piped");
        let output = machine.stdout.take().expect("piped");
        let (sender, lines) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let router = Self { machine, input, lines, work };
        router.read_until(READY, BOOT_MAX);
        router
    }

    /// The interface towards a node.
    pub fn device(&self, node: usize) -> String {
        format!("eth{node}")
    }

    /// `tc` on the router; what it printed.
    pub fn tc(&mut self, words: &str) -> String {
        writeln!(self.input, "/sbin/tc {words}").expect("the machine runs");
        self.input.flush().expect("the machine runs");
        let (text, last) = self.read_until(DONE, COMMAND_MAX);
        assert!(last.ends_with(&format!("{DONE} 0")), "tc {words}: {last}: {text}");
        text
    }

    /// What comes before a line with this in it, and that line.
    fn read_until(&self, end: &str, wait_max: Duration) -> (String, String) {
        let deadline = Instant::now() + wait_max;
        let mut text = String::new();
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(wait) {
                Ok(line) if line.contains(end) => return (text, line),
                Ok(line) => text = text + &line + "\n",
                Err(RecvTimeoutError::Timeout) => panic!("no {end:?} after {wait_max:?}:\n{text}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the machine has ended:\n{text}"),
            }
        }
    }
}

impl Drop for VmRouter {
    fn drop(&mut self) {
        // What runs under sudo can only be ended by root.
        if self.machine.kill().is_err() {
            let script = format!("{KILL} \"$0\"");
            let pid_file = image::pid_file(&self.work);
            let words = [OsStr::new("-c"), OsStr::new(&script), pid_file.as_os_str()];
            let _ = run(as_root("sh", "dash"), &words);
        }
        let _ = self.machine.wait();
    }
}
