//! Goal: what a peer announces costs nothing, what it sends and does not read costs a bounded
//! amount, and running out of descriptors harms nobody who is in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aldis_scenario::process::{cpu_time, descriptor_count, pss_bytes, raise_descriptor_limit};
use aldis_scenario::requests::{group_text, text_to};
use aldis_scenario::{RawClient, Scene, SeededUser, Server, ServerOptions, wait_for};
use aldis_wire::limits::{BODY_BEFORE_LOGIN_BYTES_MAX, BODY_BYTES_MAX};
use aldis_wire::{Command, DeviceClass, Header, pb};

/// Logged-in connections that announce 1 MiB each.
const MEMBERS: usize = 10_000;
/// Connections that announce as much as they may before login.
const STRANGERS: usize = 5_000;
/// Sockets that never log in, where the limit of descriptors allows so many.
const IDLERS_MAX: usize = 20_000;
/// Descriptors that a process needs besides those.
const SPARE_DESCRIPTORS: usize = 500;
/// Connections of one source address: well below its ports.
const PER_SOURCE: usize = 2_000;
/// What a connection that only announces may cost the server, bytes.
const BYTES_PER_ANNOUNCER_MAX: u64 = 4 << 10;
/// What the allocator may keep or round up besides, bytes.
const SLACK_BYTES: u64 = 8 << 20;

/// The tests of this file open so many sockets that only one can run at a time.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(scene: &Scene, number: usize) -> RawClient {
    RawClient::connect_from([1, (number / PER_SOURCE) as u8 + 1], scene.address())
}

/// Logs in many users at once: all requests first, then all answers.
fn log_in(scene: &Scene, users: &[SeededUser]) -> Vec<RawClient> {
    let mut clients = Vec::with_capacity(users.len());
    // In groups, so that no login waits as long as a stranger may stay.
    for (group, users) in users.chunks(250).enumerate() {
        let first = clients.len();
        for (number, user) in users.iter().enumerate() {
            let mut client = connect(scene, group * 250 + number);
            client.send(Command::Login, &user.login_body());
            clients.push(client);
        }
        for client in &mut clients[first..] {
            let reply = client.receive().expect("an answer");
            reply.ok::<pb::LoginResp>();
        }
    }
    clients
}

/// A header, and as many bytes of the body as given.
fn announce(client: &mut RawClient, len: usize, sent: usize) {
    let header = Header { cmd: Command::MsgSend.id(), code: 0, seq: 9, len: len as u32 };
    let mut bytes = header.encode().to_vec();
    bytes.resize(bytes.len() + sent, 0xAA);
    client.send_bytes(&bytes);
}

/// Memory in use, when the server had time to read what was sent: it served others meanwhile.
fn settled_pss(scene: &Scene) -> u64 {
    for _ in 0..20 {
        scene.pair_is_served();
    }
    pss_bytes(scene.server.pid())
}

fn kib(bytes: u64) -> u64 {
    bytes / 1024
}

#[test]
fn ten_thousand_announced_bodies_cost_what_was_sent_of_them() {
    let _alone = alone();
    let limit = raise_descriptor_limit();
    let count = MEMBERS.min(limit - STRANGERS - SPARE_DESCRIPTORS);
    let scene = Scene::start();
    let users = scene.server.seed_users("announcer", count, DeviceClass::Phone);
    let mut peaks = Vec::new();
    for round in 0..2 {
        let mut members = log_in(&scene, &users);
        let before = settled_pss(&scene);
        for client in &mut members {
            announce(client, BODY_BYTES_MAX, 10);
        }
        let announced = settled_pss(&scene);
        let mut strangers: Vec<_> = (0..STRANGERS).map(|number| connect(&scene, number)).collect();
        for client in &mut strangers {
            announce(client, BODY_BEFORE_LOGIN_BYTES_MAX, 10);
        }
        let with_strangers = settled_pss(&scene);
        // Some do send: then it costs that much, with the rounding of growing buffers.
        let senders = &mut members[..200];
        let sent = 100_000;
        for client in &mut *senders {
            // On a slow machine the time for a frame may be over.
            client.try_send_bytes(&vec![0xAA; sent]);
        }
        let with_bodies = settled_pss(&scene);
        println!(
            "round {round}: {count} logged in {} KiB, each announced 1 MiB {} KiB, {STRANGERS} \
             strangers announced 4 KiB {} KiB, {} sent {sent} bytes {} KiB",
            kib(before),
            kib(announced),
            kib(with_strangers),
            senders.len(),
            kib(with_bodies)
        );
        let allowed = |count: usize| count as u64 * BYTES_PER_ANNOUNCER_MAX + SLACK_BYTES;
        assert!(announced < before + allowed(count), "announced bodies of members cost memory");
        assert!(
            with_strangers < announced + allowed(STRANGERS),
            "announced bodies of strangers cost memory"
        );
        let sent = (senders.len() * sent) as u64;
        assert!(with_bodies < with_strangers + 3 * sent + SLACK_BYTES, "more than was sent");
        peaks.push(with_bodies);
    }
    assert!(peaks[1] < peaks[0] + 2 * SLACK_BYTES, "a second round needs no more than the first");
    scene.finish();
}

