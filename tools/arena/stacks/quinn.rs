//! quinn-proto: QUIC (RFC 9000) with its keys, one connection, with one stream for everything, one
//! for each flow, or one for each message. Settings are quinn's own except for windows, which are
//! wide enough never to be the limit, and the controller.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aldis_netsim::{Datagram, Ecn, Rng, UDP_HEADERS};
use bytes::{Bytes, BytesMut};
use quinn_proto::congestion::{BbrConfig, CubicConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint, Endpoint,
    EndpointConfig, Event, ServerConfig, StreamEvent, StreamId, Transmit, TransportConfig, VarInt,
};

use super::framing::{Unframer, prefix};
use super::{Pair, Setting};
use crate::end::{Deliver, End, Outgoing};

/// Streams that may be open: as many messages as are under way at 100 ms, ten times over. quinn
/// takes memory for each in advance.
const STREAMS_MAX: u32 = 1 << 14;
/// Wide enough for 1 Gbit/s at 100 ms.
const WINDOW_BYTES: u32 = 32 << 20;
const SERVER_NAME: &str = "arena";

/// How messages map to streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// All in one.
    One,
    /// One for each flow.
    PerFlow,
    /// One for each message.
    PerMessage,
}

/// The congestion controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// quinn's default.
    Cubic,
    /// Its BBR (version 1).
    Bbr,
}

/// A stream that is being read.
#[derive(Default)]
struct Reader {
    unframer: Unframer,
    chunks: Vec<Bytes>,
}

/// A message that was written in part.
struct Partial {
    stream: StreamId,
    rest: Vec<Bytes>,
}

struct QuinnEnd {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    client_config: Option<ClientConfig>,
    remote: SocketAddr,
    base: Instant,
    streams: Streams,
    senders: HashMap<u32, StreamId>,
    partial: Option<Partial>,
    readers: HashMap<StreamId, Reader>,
    /// Answers of the endpoint itself.
    responses: VecDeque<Outgoing>,
    delivered: VecDeque<Bytes>,
    is_ready: bool,
    fault: Option<String>,
}

/// Both ends.
pub fn ends(setting: Setting, streams: Streams, controller: Controller) -> anyhow::Result<Pair> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let certificate = rcgen::CertificateParams::new([SERVER_NAME.into()])?.self_signed(&key)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut server = ServerConfig::with_single_cert(vec![certificate.into()], private.into())?;
    let mut client = ClientConfig::with_root_certificates(Arc::new(roots))?;
    let mut initial_cids = Rng::new(setting.seed ^ 1).fork().next_u64();
    initial_cids |= 1;
    client.initial_dst_cid_provider(Arc::new(move || {
        quinn_proto::ConnectionId::new(&initial_cids.to_le_bytes())
    }));
    let transport = Arc::new(transport(controller));
    server.transport_config(Arc::clone(&transport));
    client.transport_config(transport);
    let mut rng = Rng::new(setting.seed);
    let base = Instant::now();
    let mut end = |remote, server: Option<ServerConfig>, client_config| {
        let seed = std::array::from_fn(|_| rng.next_u64() as u8);
        let config = Arc::new(EndpointConfig::default());
        QuinnEnd {
            endpoint: Endpoint::new(config, server.map(Arc::new), true, Some(seed)),
            connection: None,
            client_config,
            remote,
            base,
            streams,
            senders: HashMap::new(),
            partial: None,
            readers: HashMap::new(),
            responses: VecDeque::new(),
            delivered: VecDeque::new(),
            is_ready: false,
            fault: None,
        }
    };
    let (client_address, server_address) = setting.addresses;
    let client = end(server_address, None, Some(client));
    Ok((Box::new(client), Box::new(end(client_address, Some(server), None))))
}

fn transport(controller: Controller) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(WINDOW_BYTES.into());
    match controller {
        Controller::Cubic => {
            transport.congestion_controller_factory(Arc::new(CubicConfig::default()))
        }
        Controller::Bbr => transport.congestion_controller_factory(Arc::new(BbrConfig::default())),
    };
    transport
}

impl QuinnEnd {
    fn at(&self, now_ns: u64) -> Instant {
        self.base + Duration::from_nanos(now_ns)
    }

