//! Second stage of a batch: groups are made and all lanes played, each line after the one before
//! was acknowledged; what everybody hears meanwhile is compared. Opens no connections.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use aldis_client::ClientError;
use aldis_client::core::{Event, Request, RequestNo, Response, SubmitError, Target, Via};
use aldis_wire::{ClientMsgId, GroupId, UserId, pb};
use bytes::Bytes;
use indicatif::ProgressBar;

use super::arrive::Live;
use super::compare::Way;
use super::identity::display_name;
use super::plan::Batch;
use super::pool::ConnNo;
use super::stage::{Replay, TICK, progress, refused, retry_pause};

/// The lanes of one batch while they are played.
struct Play<'p> {
    batch: &'p Batch,
    live: &'p Live,
    /// Next line of each lane, by index into its lines.
    next: HashMap<usize, usize>,
    lanes_left: usize,
    /// Lanes whose speaker had too much unanswered.
    blocked: VecDeque<usize>,
    /// Groups to be asked for again, and when.
    later: Vec<(Instant, usize)>,
    /// GROUP_CREATE requests on their way.
    creating: HashMap<(ConnNo, RequestNo), usize>,
    /// The ids of those requests, so that a repeat makes no second group.
    request_ids: HashMap<usize, Bytes>,
    /// Lines that the people of this batch have still to hear.
    unheard: usize,
    bar: ProgressBar,
}

/// Plays a batch. Whoever is not heard by everybody in the end is a finding, not an error.
pub fn play(replay: &mut Replay<'_>, batch: &Batch, live: &Live) -> anyhow::Result<()> {
    let rooms = || batch.rooms.iter().filter_map(|room| replay.script.rooms.get(*room));
    let line_count: usize = rooms().map(|room| room.line_count).sum();
    let hear_count: usize = rooms().map(|room| room.line_count * room.people.len()).sum();
    let event_count: usize = rooms().filter(|r| r.is_group()).map(|r| r.people.len()).sum();
    let mut play = Play {
        batch,
        live,
        next: batch.lanes.iter().map(|lane| (*lane, 0)).collect(),
        lanes_left: batch.lanes.len(),
        blocked: VecDeque::new(),
        later: Vec::new(),
        creating: HashMap::new(),
        request_ids: HashMap::new(),
        unheard: hear_count + event_count,
        bar: progress(line_count, "lines"),
    };
    replay.touch();
    play.start(replay)?;
    while (play.lanes_left > 0 || play.unheard > 0) && !replay.is_stuck() {
        if let Some((no, event)) = replay.pool.next_event(TICK)? {
            play.handle_event(replay, no, event)?;
        }
        play.create_later(replay)?;
    }
    play.bar.finish_and_clear();
    Ok(replay.check_reachable()?)
}