#[test]
fn sockets_that_never_log_in_are_closed() {
    let _alone = alone();
    let limit = raise_descriptor_limit();
    let count = IDLERS_MAX.min(limit - SPARE_DESCRIPTORS);
    let scene = Scene::start();
    let mut idlers: Vec<_> = (0..count).map(|number| connect(&scene, number)).collect();
    // Heartbeats, allowed before login, do not make a stranger stay.
    let mut lively = RawClient::connect(scene.address());
    let dripper = std::thread::spawn(move || {
        let beat = aldis_scenario::frame(Command::Heartbeat.id(), 1, &[]);
        while lively.try_send_bytes(&beat) && lively.receive().is_some() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(idlers.iter_mut().all(RawClient::is_closed_silently));
    dripper.join().expect("the lively stranger is closed too");
    println!("{count} sockets were closed");
    drop(idlers);
    scene.finish();
}

#[test]
fn who_asks_much_and_reads_nothing_costs_a_bounded_amount() {
    let _alone = alone();
    let scene = Scene::start();
    let (mut speaker, _) = scene.user("speaker");
    let users = scene.server.seed_users("glutton", 100, DeviceClass::Phone);
    let group = speaker.create_group(users.iter().map(|user| user.id).collect());
    let text = "x".repeat(4_000);
    for _ in 0..150 {
        speaker.send_message(&group_text(group, &text));
    }
    let mut gluttons = log_in(&scene, &users);
    let before = settled_pss(&scene);
    for client in &mut gluttons {
        // 200 pages of 256 KiB each, 5 GiB for all of them.
        for _ in 0..200 {
            client.send(Command::MsgSync, &pb::MsgSyncReq::default());
        }
    }
    let after = settled_pss(&scene);
    println!("100 gluttons: {} KiB, before {} KiB", kib(after), kib(before));
    let each_max = 1 << 20;
    assert!(after < before + gluttons.len() as u64 * each_max + SLACK_BYTES);
    // Who begins to read gets everything.
    let first = &mut gluttons[0];
    for _ in 0..200 {
        let reply = first.receive().expect("a page");
        assert!(!reply.ok::<pb::MsgSyncResp>().entries.is_empty());
    }
    drop((speaker, gluttons));
    scene.finish();
}

#[test]
fn running_out_of_descriptors_harms_nobody_who_is_in() {
    let _alone = alone();
    let wrapper = ["prlimit", "--nofile=200"].map(String::from).to_vec();
    let mut server = Server::start_with(ServerOptions { wrapper, ..ServerOptions::default() });
    let address = server.address();
    let users = server.seed_users("insider", 3, DeviceClass::Phone);
    let mut ada = RawClient::login_seeded(address, &users[0]);
    let mut ben = RawClient::login_seeded(address, &users[1]);
    wait_for("only the two are connected", || {
        let before = descriptor_count(server.pid());
        std::thread::sleep(Duration::from_millis(50));
        before == descriptor_count(server.pid())
    });
    let base = descriptor_count(server.pid());

    let crowd: Vec<_> = (0..400).map(|_| RawClient::connect(address)).collect();
    wait_for("the server runs out of descriptors", || {
        server.log().contains("cannot accept connections")
    });
    let cpu_before = cpu_time(server.pid());
    std::thread::sleep(Duration::from_secs(1));
    let cpu = cpu_time(server.pid()) - cpu_before;
    println!("CPU time of a second without descriptors: {cpu:?}");
    // Trying again without a pause would take all of a core.
    assert!(cpu < Duration::from_millis(500), "the server spins: {cpu:?}");
    for number in 0..50 {
        ada.send_message(&text_to(users[1].id, &format!("text {number}")));
        let push: pb::MsgPushNotify = ben.notification(Command::MsgPushNotify).decode();
        assert_eq!(push.entries[0].content, format!("text {number}"));
    }
    // Each of the crowd is served or closed in its turn, and then others are.
    for mut client in crowd {
        assert!(client.is_closed_silently());
    }
    wait_for("descriptors are given back", || descriptor_count(server.pid()) <= base);
    let mut cat = RawClient::login_seeded(address, &users[2]);
    cat.send_message(&text_to(users[0].id, "the door is open again"));
    ada.notification(Command::MsgPushNotify);
    assert!(server.is_running());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
