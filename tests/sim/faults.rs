//! What goes wrong from outside: broken connections, slow readers, killed and drained nodes.

use crate::agenda::Event;
use crate::mail::Mail;
use crate::network::{LinkId, Side};
use crate::outside::Rates;
use crate::plan::FaultKind;
use crate::world::World;

/// How long a node is down, ms.
const DOWN_MS: (u64, u64) = (20, 2_500);
/// How long a drain takes, ms.
const DRAIN_MS: (u64, u64) = (200, 3_000);
/// How long a client does not read, ms.
const SLOW_MS: (u64, u64) = (200, 6_000);
/// When the server learns of a broken connection that it is not told of, ms.
const HALF_OPEN_MS: (u64, u64) = (3_000, 40_000);

impl World {
    /// Plans the next fault.
    pub fn plan_fault(&mut self) {
        if let Some(mean_ms) = self.plan.fault_pause_ms {
            let pause_us = self.out.dice.range(1, mean_ms * 2) * 1_000;
            self.out.agenda.after(pause_us, Event::Fault);
        }
    }

    /// Something goes wrong.
    pub fn fault(&mut self) {
        if !self.is_loading {
            return;
        }
        self.plan_fault();
        let kind = *self.out.dice.pick(&self.plan.faults);
        self.out.trace(|| format!("fault: {kind:?}"));
        match kind {
            FaultKind::Cut => self.cut(false, 50),
            FaultKind::HalfOpen => {
                let ms = self.out.dice.range(HALF_OPEN_MS.0, HALF_OPEN_MS.1);
                self.cut(false, ms);
            }
            FaultKind::CutNew => self.cut(true, 50),
            FaultKind::SlowReader => self.slow_down(),
            FaultKind::Silence => {
                if let Some((id, _)) = self.pick_link(false) {
                    self.out.net.swallow(id);
                }
            }
            FaultKind::Crash if self.out.dice.chance(250) => {
                self.out.coverage.hit("crash: while idle");
                let running = self.running();
                if !running.is_empty() {
                    let boot = *self.out.dice.pick(&running);
                    self.crash(boot);
                }
            }
            FaultKind::Drain if self.out.dice.chance(250) => {
                let running = self.running();
                if !running.is_empty() {
                    let boot = *self.out.dice.pick(&running);
                    self.drain(boot);
                }
            }
            FaultKind::Crash | FaultKind::Drain => {}
        }
    }

    /// A device's connection; `new`: one that is not logged in.
    fn pick_link(&mut self, new: bool) -> Option<(LinkId, usize)> {
        let links: Vec<(LinkId, usize)> = (0..self.devices.len())
            .filter(|d| self.devices[*d].core.is_online() != new)
            .filter_map(|d| Some((self.devices[d].link?, d)))
            .collect();
        (!links.is_empty()).then(|| *self.out.dice.pick(&links))
    }

    fn cut(&mut self, new: bool, server_delay_ms: u64) {
        let Some((id, _)) = self.pick_link(new) else { return };
        if server_delay_ms >= HALF_OPEN_MS.0 {
            self.out.coverage.hit("link: half open");
        }
        let delay_us = server_delay_ms * 1_000;
        self.out.net.cut(&mut self.out.agenda, &mut self.out.dice, id, delay_us);
    }

    fn slow_down(&mut self) {
        let Some((_, d)) = self.pick_link(false) else { return };
        self.out.coverage.hit("client: slow reader");
        let ms = self.out.dice.range(SLOW_MS.0, SLOW_MS.1);
        self.devices[d].slow_until_us = self.out.agenda.now_us() + ms * 1_000;
    }

    /// A node's process is killed: what it has not committed is lost, its connections break.
    pub fn crash(&mut self, boot: u32) {
        let Some(node) = self.node_of(boot) else { return };
        self.out.trace(|| format!("node {node} is killed"));
        self.store_of(node).crash();
        self.end_node(node, boot);
        if !self.running().is_empty() {
            self.out.coverage.hit("nodes: one is killed");
        }
    }

    /// Its process is gone; it starts again after a while.
    pub fn end_node(&mut self, node: usize, boot: u32) {
        self.servers[node] = None;
        self.break_links(boot);
        let down_ms = self.out.dice.range(DOWN_MS.0, DOWN_MS.1);
        self.out.agenda.after(down_ms * 1_000, Event::Boot(node));
    }

    /// The other ends of a node that is gone: most are told by the kernel, some never.
    pub fn break_links(&mut self, boot: u32) {
        let is_host_gone = self.out.dice.chance(200);
        for id in self.out.net.open_links() {
            let is_silent = is_host_gone && self.out.dice.chance(300);
            let link = self.out.net.link(id);
            let link = link.filter(|link| link.server_open && link.boot == Some(boot));
            let Some(link) = link else { continue };
            link.server_open = false;
            let is_client_open = link.client_open;
            if is_silent {
                self.out.net.swallow(id);
            } else if is_client_open {
                let server_delay_us = 0;
                let (agenda, dice) = (&mut self.out.agenda, &mut self.out.dice);
                self.out.net.cut(agenda, dice, id, server_delay_us);
            }
            self.out.net.forget(id, Side::Server);
        }
    }

    /// SIGTERM.
    pub fn drain(&mut self, boot: u32) {
        let Some(node) = self.node_of(boot) else { return };
        let Some(server) = &mut self.servers[node] else { return };
        if server.is_draining() {
            return;
        }
        self.out.coverage.hit("drain: begun");
        let delay_ms_max = self.out.dice.range(1, 2_000) as u32;
        for reactor in 0..server.reactors.len() {
            server.post(&mut self.out, reactor, Mail::Drain(delay_ms_max));
        }
        let ms = self.out.dice.range(DRAIN_MS.0, DRAIN_MS.1);
        self.out.agenda.after(ms * 1_000, Event::DrainEnds(server.boot));
    }

    /// From now on nothing goes wrong and nobody does anything.
    pub fn heal(&mut self) {
        self.is_loading = false;
        self.out.rates = Rates::default();
        self.heal_cluster();
        for device in &mut self.devices {
            device.slow_until_us = 0;
        }
        self.out.trace(|| "healed".to_owned());
    }
}
