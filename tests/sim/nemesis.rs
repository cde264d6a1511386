//! What goes wrong between the nodes: their network, their sight of the directory, processes that stop
//! and go on, nodes that are stopped in turn, people who log in at two nodes at once.

use aldis_logic::job::NodeId;

use crate::agenda::Event;
use crate::directory::Reach;
use crate::wire::Weather;
use crate::world::World;

/// How long bad weather lasts, ms.
const WEATHER_MS: (u64, u64) = (200, 4_000);
/// How long a way is cut: shorter and longer than a node takes to be lost. ms
const CUT_MS: (u64, u64) = (50, 6_000);
/// How long a process is stopped: its lease may run out. ms
const STOP_MS: (u64, u64) = (50, 7_000);
/// How long the directory is out of reach, ms.
const AWAY_MS: (u64, u64) = (100, 5_000);

/// What the nemesis can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// A way between two nodes, or all of them, loses, repeats, reorders, corrupts.
    Weather,
    /// A way between two nodes is cut in one direction or both.
    Cut,
    /// A node is cut off from all others.
    Isolation,
    /// A process stops and goes on (SIGSTOP, SIGCONT).
    Stop,
    /// The directory forgets everything.
    Flush,
    /// One node or all of them cannot reach the directory, or do not hear its answers.
    Away,
    /// Two devices of a class log in at the same moment on different nodes.
    Twins,
    /// All nodes are stopped in order, one after the other.
    Roll,
}

impl TroubleKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Weather,
        Self::Cut,
        Self::Isolation,
        Self::Stop,
        Self::Flush,
        Self::Away,
        Self::Twins,
        Self::Roll,
    ];
}

/// A trouble that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Of this way.
    Way(usize, usize),
    /// This node does not reach the directory.
    Away(usize),
}

impl World {
    /// The weather at the start, and the first trouble.
    pub fn begin_trouble(&mut self) {
        if self.plan.link.is_bad_from_start {
            self.out.coverage.hit("wire: bad from the start");
            for (from, to) in self.ways() {
                let weather = Weather::bad(&mut self.out.dice, self.plan.link.is_sealed);
                self.out.wire.set(from, to, &weather);
            }
        }
        self.plan_trouble();
    }

    fn ways(&self) -> Vec<(usize, usize)> {
        let nodes = 0..self.plan.node_count;
        let ways = nodes.clone().flat_map(|from| nodes.clone().map(move |to| (from, to)));
        ways.filter(|(from, to)| from != to).collect()
    }

    /// Plans the next trouble.
    fn plan_trouble(&mut self) {
        if let Some(mean_ms) = self.plan.link.trouble_pause_ms {
            let pause_us = self.out.dice.range(1, mean_ms * 2) * 1_000;
            self.out.agenda.after(pause_us, Event::ClusterFault);
        }
    }

    /// Something goes wrong between the nodes.
    pub fn make_trouble(&mut self) {
        if !self.is_loading {
            return;
        }
        self.plan_trouble();
        let kind = *self.out.dice.pick(&self.plan.link.troubles);
        self.out.trace(|| format!("trouble: {kind:?}"));
        match kind {
            TroubleKind::Weather => self.make_weather(),
            TroubleKind::Cut => self.cut_way(),
            TroubleKind::Isolation => self.isolate(),
            TroubleKind::Stop => self.stop_process(),
            TroubleKind::Flush => {
                self.out.coverage.hit("directory: flushed");
                self.registry.flush();
            }
            TroubleKind::Away => self.lose_directory(),
            TroubleKind::Twins => self.log_twins_in(),
            TroubleKind::Roll if self.rolling.is_empty() && self.out.dice.chance(300) => {
                self.out.coverage.hit("nodes: restarted in turn");
                self.rolling = (0..self.plan.node_count).collect();
                self.roll_on();
            }
            TroubleKind::Roll => {}
        }
    }

