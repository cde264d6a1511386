//! aldis-rudp: messages unordered or in order of their flow, sealed or plain, with or without
//! redundancy.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use aldis_netsim::{Datagram, Ecn, Rng, UDP_HEADERS};
use aldis_rudp::{
    BootId, ClusterKey, ClusterKeys, Config, ControllerKind, Endpoint, Event, Flow, Mode, NodeId,
    PeerId, SendError, Time,
};
use bytes::Bytes;

use super::{Pair, Setting};
use crate::end::{Deliver, End, Outgoing};

/// How it is used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// AEAD, else a checksum.
    pub is_sealed: bool,
    /// Messages of a flow in order, else all as they come.
    pub is_ordered: bool,
    /// Repair datagrams while datagrams are lost.
    pub redundancy: bool,
    /// CUBIC instead of the default controller.
    pub cubic: bool,
}

struct RudpEnd {
    endpoint: Endpoint,
    remote: SocketAddr,
    remote_node: NodeId,
    peer: Option<PeerId>,
    is_ordered: bool,
    delivered: VecDeque<Bytes>,
    buffer: Vec<u8>,
    fault: Option<String>,
}

/// Both ends.
pub fn ends(setting: Setting, options: Options) -> Pair {
    let (client, server) = setting.addresses;
    let mut rng = Rng::new(setting.seed);
    let mut end = |node, remote, remote_node| {
        let mode = if options.is_sealed {
            let current = ClusterKey { id: 1, secret: [7; 32] };
            Mode::Sealed(ClusterKeys { current, other: None })
        } else {
            Mode::Plain
        };
        let mut config = Config::new(node, BootId(rng.next_u64()), mode);
        config.redundancy = options.redundancy;
        if options.cubic {
            config.controller = ControllerKind::Cubic;
        }
        let seed = std::array::from_fn(|_| rng.next_u64() as u8);
        RudpEnd {
            endpoint: Endpoint::new(Arc::new(config), seed),
            remote,
            remote_node,
            peer: None,
            is_ordered: options.is_ordered,
            delivered: VecDeque::new(),
            buffer: Vec::new(),
            fault: None,
        }
    };
    let (near, far) = (NodeId(1), NodeId(2));
    (Box::new(end(near, server, far)), Box::new(end(far, client, near)))
}

impl RudpEnd {
    fn handle_events(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Connected { peer, .. } => self.peer = Some(peer),
                Event::Message { message, .. } => self.delivered.push_back(message),
                Event::Writable { .. } | Event::Suspect { .. } | Event::Recovered { .. } => {}
                Event::Restarted { .. } | Event::Lost { .. } | Event::Closed { .. } => {
                    self.fault = Some(format!("session over: {event:?}"));
                }
            }
        }
    }
}

impl End for RudpEnd {
    fn connect(&mut self, now_ns: u64) {
        let connected = self.endpoint.connect(Time(now_ns), self.remote_node, self.remote);
        if let Err(error) = connected {
            self.fault = Some(error.to_string());
        }
    }

    fn is_ready(&self) -> bool {
        self.peer.is_some()
    }

    fn send(&mut self, now_ns: u64, flow: u32, message: &Bytes) -> bool {
        let Some(peer) = self.peer else {
            return false;
        };
        let flow = if self.is_ordered { Flow::Ordered(flow) } else { Flow::Unordered };
        match self.endpoint.send(Time(now_ns), peer, flow, message.clone()) {
            Ok(_) => true,
            Err(SendError::WouldBlock) => false,
            Err(error) => {
                self.fault = Some(error.to_string());
                false
            }
        }
    }

    fn handle_datagram(&mut self, now_ns: u64, mut datagram: Datagram) {
        let ecn = datagram.ecn.map(|mark| match mark {
            Ecn::Ect0 => aldis_rudp::Ecn::Ect0,
            Ecn::Ect1 => aldis_rudp::Ecn::Ect1,
            Ecn::Ce => aldis_rudp::Ecn::Ce,
        });
        let (now, from) = (Time(now_ns), datagram.from);
        self.endpoint.handle_datagram(now, from, ecn, &mut datagram.bytes);
        self.handle_events();
    }

    fn handle_timeout(&mut self, now_ns: u64) {
        self.endpoint.handle_timeout(Time(now_ns));
        self.handle_events();
    }

    fn poll_timeout(&mut self, _now_ns: u64) -> Option<u64> {
        self.endpoint.poll_timeout().map(|at| at.0)
    }

    fn poll_transmit(&mut self, now_ns: u64) -> Option<Outgoing> {
        self.buffer.clear();
        let transmit = self.endpoint.poll_transmit(Time(now_ns), &mut self.buffer)?;
        let ecn = transmit.ecn.map(|mark| match mark {
            aldis_rudp::Ecn::Ect0 => Ecn::Ect0,
            aldis_rudp::Ecn::Ect1 => Ecn::Ect1,
            aldis_rudp::Ecn::Ce => Ecn::Ce,
        });
        Some(Outgoing { bytes: self.buffer.clone(), ecn, headers: UDP_HEADERS })
    }

    fn poll_messages(&mut self, _now_ns: u64, deliver: Deliver<'_>) {
        self.delivered.drain(..).for_each(|message| deliver(&message));
    }

    fn fault(&self) -> Option<String> {
        self.fault.clone()
    }
}
