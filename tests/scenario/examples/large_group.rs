//! What a message to a very large group costs: how soon it is acknowledged, and how soon everybody
//! who is online has it; and what changes of the group cost beside it. `large_group mysql|sqlite
//! [MEMBERS [ONLINE]]`, with `ALDISD_BIN` as for the scenario tests; build the server for release. It asserts what is pushed and read, and no time.

use std::time::{Duration, Instant};

use aldis_scenario::requests::group_text;
use aldis_scenario::{Cluster, NodeOptions, RawClient, Server, ServerOptions};
use aldis_services::MariaDb;
use aldis_wire::{Code, Command, DeviceClass, pb};

/// Messages that are measured.
const MESSAGES: usize = 20;
/// Users that one GROUP_INVITE names.
const INVITED: usize = 499;
/// Tables of which the rows are counted.
const ROWS: [&str; 3] = ["im_message_body", "im_message_index", "im_mailbox"];
/// What comes first warms caches up.
const WARM_UP: usize = 3;

fn main() {
    aldis_scenario::process::raise_descriptor_limit();
    let mut args = std::env::args().skip(1);
    let kind = args.next().unwrap_or_else(|| "sqlite".into());
    let mut number = |default: usize| args.next().map_or(default, |n| n.parse().expect("a number"));
    let (members, online) = (number(20_000), number(2_000));
    if kind == "mysql" {
        let cluster = Cluster::start_with(2, |_, options| NodeOptions::with_link(options));
        let database = cluster.url.rsplit('/').next().expect("a database").to_owned();
        let count = |table: &str| {
            let sql = format!("SELECT COUNT(*) FROM {database}.{table}");
            MariaDb::shared().sql(&sql).trim().to_owned()
        };
        let rows = || ROWS.map(|table| format!("{table} {}", count(table))).join(", ");
        measure(&cluster.nodes.iter().collect::<Vec<_>>(), members, online, rows);
    } else {
        let server = Server::start_with(ServerOptions::default());
        measure(&[&server], members, online, String::new);
    }
}

fn measure(nodes: &[&Server], members: usize, online: usize, rows: impl Fn() -> String) {
    let users = nodes[0].seed_users("member", members, DeviceClass::Phone);
    let mut owner = RawClient::login_seeded(nodes[0].address(), &users[0]);
    let ids: Vec<u64> = users[1..members].iter().map(|user| user.id).collect();
    let began = Instant::now();
    let (first, rest) = ids.split_at(INVITED.min(ids.len()));
    let group = owner.create_group(first.to_vec());
    for invited in rest.chunks(INVITED) {
        let answer: pb::GroupInviteResp = owner.invite(group, invited.to_vec()).ok();
        assert_eq!(answer.added_ids.len(), invited.len());
    }
    println!("{members} members were brought in within {:?}", began.elapsed());

    let began = Instant::now();
    let mut readers: Vec<RawClient> = (0..online)
        .map(|index| {
            // The last ones, half of them on each node.
            let user = &users[members - 1 - index];
            RawClient::login_seeded(nodes[index % nodes.len()].address(), user)
        })
        .collect();
    println!("{online} of them logged in within {:?}", began.elapsed());
    // Nodes tell each other what is followed, and compare what they may have missed.
    std::thread::sleep(Duration::from_secs(3));
    for reader in &mut readers {
        reader.call(Command::Heartbeat, &pb::HeartbeatReq::default());
        reader.forget_kept();
    }
    println!("before {} messages: {}", MESSAGES + WARM_UP, rows());
    let (mut acks, mut reaches) = (Vec::new(), Vec::new());
    for number in 0..MESSAGES + WARM_UP {
        let text = format!("to everybody, {number}");
        let began = Instant::now();
        let sent = owner.send_message(&group_text(group, &text));
        let ack = began.elapsed();
        for reader in &mut readers {
            loop {
                let push: pb::MsgPushNotify = reader.notification(Command::MsgPushNotify).decode();
                if push.entries.iter().any(|entry| entry.msg_id == sent.msg_id) {
                    assert_eq!(push.stream, group);
                    break;
                }
            }
        }
        if number >= WARM_UP {
            acks.push(ack);
            reaches.push(began.elapsed());
        }
    }
    println!("after them: {}", rows());
    show("a send is acknowledged", &mut acks);
    show("all who are online have it", &mut reaches);
    let last = readers[0].stream_all(group, 0).0;
    println!("a member who came last reads {} entries of the stream", last.len());
    drop(readers);
    measure_changes(&mut owner, group, users[1].id, users[2].id);
}

/// Changes by the owner, each in turn, so that none finds what the one before it left in a cache.
fn measure_changes(owner: &mut RawClient, group_id: u64, muted: u64, moved: u64) {
    let mut times = [(); 6].map(|()| Vec::new());
    let names = ["a rename", "a mute", "a role", "a member put out", "one brought in", "a send"];
    for round in 0..MESSAGES + WARM_UP {
        let rename = pb::GroupUpdateReq {
            group_id,
            name: Some(format!("name {round}")),
            ..Default::default()
        };
        let mute = pb::GroupMuteReq { group_id, user_id: muted, seconds: 60, all_muted: false };
        let role = if round % 2 == 0 { pb::GroupRole::Admin } else { pb::GroupRole::Member };
        let role = pb::GroupSetRoleReq { group_id, user_id: muted, role: role.into() };
        let invite = pb::GroupInviteReq { group_id, member_ids: vec![moved] };
        let remove = pb::GroupRemoveReq { group_id, user_ids: vec![moved] };
        for (number, times) in times.iter_mut().enumerate() {
            let began = Instant::now();
            let reply = match number {
                0 => owner.call(Command::GroupUpdate, &rename),
                1 => owner.call(Command::GroupMute, &mute),
                2 => owner.call(Command::GroupSetRole, &role),
                3 => owner.call(Command::GroupRemove, &remove),
                4 => owner.call(Command::GroupInvite, &invite),
                _ => owner.call(Command::MsgSend, &group_text(group_id, "between changes")),
            };
            if round >= WARM_UP {
                times.push(began.elapsed());
            }
            assert_eq!(reply.code(), Code::Ok, "{}", names[number]);
        }
    }
    for (name, times) in names.iter().zip(&mut times) {
        show(name, times);
    }
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let (median, max) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: median {median:?}, longest {max:?} of {}", times.len());
}