    /// A trouble is over.
    pub fn relieve(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Way(from, to) => self.out.wire.set(from, to, &Weather::default()),
            Trouble::Away(node) => self.registry.set_reach(NodeId(node as u16), Reach::Full),
        }
    }

    /// All troubles are over, and nothing is scarce.
    pub fn heal_cluster(&mut self) {
        self.out.wire.heal();
        self.registry.heal();
        self.rolling.clear();
        for server in self.servers.iter_mut().flatten() {
            server.heal();
            if server.frozen.is_some() {
                self.out.agenda.after(0, Event::Continue(server.boot));
            }
        }
    }

    /// The next node of a rolling restart goes, if there is one and all nodes are up.
    pub fn roll_on(&mut self) {
        if self.rolling.is_empty() || self.servers.iter().any(Option::is_none) {
            return;
        }
        let Some(node) = self.rolling.pop_front() else { return };
        if let Some(boot) = self.servers[node].as_ref().map(|server| server.boot) {
            self.drain(boot);
        }
    }

    fn pick_way(&mut self) -> (usize, usize) {
        let from = self.out.dice.index(self.plan.node_count);
        let step = self.out.dice.range(1, self.plan.node_count as u64 - 1) as usize;
        (from, (from + step) % self.plan.node_count)
    }

    fn set_way(&mut self, (from, to): (usize, usize), weather: &Weather, ms: u64) {
        self.out.wire.set(from, to, weather);
        self.out.agenda.after(ms * 1_000, Event::Relief(Trouble::Way(from, to)));
    }

    fn make_weather(&mut self) {
        let ms = self.out.dice.range(WEATHER_MS.0, WEATHER_MS.1);
        let may_be_attacked = self.plan.link.is_sealed;
        let weather = Weather::bad(&mut self.out.dice, may_be_attacked);
        self.out.coverage.hit("wire: bad weather");
        if weather.is_attacked {
            self.out.coverage.hit("wire: attacked");
        }
        let (from, to) = self.pick_way();
        self.set_way((from, to), &weather, ms);
        if self.out.dice.chance(500) {
            self.set_way((to, from), &weather, ms);
        }
    }

    fn cut_way(&mut self) {
        let ms = self.out.dice.range(CUT_MS.0, CUT_MS.1);
        let cut = Weather { is_cut: true, ..Weather::default() };
        let (from, to) = self.pick_way();
        self.set_way((from, to), &cut, ms);
        if self.out.dice.chance(500) {
            self.out.coverage.hit("wire: cut both ways");
            self.set_way((to, from), &cut, ms);
        } else {
            self.out.coverage.hit("wire: cut one way");
        }
    }

    fn isolate(&mut self) {
        let ms = self.out.dice.range(CUT_MS.0, CUT_MS.1);
        let cut = Weather { is_cut: true, ..Weather::default() };
        let node = self.out.dice.index(self.plan.node_count);
        self.out.coverage.hit("wire: node cut off");
        for other in (0..self.plan.node_count).filter(|other| *other != node) {
            self.set_way((node, other), &cut, ms);
            self.set_way((other, node), &cut, ms);
        }
    }

    fn stop_process(&mut self) {
        let node = self.out.dice.index(self.plan.node_count);
        let ms = self.out.dice.range(STOP_MS.0, STOP_MS.1);
        let Some(server) = &mut self.servers[node] else { return };
        if server.frozen.is_some() {
            return;
        }
        server.frozen = Some(Vec::new());
        self.out.coverage.hit("nodes: one is stopped and goes on");
        self.out.agenda.after(ms * 1_000, Event::Continue(server.boot));
    }

    fn lose_directory(&mut self) {
        let ms = self.out.dice.range(AWAY_MS.0, AWAY_MS.1);
        let reach = *self.out.dice.pick(&[Reach::None, Reach::None, Reach::Mute]);
        let one = self.out.dice.index(self.plan.node_count);
        let is_for_all = self.out.dice.chance(400);
        self.out.coverage.hit(match reach {
            Reach::Mute => "directory: answers are lost",
            _ => "directory: out of reach",
        });
        for node in (0..self.plan.node_count).filter(|node| is_for_all || *node == one) {
            self.registry.set_reach(NodeId(node as u16), reach);
            self.out.agenda.after(ms * 1_000, Event::Relief(Trouble::Away(node)));
        }
    }

    fn log_twins_in(&mut self) {
        let pairs: Vec<(usize, usize)> = (0..self.devices.len())
            .flat_map(|a| (a + 1..self.devices.len()).map(move |b| (a, b)))
            .filter(|(a, b)| {
                let (one, other) = (&self.devices[*a], &self.devices[*b]);
                (one.person, one.class) == (other.person, other.class)
            })
            .filter(|(a, _)| self.user_of(*a).is_some())
            .collect();
        if pairs.is_empty() {
            return;
        }
        let (a, b) = *self.out.dice.pick(&pairs);
        let (from, to) = self.pick_way();
        self.out.coverage.hit("nodes: two logins of a class at once");
        for (d, node) in [(a, from), (b, to)] {
            self.move_device(d, node);
        }
    }

    /// The owner of a device logs in on this node, wherever it was before.
    pub fn move_device(&mut self, d: usize, node: usize) {
        let now_ms = self.out.agenda.now_ms();
        self.devices[d].core.disconnect(now_ms);
        self.pump(d);
        self.devices[d].next_node = Some(node);
        self.log_in(d);
    }
}
