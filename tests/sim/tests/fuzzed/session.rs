//! A sequence of connections, frames, replies, losses and failures, driven by bytes: whatever their
//! order, nothing panics, each request gets one answer, and nobody is sent what is another's.

use aldis_store::memory::Fate;
use aldis_wire::{Command, DeviceClass, FrameError, Header, Message, pb};

use crate::script::{Names, Script, request};
use crate::world::{PASSWORD, World};

/// Steps that an input may have.
const STEPS_MAX: usize = 400;
/// Connections at the same time.
const CONNS_MAX: usize = 8;

/// Runs one input: a byte of settings, then steps.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new(script.byte() & 1 == 1);
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            break;
        }
        step(&mut world, &mut script);
    }
    world.settle();
}

fn step(world: &mut World, script: &mut Script<'_>) {
    let choice = script.byte();
    let which = script.byte();
    if world.conns.is_empty() || (choice & 0x1f == 0 && world.conns.len() < CONNS_MAX) {
        return world.open(usize::from(which));
    }
    let at = usize::from(which) % world.conns.len();
    match choice & 0x1f {
        1 => world.close(at),
        2 => world.half_close(at),
        3..=5 => log_in(world, at, script),
        6..=12 => {
            let groups = world.judge.groups();
            let names = Names {
                asker: world.conns[at].user,
                users: &world.users,
                groups: &groups,
                message_ids: &world.judge.message_ids,
            };
            let (command, body) = request(script, &names);
            world.send(at, command.id(), &body);
        }
        13 => {
            let which = usize::from(script.byte());
            let command = Command::REQUESTS[which % Command::REQUESTS.len()];
            world.send(at, command.id(), script.block());
        }
        14 => {
            let cmd = u16::from_be_bytes([script.byte(), script.byte()]);
            world.send(at, cmd, script.block());
        }
        15..=17 => {
            let fate = match choice >> 5 {
                6 => Fate::Fail,
                7 => Fate::Unknown,
                _ => Fate::Commit,
            };
            world.write(usize::from(which) + 1, fate);
        }
        18..=20 => world.read(usize::from(which)),
        21 => world.hash(),
        22 => world.register(choice >> 5 == 7),
        23 => world.locate(),
        24..=27 => world.deliver(usize::from(which), choice >> 5 == 7),
        28 => world.pass(u64::from(which) * 20),
        29 => world.fall_behind(at, choice >> 5 & 1 == 1),
        30 => world.break_off(at, FrameError::Version { version: 9, header: HEADER }),
        _ if choice >> 5 == 7 => world.drain_away(usize::from(which)),
        // What a login needs, at once: else few inputs come beyond it.
        _ => world.hurry(),
    }
}

/// The header of a frame that the deframer did not like.
const HEADER: Header = Header { cmd: 0x2001, code: 0, seq: 0x7fff_ffff, len: 0 };

fn log_in(world: &mut World, at: usize, script: &mut Script<'_>) {
    let (who, how) = (script.below(world.users.len()), script.byte());
    let user = world.users[who];
    let classes = [DeviceClass::Phone, DeviceClass::Web];
    let device = how & 1;
    let mut body = pb::LoginReq {
        device_id: format!("device-{device}"),
        device_class: classes[usize::from(device)].number() as i32,
        ..Default::default()
    };
    match world.tokens.get(&user).filter(|_| how & 2 != 0) {
        Some(token) => body.token.clone_from(token),
        None => {
            body.username = format!("user{who}");
            body.password = if how & 0x0c == 0x0c { "wrong horse" } else { PASSWORD }.into();
        }
    }
    world.send(at, Command::Login.id(), &body.encode_to_vec());
    if how & 0x10 != 0 {
        world.hurry();
    }
}
