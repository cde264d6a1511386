//! The page that Prometheus reads: every metric with name, help and type, in the text format 0.0.4.
//! Names and units by <https://prometheus.io/docs/practices/naming/>. Counts nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aldis_logic::Node;
use aldis_logic::job::{DirectoryRequest, HashRequest, ReadRequest, WriteRequest};
use aldis_net::CloseReason;
use aldis_wire::{Code, Command};
use crossbeam::channel::Receiver;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::{Count, Metrics, ReactorCounts, process};
use crate::http::Gateways;

/// Where the numbers come from.
pub struct Sources {
    /// Counted.
    pub metrics: Arc<Metrics>,
    /// Sessions and failures of the store.
    pub node: Arc<Node>,
    /// Whether the directory can be reached.
    pub gateways: Arc<Gateways>,
    /// Whether the node is going away.
    pub is_draining: Arc<AtomicBool>,
    /// Queues of the workers; nothing is taken from them here.
    pub write_queue: Receiver<WriteRequest>,
    /// See there.
    pub read_queue: Receiver<ReadRequest>,
    /// See there.
    pub hash_queue: Receiver<HashRequest>,
    /// See there.
    pub directory_queue: Receiver<DirectoryRequest>,
}

/// The whole page.
pub fn page(sources: &Sources) -> prometheus::Result<String> {
    let mut page = Page::default();
    page.node(sources);
    page.connections(&sources.metrics);
    page.traffic(&sources.metrics);
    page.store_and_directory(sources);
    page.queues(sources);
    page.link(&sources.metrics.link.lock());
    for reading in process::readings() {
        let kind = if reading.is_counter { MetricType::COUNTER } else { MetricType::GAUGE };
        page.family(reading.name, reading.help, kind, vec![(Vec::new(), reading.value)]);
    }
    let mut families = sources.metrics.registry.gather();
    families.extend(page.families);
    prometheus::TextEncoder::new().encode_to_string(&families)
}

/// One number of a reactor.
type CountOf = fn(&ReactorCounts) -> &Count;
/// Labels of one metric.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The page so far.
#[derive(Default)]
pub(super) struct Page {
    families: Vec<MetricFamily>,
}

