//! Last stage: everybody reads everything again on a new device, by sync from zero and then
//! conversation by conversation. Sends nothing.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use aldis_client::ClientError;
use aldis_client::core::{Event, Request, RequestNo, Response};
use aldis_wire::limits::SYNC_ENTRIES_MAX;
use aldis_wire::{ClientMsgId, pb};

use super::compare::{Reading, Way};
use super::pool::ConnNo;
use super::stage::{LOGINS_MAX, Replay, SYNC_CLASS, TICK, progress, refused, retry_pause};

/// Entries of a HISTORY page.
const PAGE_ENTRIES: u32 = SYNC_ENTRIES_MAX as u32;

/// One person reading.
struct Reader {
    person: usize,
    base_seq: u64,
    /// Everything up to here must come by sync; `None` before the login.
    head: Option<u64>,
    synced: Reading,
    history: Reading,
    /// Rooms to read by history, the open one first.
    rooms: VecDeque<usize>,
    after: u64,
    asked: Option<RequestNo>,
    /// Not to be asked before.
    retry_at: Option<Instant>,
    /// All rooms of the person.
    all_rooms: Vec<usize>,
}

/// Reads everything back. Who cannot read all is a finding, not an error.
pub fn read_back(replay: &mut Replay<'_>) -> anyhow::Result<()> {
    let mut rooms_of: Vec<VecDeque<usize>> = vec![VecDeque::new(); replay.people.len()];
    for (index, room) in replay.script.rooms.iter().enumerate() {
        for person in &room.people {
            if let Some(rooms) = rooms_of.get_mut(*person) {
                rooms.push_back(index);
            }
        }
    }
    let bar = progress(replay.people.len(), "reading back");
    let mut to_come: VecDeque<(usize, VecDeque<usize>)> =
        rooms_of.into_iter().enumerate().collect();
    let mut readers: HashMap<ConnNo, Reader> = HashMap::new();
    replay.touch();
    while (!to_come.is_empty() || !readers.is_empty()) && !replay.is_stuck() {
        while readers.len() < LOGINS_MAX
            && let Some((person, rooms)) = to_come.pop_front()
        {
            let no = replay.open(person, SYNC_CLASS)?;
            let credentials = replay.credentials(person);
            if let Some((core, now)) = replay.pool.core(no) {
                core.login(now, credentials);
            }
            readers.insert(no, Reader::new(replay, person, rooms));
        }
        for (no, reader) in &mut readers {
            // There is a page to ask for, so this never ends a reader.
            if reader.retry_at.is_some() {
                reader.ask(replay, *no)?;
            }
        }
        let Some((no, event)) = replay.pool.next_event(TICK)? else { continue };
        let Some(reader) = readers.get_mut(&no) else { continue };
        if reader.handle_event(replay, no, event)? {
            if let Some(reader) = readers.remove(&no) {
                reader.finish(replay);
            }
            replay.pool.close(no);
            bar.inc(1);
        }
    }
    replay.check_reachable()?;
    // Those that are stuck are judged by what they have.
    for (_, reader) in readers {
        reader.finish(replay);
    }
    for (person, rooms) in to_come {
        Reader::new(replay, person, rooms).finish(replay);
    }
    bar.finish_and_clear();
    Ok(())
}

impl Reader {
    fn new(replay: &Replay<'_>, person: usize, rooms: VecDeque<usize>) -> Self {
        let base_seq = replay.people.get(person).and_then(|p| p.base_seq).unwrap_or(0);
        Self {
            person,
            base_seq,
            head: None,
            synced: Reading::from_seq(base_seq),
            history: Reading::default(),
            all_rooms: rooms.iter().copied().collect(),
            rooms,
            after: 0,
            asked: None,
            retry_at: None,
        }
    }

