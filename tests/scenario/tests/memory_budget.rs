//! Goal: a node whose memory budget is used up takes in less before the kernel ends it: logins and lists
//! are refused, then connections, while those who are in send and sync; and all comes back.

use std::fs;
use std::path::{Path, PathBuf};

use aldis_scenario::requests::text_to;
use aldis_scenario::{RawClient, Scene, SeededUser, ServerOptions, frame, wait_for};
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

/// The budget, MiB: a small server and two password checks fit well below its soft part.
const BUDGET_MIB: u64 = 200;
/// From here on less is taken in, MiB: 60 % of the budget.
const SOFT_MIB: u64 = 120;
/// How far above that the server is brought, MiB: not to the budget before it has looked.
const ABOVE_MIB: u64 = 20;
/// The control group's limit, MiB, of which the budget is a half: what is eaten does not reach it.
const GROUP_MIB: u64 = 400;
/// Clients that can hold a MiB of the server's memory each: more than the budget.
const EATERS: usize = 240;
const MIB: u64 = 1 << 20;
/// Half of a message may wait for the other half.
const PATIENT: &str = "[connection]\nframe_s = 300\n";

/// Memory that the server uses, as it sees it itself.
fn resident_mib(scene: &Scene) -> u64 {
    let path = format!("/proc/{}/statm", scene.server.pid());
    let text = fs::read_to_string(path).expect("our own child");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * 4_096 / MIB
}

/// A message of a MiB but for its last byte: the server keeps what it has of it.
fn eat(eater: &mut RawClient) {
    let message = frame(Command::MsgSend.id(), 2, &vec![0; 1 << 20]);
    eater.send_bytes(&message[..message.len() - 1]);
}

/// What a login is answered; `None`: the connection was closed at once.
fn login_code(scene: &Scene, user: &SeededUser) -> Option<Code> {
    let mut client = RawClient::connect(scene.address());
    let login = frame(Command::Login.id(), 1, &user.login_body().encode_to_vec());
    if !client.try_send_bytes(&login) {
        return None;
    }
    client.stream().peek(&mut [0]).ok().filter(|len| *len > 0)?;
    client.receive().map(|reply| reply.code())
}

fn expect_shed_and_taken_again(scene: Scene) {
    let users = scene.server.seed_users("eater", EATERS + 1, DeviceClass::Phone);
    let (late, users) = users.split_last().expect("there are some");
    let mut eaters: Vec<RawClient> =
        users.iter().map(|user| RawClient::login_seeded(scene.address(), user)).collect();
    let (mut sender, _) = scene.user("sender");
    let (mut reader, reader_id) = scene.user("reader");
    println!("{} MiB before", resident_mib(&scene));
    assert_eq!(login_code(&scene, late), Some(Code::Ok));
    let (soft, rest) = eaters.split_at_mut(EATERS / 3);
    soft.iter_mut().for_each(eat);
    let mut rest = rest.iter_mut();
    wait_for("logins are refused", || {
        if resident_mib(&scene) < SOFT_MIB + ABOVE_MIB {
            rest.next().into_iter().for_each(eat);
        }
        login_code(&scene, late) == Some(Code::Busy)
    });
    println!("{} MiB when logins are refused", resident_mib(&scene));
    let lists = sender.call(Command::GroupList, &pb::GroupListReq::default());
    assert_eq!(lists.code(), Code::Busy);
    assert!(lists.error().retry_after_ms > 0);
    rest.for_each(eat);
    wait_for("connections are refused", || login_code(&scene, late).is_none());
    println!("{} MiB when connections are refused", resident_mib(&scene));
    // Those who are in notice nothing.
    for number in 1..=20_u64 {
        sender.send_message(&text_to(reader_id, &number.to_string()));
        assert_eq!(reader.sync_all(0).len() as u64, number);
    }
    scene.pair_is_served();
    drop(eaters);
    wait_for("logins are taken again", || login_code(&scene, late) == Some(Code::Ok));
    println!("{} MiB after", resident_mib(&scene));
    sender.call(Command::GroupList, &pb::GroupListReq::default()).ok::<pb::GroupListResp>();
    let log = scene.server.log();
    assert!(log.contains("memory is short") && log.contains("memory is spent"), "{log}");
    drop((sender, reader));
    scene.finish();
}

#[test]
fn a_node_above_its_budget_takes_in_less_and_serves_those_who_are_in() {
    let config = format!("{PATIENT}[memory]\nbudget_mib = {BUDGET_MIB}\nsoft_percent = 60\n");
    let scene = Scene::start_with(ServerOptions { config, ..ServerOptions::default() });
    expect_shed_and_taken_again(scene);
}

/// A control group that is ended with its test.
struct Group(PathBuf);

impl Group {
    /// One whose processes may have so much memory; `None`: none can be made here.
    fn with_memory(mib: u64) -> Option<Self> {
        let name = format!("aldis-test-{}", std::process::id());
        let roots =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        roots.into_iter().find_map(|(root, limit)| {
            let group = Self(Path::new(root).join(&name));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(limit), (mib * MIB).to_string()).ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process may take a moment to go.
        wait_for("the group is empty", || fs::remove_dir(&self.0).is_ok() || !self.0.exists());
    }
}

/// The budget is what its control group allows, less a share, and the group's limit is never met: the
/// kernel would end the server.
#[test]
fn a_node_in_a_control_group_keeps_below_its_limit() {
    let group = Group::with_memory(GROUP_MIB);
    let group = group.expect("root can make a control group with a limit of memory");
    let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.0.display());
    let wrapper = ["sh", "-c", &join, "sh"].map(str::to_owned).to_vec();
    let config = format!("{PATIENT}[memory]\nbudget_percent = 50\nsoft_percent = 60\n");
    let options = ServerOptions { config, wrapper, ..ServerOptions::default() };
    let scene = Scene::start_with(options);
    let line = format!("the memory budget is {BUDGET_MIB} MiB");
    wait_for("it knows its budget", || scene.server.log().contains(&line));
    expect_shed_and_taken_again(scene);
    drop(group);
}
