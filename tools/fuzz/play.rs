//! Plays one case against the server: opens its connections, sends what it says, waits where it waits.
//! What the oracles say comes back; what it means is for the campaign.

use std::collections::BTreeMap;

use aldis_wire::{Code, Command, Message, pb};

use crate::case::{CONNS_MAX, Case, End, State, Step};
use crate::conn::{Conn, Reply, Seen};
use crate::parts::{Actor, Ref, TROOP, put_delimited, put_varint};
use crate::sessions::device_id;
use crate::world::{Trouble, World, random_16};

/// A user and a group that there is not, and could be.
const MISSING: u64 = 2_000_000_000;

/// What a case has learned so far.
struct Scene<'w> {
    world: &'w mut World,
    conns: BTreeMap<u8, Conn>,
    /// Device class of each connection.
    classes: BTreeMap<u8, u8>,
    group: u64,
    conv_seq: u64,
    msg_id: u64,
    ids: BTreeMap<u8, Vec<u8>>,
    crowd_index: usize,
    seen: Seen,
}

/// Plays a case.
pub fn play(world: &mut World, case: &Case) -> Result<Seen, Trouble> {
    let mut seen = Seen::default();
    world.prepare(case.fresh, &mut seen)?;
    let group = world.group;
    let mut scene = Scene {
        world,
        conns: BTreeMap::new(),
        classes: BTreeMap::new(),
        group,
        conv_seq: 1,
        msg_id: 1,
        ids: BTreeMap::new(),
        crowd_index: 0,
        seen,
    };
    let played = case.steps.iter().try_for_each(|step| scene.play(step));
    scene.world.let_store_go();
    played.and_then(|()| scene.end())
}

impl Scene<'_> {
    fn play(&mut self, step: &Step) -> Result<(), Trouble> {
        match step {
            Step::Open { conn, who, state, class } => {
                if *conn < CONNS_MAX {
                    let actor = Case::actor(*who).unwrap_or(Actor::A);
                    self.open(*conn, actor, *state, (*class).clamp(1, 5))?;
                }
            }
            Step::Send { conn, frame } => {
                self.ensure(*conn)?;
                let body = self.resolve(&frame.body)?;
                let Self { conns, seen, .. } = self;
                if let Some(conn) = conns.get_mut(conn) {
                    conn.send(frame, &body, seen);
                }
                self.learn_all();
            }
            Step::Raw { conn, bytes } => {
                self.ensure(*conn)?;
                let bytes = self.resolve(bytes)?;
                let Self { conns, seen, .. } = self;
                if let Some(conn) = conns.get_mut(conn) {
                    conn.send_raw(&bytes, seen);
                }
            }
            Step::Wait { conn } => {
                let Self { conns, seen, world, .. } = self;
                if let Some(conn) = conns.get_mut(conn) {
                    let replies = conn.wait(&world.judge, seen);
                    self.learn(&replies);
                }
            }
            Step::Store { goes: true } => self.world.let_store_go(),
            Step::Store { goes: false } => self.world.stop_store(),
            Step::Finish { conn: number, how } => {
                if let Some(conn) = self.conns.remove(number)
                    && let Some(conn) = conn.finish(*how)
                {
                    self.conns.insert(*number, conn);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, conn: u8, actor: Actor, state: State, class: u8) -> Result<(), Trouble> {
        if actor == Actor::M {
            self.world.next_member();
        }
        let opened = self.world.open(actor, state, class, &mut self.seen)?;
        self.classes.insert(conn, class);
        if let Some(before) = self.conns.insert(conn, opened) {
            before.finish(End::Reset);
        }
        Ok(())
    }

    /// A connection that no step opened is one that is logged in.
    fn ensure(&mut self, conn: u8) -> Result<(), Trouble> {
        if self.conns.contains_key(&conn) || conn >= CONNS_MAX {
            return Ok(());
        }
        let actor = TROOP[usize::from(conn) % TROOP.len()];
        self.open(conn, actor, State::LoggedIn, (1 + conn / 3).min(5))
    }

    /// Reads what is there on all connections, so that none of them is a slow reader.
    fn learn_all(&mut self) {
        let Self { conns, seen, world, .. } = self;
        let mut replies = Vec::new();
        for conn in conns.values_mut() {
            replies.extend(conn.receive(&world.judge, seen));
        }
        self.learn(&replies);
    }

    fn learn(&mut self, replies: &[Reply]) {
        for reply in replies.iter().filter(|reply| reply.code() == Code::Ok) {
            match Command::from_server(reply.header.cmd) {
                Some(Command::GroupCreateResp) => {
                    let made = pb::GroupCreateResp::decode(reply.body.as_slice());
                    self.group = made.map_or(self.group, |made| made.group_id);
                }
                Some(Command::MsgSendResp) => {
                    if let Ok(sent) = pb::MsgSendResp::decode(reply.body.as_slice()) {
                        (self.conv_seq, self.msg_id) = (sent.conv_seq, sent.msg_id);
                    }
                }
                _ => {}
            }
        }
    }

    fn resolve(&mut self, parts: &crate::parts::Parts) -> Result<Vec<u8>, Trouble> {
        let mut trouble = None;
        let bytes = parts.resolve(|place, bytes| {
            if let Err(error) = self.put(place, bytes) {
                trouble = Some(error);
            }
        });
        trouble.map_or(Ok(bytes), Err)
    }

    fn put(&mut self, place: Ref, bytes: &mut Vec<u8>) -> Result<(), Trouble> {
        match place {
            Ref::User(actor) => put_varint(self.world.person(actor)?.id, bytes),
            Ref::Group => put_varint(if self.group == 0 { MISSING } else { self.group }, bytes),
            Ref::SecretGroup => put_varint(self.world.secret_group, bytes),
            Ref::Missing => put_varint(MISSING, bytes),
            Ref::ConvSeq => put_varint(self.conv_seq, bytes),
            Ref::MsgId => put_varint(self.msg_id, bytes),
            Ref::Crowd => {
                let crowd = &self.world.crowd;
                let id = crowd.get(self.crowd_index % crowd.len().max(1)).copied();
                self.crowd_index += 1;
                put_varint(id.unwrap_or(MISSING), bytes);
            }
            Ref::Name(actor) => put_delimited(self.world.person(actor)?.name.as_bytes(), bytes),
            Ref::Password(actor) => {
                put_delimited(self.world.person(actor)?.password.as_bytes(), bytes);
            }
            Ref::Token(actor) => put_delimited(self.world.token(actor, 1)?.as_bytes(), bytes),
            Ref::ExpiredToken => {
                put_delimited(self.world.expired.clone().unwrap_or_default().as_bytes(), bytes);
            }
            Ref::Device(_) => put_delimited(device_id(1).as_bytes(), bytes),
            Ref::FreshName => put_delimited(self.world.fresh_name().as_bytes(), bytes),
            Ref::FreshId => put_delimited(&random_16(), bytes),
            Ref::Id(number) => {
                put_delimited(self.ids.entry(number).or_insert_with(random_16), bytes)
            }
        }
        Ok(())
    }

    /// What was asked is answered, and all connections end.
    fn end(mut self) -> Result<Seen, Trouble> {
        let Self { conns, seen, world, .. } = &mut self;
        for conn in conns.values_mut() {
            conn.wait(&world.judge, seen);
        }
        for conn in std::mem::take(conns).into_values() {
            conn.finish(End::Reset);
        }
        world.look(seen)?;
        Ok(self.seen)
    }
}