impl Page {
    fn node(&mut self, sources: &Sources) {
        let config = &sources.node.config;
        let labels = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("node", config.node.0.to_string()),
        ];
        let help = "1; the labels say which program runs as which node.";
        self.family("aldis_build_info", help, MetricType::GAUGE, vec![(labels, 1.0)]);
        let sessions = sources.node.table.session_count() as u64;
        self.gauge("aldis_sessions", "Sessions that are logged in.", sessions);
        let is_draining = sources.is_draining.load(Ordering::Relaxed);
        let help = "1 while the node is going away and takes no new clients.";
        self.gauge("aldis_draining", help, is_draining.into());
    }

    fn connections(&mut self, metrics: &Metrics) {
        let sum = |of: &dyn Fn(&ReactorCounts) -> u64| {
            metrics.reactors.iter().map(|reactor| of(reactor)).sum::<u64>()
        };
        let accepted = sum(&|reactor| reactor.accepted.get());
        let closed = sum(&|reactor| reactor.closed.iter().map(Count::get).sum());
        self.gauge(
            "aldis_connections",
            "Open client connections.",
            accepted.saturating_sub(closed),
        );
        self.counter("aldis_connections_accepted_total", "Client connections accepted.", accepted);
        self.counter(
            "aldis_connections_refused_total",
            "Client connections closed at once because too many were open.",
            sum(&|reactor| reactor.refused.get()),
        );
        self.counter(
            "aldis_accept_failures_total",
            "Client connections not accepted for want of descriptors or memory.",
            sum(&|reactor| reactor.accept_failures.get()),
        );
        let reasons = CloseReason::ALL.into_iter().map(|reason| {
            let count = sum(&|reactor| reactor.closed[reason as usize].get());
            (vec![("reason", reason.name().to_owned())], count as f64)
        });
        self.family(
            "aldis_connections_closed_total",
            "Client connections closed, by reason.",
            MetricType::COUNTER,
            reasons.collect(),
        );
    }

    fn traffic(&mut self, metrics: &Metrics) {
        let sum =
            |of: CountOf| metrics.reactors.iter().map(|reactor| of(reactor).get()).sum::<u64>();
        let of_reactors: [(_, _, CountOf); 13] = [
            ("aldis_frames_received_total", "Frames from clients.", |one| &one.frames_in),
            ("aldis_frames_sent_total", "Frames queued for clients.", |one| &one.frames_out),
            ("aldis_received_bytes_total", "Bytes from clients.", |one| &one.bytes_in),
            ("aldis_sent_bytes_total", "Bytes to clients.", |one| &one.bytes_out),
            ("aldis_socket_reads_total", "System calls that read.", |one| &one.read_calls),
            ("aldis_socket_writes_total", "System calls that write.", |one| &one.write_calls),
            ("aldis_pushes_dropped_total", "Pushes replaced by a hint: slow readers.", |one| {
                &one.pushes_dropped
            }),
            (
                "aldis_pauses_total",
                "Connections that sent too much and were not read for a while.",
                |one| &one.pauses,
            ),
            ("aldis_reactor_turns_total", "Turns of the reactors.", |one| &one.turns),
            ("aldis_reactor_wakeups_total", "Times that mail woke a reactor.", |one| &one.wakeups),
            ("aldis_kicks_total", "Sessions ended by a newer login or a revocation.", |one| {
                &one.kicks
            }),
            ("aldis_head_checks_total", "Batches of sessions compared with the store.", |one| {
                &one.head_checks
            }),
            ("aldis_directory_overflows_total", "Requests that found its queue full.", |one| {
                &one.directory_overflows
            }),
        ];
        for (name, help, of) in of_reactors {
            self.counter(name, help, sum(of));
        }
        self.requests(metrics);
    }

    /// Only what happened: most commands never give most codes.
    fn requests(&mut self, metrics: &Metrics) {
        let names = Command::REQUESTS.iter().map(|command| format!("{command:?}"));
        let mut found = Vec::new();
        for (row, command) in names.chain(["Unknown".to_owned()]).enumerate() {
            for (column, code) in Code::ALL.into_iter().enumerate() {
                let counts = metrics.reactors.iter().map(|one| one.requests.0[row][column].get());
                let count = counts.sum::<u64>();
                if count > 0 {
                    let labels = vec![("command", command.clone()), ("code", code.to_string())];
                    found.push((labels, count as f64));
                }
            }
        }
        let help = "Answered requests of clients, by command and code.";
        self.family("aldis_requests_total", help, MetricType::COUNTER, found);
    }

    fn store_and_directory(&mut self, sources: &Sources) {
        let messages = sources.metrics.writer.messages.load(Ordering::Relaxed);
        let help = "Messages committed, each once however often it was sent.";
        self.counter("aldis_messages_committed_total", help, messages);
        let outages = &sources.node.outages;
        let is_failing = outages.is_failing();
        let help = "0 if the last write failed for want of the store.";
        self.gauge("aldis_store_up", help, (!is_failing).into());
        let help = "Times that writes began to fail for want of the store.";
        let begun = u64::from(outages.ended_count()) + u64::from(is_failing);
        self.counter("aldis_store_outages_total", help, begun);
        let help = "0 while the directory (Redis) cannot be reached.";
        self.gauge("aldis_directory_up", help, sources.gateways.is_up().into());
        let help = "Times that the directory was found unreachable.";
        self.counter("aldis_directory_outages_total", help, sources.gateways.outage_count());
        let help = "Nodes that take new clients, as this node sees them.";
        self.gauge("aldis_open_nodes", help, sources.gateways.open_count() as u64);
    }

    fn queues(&mut self, sources: &Sources) {
        let queues = [
            ("write", sources.write_queue.len(), sources.write_queue.capacity()),
            ("read", sources.read_queue.len(), sources.read_queue.capacity()),
            ("hash", sources.hash_queue.len(), sources.hash_queue.capacity()),
            ("directory", sources.directory_queue.len(), sources.directory_queue.capacity()),
        ];
        let labelled = |name: &str| vec![("queue", name.to_owned())];
        let lengths = queues.map(|(name, len, _)| (labelled(name), len as f64));
        let help = "Jobs that wait for a worker.";
        self.family("aldis_queue_jobs", help, MetricType::GAUGE, lengths.into());
        let limits = queues.map(|(name, _, limit)| (labelled(name), limit.unwrap_or(0) as f64));
        let help = "Jobs that the queue has room for.";
        self.family("aldis_queue_limit_jobs", help, MetricType::GAUGE, limits.into());
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, MetricType::COUNTER, vec![(Vec::new(), value as f64)]);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, MetricType::GAUGE, vec![(Vec::new(), value as f64)]);
    }

    pub(super) fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: Vec<(Labels, f64)>,
    ) {
        // The encoder takes a family without a metric for an error.
        if values.is_empty() {
            return;
        }
        let metrics = values.into_iter().map(|(labels, value)| {
            let pairs = labels.into_iter().map(|(name, value)| {
                let mut pair = LabelPair::default();
                pair.set_name(name.to_owned());
                pair.set_value(value);
                pair
            });
            let mut metric = Metric::from_label(pairs.collect());
            if kind == MetricType::COUNTER {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics.collect());
        self.families.push(family);
    }
}
