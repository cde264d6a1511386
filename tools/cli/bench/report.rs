//! The result of a run: one JSON object or a table. Only computes what the counts say.

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;

use super::args::CommonArgs;
use super::tally::Tally;
use super::workers::Measured;

/// Percentiles, microseconds; absent without samples.
#[derive(Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
        })
    }
}

#[derive(Serialize)]
struct Fault {
    kind: &'static str,
    count: u64,
    first: String,
}

/// All that a run says. Names and units of the fields are the JSON interface; what a load does not
/// measure, or needs --server-pid, is null.
#[derive(Serialize)]
pub(super) struct Report {
    load: &'static str,
    settings: Value,
    sessions: usize,
    threads: usize,
    /// Measured time, s.
    seconds: f64,
    /// Messages that reached a receiver.
    deliveries_per_s: f64,
    /// Sends or heartbeats answered OK.
    acks_per_s: f64,
    errors: u64,
    faults: Vec<Fault>,
    /// Send to receive.
    latency_us: Option<Latency>,
    /// Send to answer.
    ack_latency_us: Option<Latency>,
    /// Per send or heartbeat that was answered OK.
    server_cpu_us_per_message: Option<f64>,
    /// Per message that reached a receiver.
    server_cpu_us_per_delivery: Option<f64>,
    /// Of one core.
    server_cpu_percent: Option<f64>,
    client_cpu_us_per_message: Option<f64>,
    server_pss_bytes: Option<u64>,
    /// Idle: growth since before the first connection, divided by their number.
    pss_per_connection_bytes: Option<f64>,
    /// Pushes without entries: the server told a slow reader to sync.
    hints: u64,
    /// Pushes that did not follow the one before.
    gaps: u64,
    /// MSG_SYNC made for hints and gaps.
    syncs: u64,
    /// Sends repeated after BUSY, RATE_LIMITED or UNAVAILABLE.
    retries: u64,
    /// Of the handshakes, warm-up included, those that went on with earlier keys.
    resumed: u64,
    #[serde(skip)]
    as_json: bool,
}

fn per(total_us: Option<u64>, count: u64) -> Option<f64> {
    total_us.filter(|_| count > 0).map(|us| us as f64 / count as f64)
}

impl Report {
    fn new(
        load: &'static str,
        args: &CommonArgs,
        settings: Value,
        measured: &Measured<Tally>,
        tally: &Tally,
        sessions: usize,
    ) -> Self {
        let seconds = measured.elapsed.as_secs_f64();
        // Counts are of the planned time; the samples of processor time lie a little around it.
        let planned = args.seconds;
        let faults = tally.faults.iter();
        Self {
            load,
            settings,
            sessions,
            threads: args.threads,
            seconds: planned,
            deliveries_per_s: tally.deliveries as f64 / planned,
            acks_per_s: tally.acks as f64 / planned,
            errors: tally.faults.count(),
            faults: faults
                .map(|(kind, count, first)| Fault { kind, count, first: first.to_owned() })
                .collect(),
            latency_us: Latency::of(&tally.latency),
            ack_latency_us: Latency::of(&tally.ack_latency),
            server_cpu_us_per_message: None,
            server_cpu_us_per_delivery: per(measured.server_cpu_us, tally.deliveries),
            server_cpu_percent: measured.server_cpu_us.map(|us| us as f64 / 1e4 / seconds),
            client_cpu_us_per_message: None,
            server_pss_bytes: measured.server_pss_bytes,
            pss_per_connection_bytes: None,
            hints: tally.hints,
            gaps: tally.gaps,
            syncs: tally.syncs,
            retries: tally.retries,
            resumed: tally.resumed,
            as_json: args.json,
        }
    }

    /// Of loads that send messages or requests.
    pub fn of_load(
        load: &'static str,
        args: &CommonArgs,
        settings: Value,
        mut measured: Measured<Tally>,
        sessions: usize,
    ) -> Self {
        let tally = merge(&mut measured);
        let mut report = Self::new(load, args, settings, &measured, &tally, sessions);
        report.server_cpu_us_per_message = per(measured.server_cpu_us, tally.acks);
        report.client_cpu_us_per_message = per(Some(measured.client_cpu_us), tally.acks);
        report
    }

    /// Of connections that do nothing; `pss_before` was taken before the first one.
    pub fn of_idle(
        args: &CommonArgs,
        settings: Value,
        mut measured: Measured<Tally>,
        sessions: usize,
        pss_before: Option<u64>,
    ) -> Self {
        let tally = merge(&mut measured);
        let mut report = Self::new("idle", args, settings, &measured, &tally, sessions);
        report.pss_per_connection_bytes = measured
            .server_pss_bytes
            .zip(pss_before)
            .map(|(after, before)| (after as f64 - before as f64) / sessions as f64);
        report
    }

