//! So much at once of what is dear that the server has to say BUSY. Judges nothing but codes.

use aldis_wire::{Command, Message, pb};

use crate::case::{End, Frame, State};
use crate::conn::Seen;
use crate::parts::Actor;
use crate::world::{Trouble, World, random_16};

/// More than hashes of passwords wait at a time.
const CONNECTIONS: usize = 300;
/// More than passwords are hashed between two requests.
const CHANGES: usize = 3;

/// Registers, logs in and changes a password on many connections at once.
pub fn rush(world: &mut World) -> Result<Seen, Trouble> {
    let mut seen = Seen::default();
    let mut changing = world.open(Actor::C, State::LoggedIn, 1, &mut seen)?;
    let person = world.person(Actor::B)?.clone();
    let mut conns = Vec::new();
    for _ in 0..CONNECTIONS {
        conns.push(world.connect()?);
    }
    for (index, conn) in conns.iter_mut().enumerate() {
        let name = world.fresh_name();
        let (command, body) = if index % 2 == 0 || index < CONNECTIONS / 2 {
            let password = format!("password of {name}");
            let request_id = random_16().into();
            let body =
                pb::RegisterReq { username: name, password, request_id, ..Default::default() };
            (Command::Register, body.encode_to_vec())
        } else {
            let body = pb::LoginReq {
                username: person.name.clone(),
                password: person.password.clone(),
                device_id: "rush".into(),
                device_class: pb::DeviceClass::Web as i32,
                ..Default::default()
            };
            (Command::Login, body.encode_to_vec())
        };
        conn.send(&Frame { cmd: command.id(), ..Frame::default() }, &body, &mut seen);
    }
    let body = pb::ChangePasswordReq {
        old_password: "not the password".into(),
        new_password: "another password".into(),
    };
    let frame = Frame { cmd: Command::ChangePassword.id(), ..Frame::default() };
    // A server reads those who are logged in before the others, who shall have taken what there is.
    if let Some(last) = conns.last_mut() {
        last.allow_close();
        last.wait(&world.judge, &mut seen);
    }
    for _ in 0..CHANGES {
        changing.send(&frame, &body.encode_to_vec(), &mut seen);
    }
    conns.push(changing);
    for conn in &mut conns {
        conn.allow_close();
        conn.wait(&world.judge, &mut seen);
    }
    for conn in conns {
        conn.finish(End::Reset);
    }
    Ok(seen)
}
