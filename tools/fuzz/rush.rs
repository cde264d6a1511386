//! So much at once of what is dear that the server has to say BUSY. Judges nothing but codes.

use std::time::{Duration, Instant};

use aldis_wire::{Code, Command, Message, pb};

use crate::case::{End, Frame};
use crate::conn::{Conn, Seen};
use crate::coverage::Answer;
use crate::judge::Judge;
use crate::parts::Actor;
use crate::world::{Trouble, World, random_16};

/// More than hashes of passwords wait at a time.
const CONNECTIONS: usize = 300;
/// More than passwords are hashed between two requests.
const CHANGES: usize = 3;
/// Until then somebody is put off, or nobody will be.
const FULL_MAX: Duration = Duration::from_secs(10);
/// Times that it is tried: whether a server has room at a moment is chance.
const TRIES_MAX: usize = 6;

/// What takes a place in the password pool.
pub const HASHED: [Command; 3] = [Command::Register, Command::Login, Command::ChangePassword];

/// Registers, logs in and changes a password on many connections at once, until each was put off. What
/// was seen counts, whatever came between.
pub fn rush(world: &mut World) -> (Seen, Result<(), Trouble>) {
    let (mut seen, mut result) = (Seen::default(), Ok(()));
    for _ in 0..TRIES_MAX {
        // A server that has so much to do may close what waits for too long.
        result = rush_once(world, &mut seen);
        let is_put_off = |command: &Command| {
            let busy = Answer::Code(Code::Busy);
            seen.cells.iter().any(|cell| cell.command == *command && cell.answer == busy)
        };
        if HASHED.iter().all(is_put_off) {
            return (seen, Ok(()));
        }
    }
    (seen, result)
}

fn rush_once(world: &mut World, seen: &mut Seen) -> Result<(), Trouble> {
    let mut changing = world.connect()?;
    // Somebody new: wrong passwords are counted.
    let person = world.register()?;
    world.password_login(&mut changing, &person, 1, seen)?;
    let mut conns = Vec::new();
    for _ in 0..CONNECTIONS {
        conns.push(world.connect()?);
    }
    for (index, conn) in conns.iter_mut().enumerate() {
        let (command, body) = if index % 2 == 0 || index < CONNECTIONS / 2 {
            (Command::Register, registration(world))
        } else {
            (Command::Login, login(world)?)
        };
        conn.send(&Frame { cmd: command.id(), ..Frame::default() }, &body, seen);
        conn.allow_close();
    }
    // A server reads those who are logged in before the others, who shall have taken what there is.
    wait_until_full(&mut conns, &world.judge, seen);
    let body = pb::ChangePasswordReq {
        old_password: "not the password".into(),
        new_password: "another password".into(),
    };
    let frame = Frame { cmd: Command::ChangePassword.id(), ..Frame::default() };
    for _ in 0..CHANGES {
        changing.send(&frame, &body.encode_to_vec(), seen);
    }
    conns.push(changing);
    for conn in &mut conns {
        conn.allow_close();
        conn.wait(&world.judge, seen);
    }
    for conn in conns {
        conn.finish(End::Reset);
    }
    Ok(())
}

fn registration(world: &mut World) -> Vec<u8> {
    let username = world.fresh_name();
    let password = format!("password of {username}");
    let request_id = random_16().into();
    pb::RegisterReq { username, password, request_id, ..Default::default() }.encode_to_vec()
}

fn login(world: &mut World) -> Result<Vec<u8>, Trouble> {
    let person = world.person(Actor::B)?;
    let body = pb::LoginReq {
        username: person.name.clone(),
        password: person.password.clone(),
        device_id: "rush".into(),
        device_class: pb::DeviceClass::Web as i32,
        ..Default::default()
    };
    Ok(body.encode_to_vec())
}

/// Until the first one is put off, or all are answered.
fn wait_until_full(conns: &mut [Conn], judge: &Judge, seen: &mut Seen) {
    let deadline = Instant::now() + FULL_MAX;
    while Instant::now() < deadline {
        for conn in conns.iter_mut() {
            let replies = conn.receive(judge, seen);
            if replies.iter().any(|reply| reply.code() == Code::Busy) {
                return;
            }
        }
        if conns.iter().all(Conn::is_answered) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