impl Play<'_> {
    fn start(&mut self, replay: &mut Replay<'_>) -> anyhow::Result<()> {
        for room in &self.batch.rooms {
            if replay.script.rooms.get(*room).is_some_and(|room| room.is_group()) {
                self.create_group(replay, *room)?;
            } else {
                self.start_room(replay, *room)?;
            }
        }
        Ok(())
    }

    fn create_group(&mut self, replay: &mut Replay<'_>, index: usize) -> anyhow::Result<()> {
        let Some(room) = replay.script.rooms.get(index) else { return Ok(()) };
        let Some(no) = self.live.conns.get(&room.owner).copied() else { return Ok(()) };
        let others = room.people.iter().filter(|person| **person != room.owner);
        let member_ids =
            others.filter_map(|person| replay.directory.user_ids.get(*person).copied()).collect();
        let name = display_name(&room.name);
        let Some((core, now)) = replay.pool.core(no) else { return Ok(()) };
        let request_id = self
            .request_ids
            .entry(index)
            .or_insert_with(|| Bytes::copy_from_slice(&core.new_request_id(now).0));
        let request_id = request_id.clone();
        let request = pb::GroupCreateReq { name, member_ids, request_id, open_history: false };
        match core.request(Request::GroupCreate(request)) {
            Ok(request) => {
                self.creating.insert((no, request), index);
                Ok(())
            }
            // One person owns more groups than may be on their way at once.
            Err(SubmitError::WouldBlock) => {
                self.later.push((Instant::now() + TICK, index));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn start_room(&mut self, replay: &mut Replay<'_>, room: usize) -> anyhow::Result<()> {
        let Some(room) = replay.script.rooms.get(room) else { return Ok(()) };
        room.lanes.iter().try_for_each(|lane| self.say_next(replay, *lane))
    }

    /// Sends the lane's next line, or counts the lane as done.
    fn say_next(&mut self, replay: &mut Replay<'_>, lane_index: usize) -> anyhow::Result<()> {
        let Some(next) = self.next.get(&lane_index).copied() else { return Ok(()) };
        let Some(lane) = replay.script.lanes.get(lane_index) else { return Ok(()) };
        let Some(line_index) = lane.lines.get(next).copied() else {
            self.next.remove(&lane_index);
            self.lanes_left -= 1;
            return Ok(());
        };
        let Some(line) = replay.script.lines.get(line_index) else { return Ok(()) };
        let Some(target) = target(replay, lane.room, line.person) else { return Ok(()) };
        let Some(no) = self.live.conns.get(&line.person).copied() else { return Ok(()) };
        let Some((core, now)) = replay.pool.core(no) else { return Ok(()) };
        match core.send_message(now, target, pb::MsgType::Text, line.text.clone(), Bytes::new()) {
            Ok(id) => replay.comparison.handle_sent(line_index, id),
            Err(SubmitError::WouldBlock) => self.blocked.push_back(lane_index),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn handle_event(
        &mut self,
        replay: &mut Replay<'_>,
        no: ConnNo,
        event: Event,
    ) -> anyhow::Result<()> {
        let Some(person) = self.live.people.get(&no).copied() else { return Ok(()) };
        match event {
            Event::Entry { entry, via, .. } => {
                self.handle_entry(replay, person, &entry, via);
            }
            Event::SendAcked { client_msg_id, ack } => {
                self.handle_acked(replay, client_msg_id, &ack)?;
            }
            Event::SendFailed { client_msg_id, code, message, .. } => {
                let line = replay.comparison.line_of(client_msg_id);
                let line = line.and_then(|line| replay.script.lines.get(line));
                let number = line.map_or(0, |line| line.number);
                let what = format!("line {number} was refused: {code} {message}");
                replay.comparison.findings.add(what);
                // Later lines of the lane would be out of order: it ends here.
                if let Some(line) = line
                    && self.next.remove(&line.lane).is_some()
                {
                    self.lanes_left -= 1;
                }
            }
            Event::Response { request, result } => {
                let Some(room) = self.creating.remove(&(no, request)) else { return Ok(()) };
                replay.touch();
                match result {
                    Ok(Response::GroupCreate(resp)) => {
                        if let Some(id) = replay.directory.group_ids.get_mut(room) {
                            *id = resp.group_id;
                        }
                        self.start_room(replay, room)?;
                    }
                    Err(error) if error.is_retryable() || !error.is_definite() => {
                        self.later.push((Instant::now() + retry_pause(&error), room));
                    }
                    Ok(_) => return Err(ClientError::Protocol.into()),
                    Err(error) => return Err(error.into()),
                }
            }
            Event::Resynced { local, head, .. } => {
                let what = format!("the server forgot entries {} to {head}", local + 1);
                replay.comparison.findings.add(what);
            }
            Event::Kicked { reason, .. } => return Err(ClientError::Kicked { reason }.into()),
            Event::LoginFailed { code, message } => return Err(refused(code, message).into()),
            Event::Online(_) => replay.touch(),
            Event::Offline { .. } | Event::Told(_) => {}
        }
        Ok(())
    }

    fn handle_entry(
        &mut self,
        replay: &mut Replay<'_>,
        person: usize,
        entry: &pb::MessageData,
        via: Via,
    ) {
        let Some(who) = replay.people.get_mut(person) else { return };
        let mut reading = std::mem::take(&mut who.live);
        let (directory, comparison) = (&replay.directory, &mut replay.comparison);
        comparison.handle_mailbox_entry(directory, &mut reading, Way::Push, person, entry);
        who.live = reading;
        replay.repaired_count += usize::from(via == Via::Sync);
        self.unheard = self.unheard.saturating_sub(1);
        replay.touch();
    }

    fn handle_acked(
        &mut self,
        replay: &mut Replay<'_>,
        id: ClientMsgId,
        ack: &pb::MsgSendResp,
    ) -> anyhow::Result<()> {
        let Some(line_index) = replay.comparison.line_of(id) else { return Ok(()) };
        replay.comparison.handle_acked(line_index, ack);
        replay.touch();
        self.bar.inc(1);
        let Some(line) = replay.script.lines.get(line_index) else { return Ok(()) };
        if let Some(next) = self.next.get_mut(&line.lane) {
            *next += 1;
        }
        self.say_next(replay, line.lane)?;
        for _ in 0..self.blocked.len() {
            let Some(lane) = self.blocked.pop_front() else { break };
            self.say_next(replay, lane)?;
        }
        Ok(())
    }

    /// Tries again the groups whose time has come.
    fn create_later(&mut self, replay: &mut Replay<'_>) -> anyhow::Result<()> {
        let now = Instant::now();
        let due: Vec<usize> =
            self.later.extract_if(.., |(at, _)| *at <= now).map(|(_, room)| room).collect();
        due.into_iter().try_for_each(|room| self.create_group(replay, room))
    }
}

/// Where a person's line of a room goes.
fn target(replay: &Replay<'_>, room_index: usize, person: usize) -> Option<Target> {
    let room = replay.script.rooms.get(room_index)?;
    if room.is_group() {
        let id = replay.directory.group_ids.get(room_index)?;
        return Some(Target::Group(GroupId(*id)));
    }
    // The other of the two; who is alone talks to himself.
    let other = room.people.iter().find(|other| **other != person).unwrap_or(&person);
    replay.directory.user_ids.get(*other).map(|id| Target::User(UserId(*id)))
}