    /// Whether nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.errors == 0
    }

    /// Prints it on standard output in the form that was asked for.
    pub fn print(&self) -> anyhow::Result<()> {
        if self.as_json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            print!("{}", self.table());
        }
        Ok(())
    }

    fn table(&self) -> String {
        let settings = self.settings.as_object().into_iter().flatten();
        let settings: Vec<String> = settings
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let mut rows = vec![
            (self.load.to_owned(), settings.join(", ")),
            ("sessions".to_owned(), self.sessions.to_string()),
            ("measured".to_owned(), format!("{} s", self.seconds)),
        ];
        let mut row = |name: &str, value: Option<String>| {
            rows.extend(value.map(|value| (name.to_owned(), value)));
        };
        let number = |value: f64| (value > 0.0).then(|| format!("{value:.0}"));
        let us = |value: Option<f64>| value.map(|us| format!("{us:.2} us"));
        row("deliveries/s", number(self.deliveries_per_s));
        row("acks/s", number(self.acks_per_s));
        row("send to receive", self.latency_us.as_ref().map(latency_text));
        row("send to ack", self.ack_latency_us.as_ref().map(latency_text));
        row("server CPU per message", us(self.server_cpu_us_per_message));
        row("server CPU per delivery", us(self.server_cpu_us_per_delivery));
        row(
            "server CPU",
            self.server_cpu_percent.map(|percent| format!("{percent:.0} % of a core")),
        );
        row("client CPU per message", us(self.client_cpu_us_per_message));
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1048576.0);
        row("server memory (PSS)", self.server_pss_bytes.map(mib));
        let bytes = self.pss_per_connection_bytes.map(|bytes| format!("{bytes:.0} bytes"));
        row("memory per connection", bytes);
        let counts = [
            ("hints", self.hints),
            ("gaps", self.gaps),
            ("syncs", self.syncs),
            ("retries", self.retries),
            ("resumed", self.resumed),
        ];
        for (name, count) in counts {
            row(name, (count > 0).then(|| count.to_string()));
        }
        row("errors", Some(self.errors.to_string()));
        for fault in &self.faults {
            row("", Some(format!("{} {} (first: {})", fault.count, fault.kind, fault.first)));
        }
        rows.iter().map(|(name, value)| format!("{name:24} {value}\n")).collect()
    }
}

fn latency_text(latency: &Latency) -> String {
    let Latency { p50, p90, p99, p999, max } = latency;
    format!("p50 {p50:.0}  p90 {p90:.0}  p99 {p99:.0}  p99.9 {p999:.0}  max {max:.0} us")
}

fn merge(measured: &mut Measured<Tally>) -> Tally {
    let mut all = Tally::default();
    measured.outputs.drain(..).for_each(|tally| all.merge(tally));
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: CommonArgs,
    }

    #[test]
    fn the_json_has_the_promised_fields_and_the_table_the_faults() {
        let line = Line::parse_from(["x", "--tokens", "t", "--seconds", "2"]);
        let window = super::super::workers::Window { start_ns: 0, measure_ns: 1, end_ns: 100 };
        let mut tally = Tally::default();
        for at in [50, 60] {
            tally.delivered(&window, 10, at);
            tally.acked(&window, 10, at);
        }
        tally.faults.add("sends without an answer", || "first".to_owned());
        let measured = Measured {
            outputs: vec![tally],
            server_cpu_us: Some(30),
            server_pss_bytes: Some(1 << 20),
            client_cpu_us: 20,
            elapsed: Duration::from_secs(2),
        };
        let settings = serde_json::json!({ "pairs": 1, "rate": null });
        let report = Report::of_load("chat", &line.common, settings, measured, 2);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["deliveries_per_s"], 1.0);
        assert_eq!(json["server_cpu_us_per_message"], 15.0);
        assert_eq!(json["client_cpu_us_per_message"], 10.0);
        assert_eq!((&json["errors"], &json["sessions"]), (&1.into(), &2.into()));
        assert_eq!(json["latency_us"].as_object().unwrap().len(), 5);
        assert!(json["ack_latency_us"]["p999"].is_number());
        assert!(json["pss_per_connection_bytes"].is_null());
        let table = report.table();
        assert!(table.contains("1 sends without an answer (first: first)"), "{table}");
        assert!(!report.is_clean());
    }
}