    /// Carries events between endpoint, connection and application until there are none.
    fn handle_events(&mut self) {
        let Some((handle, connection)) = &mut self.connection else {
            return;
        };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = self.connection.as_mut().and_then(|(_, one)| one.poll()) {
            match event {
                Event::Connected => self.is_ready = true,
                Event::ConnectionLost { reason } => self.fault = Some(reason.to_string()),
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => self.accept(),
                Event::Stream(StreamEvent::Readable { id }) => self.read(id),
                Event::Stream(_)
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
        self.write_partial();
    }

    fn accept(&mut self) {
        while let Some(id) =
            self.connection.as_mut().and_then(|(_, one)| one.streams().accept(Dir::Uni))
        {
            self.read(id);
        }
    }

    fn read(&mut self, id: StreamId) {
        let Some((_, connection)) = &mut self.connection else {
            return;
        };
        let mut stream = connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else {
            return;
        };
        let reader = self.readers.entry(id).or_default();
        let is_finished = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) if self.streams == Streams::PerMessage => {
                    reader.chunks.push(chunk.bytes);
                }
                Ok(Some(chunk)) => {
                    reader.unframer.extend(&chunk.bytes);
                    self.delivered.extend(std::iter::from_fn(|| reader.unframer.poll()));
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        // Every end is drained after every input, so that nothing more is to be done for windows.
        let _ = chunks.finalize();
        if is_finished {
            let reader = self.readers.remove(&id).unwrap_or_default();
            let mut chunks = reader.chunks;
            match chunks.len() {
                0 => {}
                1 => self.delivered.extend(chunks.pop()),
                _ => self.delivered.push_back(chunks.concat().into()),
            }
        }
    }

    /// The stream for a message, opened where it is a new one.
    fn stream(&mut self, flow: u32) -> Option<StreamId> {
        let (_, connection) = self.connection.as_mut()?;
        let key = match self.streams {
            Streams::PerMessage => return connection.streams().open(Dir::Uni),
            Streams::PerFlow => flow,
            Streams::One => 0,
        };
        if let Some(id) = self.senders.get(&key) {
            return Some(*id);
        }
        let id = connection.streams().open(Dir::Uni)?;
        self.senders.insert(key, id);
        Some(id)
    }

    /// Writes on what was written in part.
    fn write_partial(&mut self) {
        let (Some((_, connection)), Some(mut partial)) =
            (&mut self.connection, self.partial.take())
        else {
            return;
        };
        let mut stream = connection.send_stream(partial.stream);
        let written = stream.write_chunks(&mut partial.rest).map_or(0, |written| written.chunks);
        partial.rest.drain(..written);
        if !partial.rest.is_empty() {
            self.partial = Some(partial);
        } else if self.streams == Streams::PerMessage {
            let _ = stream.finish();
        }
    }

    fn accept_response(&mut self, transmit: Transmit, mut buffer: Vec<u8>) {
        buffer.truncate(transmit.size);
        self.responses.push_back(outgoing(transmit.ecn, buffer));
    }
}

fn outgoing(ecn: Option<EcnCodepoint>, bytes: Vec<u8>) -> Outgoing {
    let ecn = ecn.map(|mark| match mark {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    });
    Outgoing { bytes, ecn, headers: UDP_HEADERS }
}

impl End for QuinnEnd {
    fn connect(&mut self, now_ns: u64) {
        let config = self.client_config.take().expect("the client connects, once");
        let now = self.at(now_ns);
        match self.endpoint.connect(now, config, self.remote, SERVER_NAME) {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn send(&mut self, _now_ns: u64, flow: u32, message: &Bytes) -> bool {
        if self.partial.is_some() {
            return false;
        }
        let Some(stream) = self.stream(flow) else {
            return false;
        };
        let mut rest = Vec::with_capacity(2);
        if self.streams != Streams::PerMessage {
            rest.push(Bytes::copy_from_slice(&prefix(message)));
        }
        rest.push(message.clone());
        self.partial = Some(Partial { stream, rest });
        self.write_partial();
        true
    }

    fn handle_datagram(&mut self, now_ns: u64, datagram: Datagram) {
        let now = self.at(now_ns);
        let ecn = datagram.ecn.map(|mark| match mark {
            Ecn::Ect0 => EcnCodepoint::Ect0,
            Ecn::Ect1 => EcnCodepoint::Ect1,
            Ecn::Ce => EcnCodepoint::Ce,
        });
        let data = BytesMut::from(Bytes::from(datagram.bytes));
        let mut buffer = Vec::new();
        match self.endpoint.handle(now, datagram.from, None, ecn, data, &mut buffer) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                match self.endpoint.accept(incoming, now, &mut buffer, None) {
                    Ok(connection) => self.connection = Some(connection),
                    Err(error) => {
                        self.fault = Some(error.cause.to_string());
                        if let Some(response) = error.response {
                            self.accept_response(response, buffer);
                        }
                    }
                }
            }
            Some(DatagramEvent::Response(transmit)) => self.accept_response(transmit, buffer),
            None => {}
        }
        self.handle_events();
    }

    fn handle_timeout(&mut self, now_ns: u64) {
        let now = self.at(now_ns);
        if let Some((_, connection)) = &mut self.connection {
            connection.handle_timeout(now);
        }
        self.handle_events();
    }

    fn poll_timeout(&mut self, _now_ns: u64) -> Option<u64> {
        let at = self.connection.as_mut()?.1.poll_timeout()?;
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).ok()
    }

    fn poll_transmit(&mut self, now_ns: u64) -> Option<Outgoing> {
        if let Some(response) = self.responses.pop_front() {
            return Some(response);
        }
        let now = self.at(now_ns);
        let mut buffer = Vec::with_capacity(1_500);
        let transmit = self.connection.as_mut()?.1.poll_transmit(now, 1, &mut buffer);
        // Sending may have produced endpoint events such as new connection ids.
        self.handle_events();
        transmit.map(|transmit| outgoing(transmit.ecn, buffer))
    }

    fn poll_messages(&mut self, _now_ns: u64, deliver: Deliver<'_>) {
        self.delivered.drain(..).for_each(|message| deliver(&message));
    }

    fn fault(&self) -> Option<String> {
        self.fault.clone()
    }
}