    /// Returns whether this reader has read all.
    fn handle_event(
        &mut self,
        replay: &mut Replay<'_>,
        no: ConnNo,
        event: Event,
    ) -> anyhow::Result<bool> {
        match event {
            Event::Online(resp) => {
                let mailbox = resp.heads.iter().find(|head| head.stream == 0);
                self.head = Some(mailbox.map_or(0, |mailbox| mailbox.head));
            }
            Event::Entry { entry, .. } => {
                if entry.seq > self.base_seq {
                    let (directory, comparison) = (&replay.directory, &mut replay.comparison);
                    let synced = &mut self.synced;
                    comparison.handle_mailbox_entry(
                        directory,
                        synced,
                        Way::Sync,
                        self.person,
                        &entry,
                    );
                }
                replay.touch();
            }
            Event::Response { request, result } if self.asked == Some(request) => {
                self.asked = None;
                match result {
                    Ok(Response::History(page)) => self.handle_page(replay, &page),
                    Ok(_) => return Err(ClientError::Protocol.into()),
                    Err(error) if error.is_retryable() || !error.is_definite() => {
                        self.retry_at = Some(Instant::now() + retry_pause(&error));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Event::LoginFailed { code, message } => return Err(refused(code, message).into()),
            Event::Kicked { reason, .. } => return Err(ClientError::Kicked { reason }.into()),
            _ => {}
        }
        self.ask(replay, no)
    }

    /// Once all is synced, asks for the next page of history; returns whether there is none.
    fn ask(&mut self, replay: &mut Replay<'_>, no: ConnNo) -> anyhow::Result<bool> {
        let Some((core, _)) = replay.pool.core(no) else { return Ok(true) };
        let local = core.local_seq(0).unwrap_or(0);
        if self.retry_at.is_some_and(|at| at > Instant::now()) {
            return Ok(false);
        }
        self.retry_at = None;
        if self.head.is_none_or(|head| local < head) || self.asked.is_some() || !core.is_online() {
            return Ok(false);
        }
        let Some(room_index) = self.rooms.front().copied() else { return Ok(true) };
        let Some(room) = replay.script.rooms.get(room_index) else { return Ok(true) };
        let (receiver_id, group_id) = if room.is_group() {
            (0, replay.directory.group_ids.get(room_index).copied().unwrap_or(0))
        } else {
            let other = room.people.iter().find(|other| **other != self.person);
            let other = other.unwrap_or(&self.person);
            (replay.directory.user_ids.get(*other).copied().unwrap_or(0), 0)
        };
        // On the wire "above 0" means the newest, so the first entry is asked as the last below 2.
        let (before_conv_seq, limit) = if self.after == 0 { (2, 1) } else { (0, PAGE_ENTRIES) };
        self.asked = Some(core.request(Request::History(pb::HistoryReq {
            receiver_id,
            group_id,
            before_conv_seq,
            after_conv_seq: self.after,
            limit,
        }))?);
        Ok(false)
    }

    fn handle_page(&mut self, replay: &mut Replay<'_>, page: &pb::HistoryResp) {
        replay.touch();
        let is_first = self.after == 0;
        for entry in &page.entries {
            self.after = entry.conv_seq;
            let is_ours = <[u8; 16]>::try_from(&entry.client_msg_id[..])
                .is_ok_and(|id| replay.comparison.line_of(ClientMsgId(id)).is_some());
            // In an account with a past, what an earlier replay said is not ours to judge.
            if self.base_seq == 0 || is_ours || entry.group_id != 0 {
                replay.comparison.handle_entry(
                    &replay.directory,
                    &mut self.history,
                    Way::History,
                    self.person,
                    entry,
                );
            }
        }
        self.after = self.after.max(1);
        if self.after >= page.max_conv_seq || (page.entries.is_empty() && !is_first) {
            self.rooms.pop_front();
            self.after = 0;
        }
    }

    fn finish(&self, replay: &mut Replay<'_>) {
        let live = replay.people.get(self.person).map(|p| p.live.clone()).unwrap_or_default();
        let (comparison, rooms) = (&mut replay.comparison, &self.all_rooms);
        comparison.finish_reading(&live, Way::Push, self.person, rooms);
        comparison.finish_reading(&self.synced, Way::Sync, self.person, rooms);
        comparison.finish_reading(&self.history, Way::History, self.person, rooms);
    }
}
