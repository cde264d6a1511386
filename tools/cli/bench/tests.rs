//! Whole runs against a test server: clean ones are clean, planted faults are found.

use clap::Parser;
use serde_json::Value;

use super::args::LoadKind;
use super::report::Report;
use super::test_server::{Planted, start, tokens};
use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    bench: BenchArgs,
}

/// Runs a load for a short time and returns its JSON.
fn bench(planted: Planted, name: &str, line: &str) -> Value {
    let server = start(planted).to_string();
    let tokens = tokens(24, name);
    let pid = std::process::id().to_string();
    let tail = [
        "--server",
        &server,
        "--tokens",
        tokens.to_str().unwrap(),
        "--seconds",
        "0.3",
        "--warmup",
        "0.1",
        "--server-pid",
        &pid,
    ];
    let args = Line::parse_from(["bench"].into_iter().chain(line.split(' ')).chain(tail));
    let report: Report = match args.bench.load {
        LoadKind::Chat(args) => chat::run(&args).unwrap(),
        LoadKind::Heartbeat(args) => heartbeat::run(&args).unwrap(),
        LoadKind::Idle(args) => idle::run(&args).unwrap(),
        LoadKind::Fanout(args) => fanout::run(&args).unwrap(),
        LoadKind::Handshake(args) => handshake::run(&args).unwrap(),
        LoadKind::Flood(_) => panic!("a flood says nothing of messages"),
    };
    std::fs::remove_file(tokens).unwrap();
    serde_json::to_value(&report).unwrap()
}

fn faults(result: &Value) -> Vec<&str> {
    let faults = result["faults"].as_array().unwrap().iter();
    faults.map(|fault| fault["kind"].as_str().unwrap()).collect()
}

#[test]
fn chat_with_a_correct_server_is_clean_in_all_its_forms() {
    for (number, line) in [
        "chat --pairs 2 --window 1",
        "chat --pairs 4 --both --window 8 --threads 2",
        "chat --pairs 2 --both --window 4 --wait-delivery --payload 40",
        "chat --pairs 2 --rate 500",
    ]
    .into_iter()
    .enumerate()
    {
        let result = bench(Planted::Nothing, &format!("clean{number}"), line);
        assert_eq!(result["errors"], 0, "{line}: {result}");
        assert!(result["deliveries_per_s"].as_f64().unwrap() > 0.0, "{line}: {result}");
        assert!(result["acks_per_s"].as_f64().unwrap() > 0.0, "{line}: {result}");
        assert!(result["latency_us"]["p99"].is_number(), "{line}: {result}");
    }
}

#[test]
fn heartbeat_idle_and_fanout_with_a_correct_server_are_clean() {
    let result = bench(Planted::Nothing, "beat", "heartbeat --connections 20 --window 3");
    assert_eq!((&result["errors"], &result["sessions"]), (&0.into(), &20.into()), "{result}");
    assert!(result["acks_per_s"].as_f64().unwrap() > 0.0, "{result}");
    let result = bench(Planted::Nothing, "idle", "idle --connections 24");
    assert_eq!(result["errors"], 0, "{result}");
    assert!(result["pss_per_connection_bytes"].is_number(), "{result}");
    let result = bench(Planted::Nothing, "fan", "fanout --members 8 --groups 3 --window 2");
    assert_eq!(result["errors"], 0, "{result}");
    let ratio =
        result["deliveries_per_s"].as_f64().unwrap() / result["acks_per_s"].as_f64().unwrap();
    assert!((5.0..9.0).contains(&ratio), "{result}");
}

#[test]
fn lost_pushes_are_made_up_for_by_a_sync_and_are_no_error() {
    let result = bench(Planted::HintInsteadOfPush, "hint", "chat --pairs 1 --window 4");
    assert_eq!((&result["errors"], &result["hints"]), (&0.into(), &1.into()), "{result}");
    assert!(result["syncs"].as_u64().unwrap() >= 1, "{result}");
    let result = bench(Planted::SilentLossOfPush, "silent", "chat --pairs 1 --window 4");
    assert_eq!(result["errors"], 0, "{result}");
    assert!(result["gaps"].as_u64().unwrap() >= 1, "{result}");
    // Without a later message only the head in a heartbeat's answer tells.
    // Seven per second for 0.4 s are three messages.
    let result = bench(Planted::SilentLossOfPush, "rare", "chat --pairs 1 --rate 7");
    assert_eq!((&result["errors"], &result["gaps"]), (&0.into(), &0.into()), "{result}");
    assert!(result["syncs"].as_u64().unwrap() >= 1, "{result}");
}

#[test]
fn refused_sends_are_repeated_in_order_until_they_pass() {
    let result = bench(Planted::Busy, "busy", "chat --pairs 1 --window 4");
    assert_eq!(result["errors"], 0, "{result}");
    assert!(result["retries"].as_u64().unwrap() >= 1, "{result}");
}

#[test]
fn what_a_broken_server_does_is_found_and_named() {
    for (planted, want) in [
        (Planted::LostAfterAck, "messages missing in a sync"),
        (Planted::PushedTwice, "messages pushed twice"),
        (Planted::StoredTwice, "messages stored twice"),
        (Planted::Changed, "contents that changed"),
        (Planted::Forbidden, "refused sends"),
    ] {
        let result = bench(planted, &format!("{planted:?}"), "chat --pairs 1 --window 4 --drain 3");
        assert!(faults(&result).contains(&want), "{planted:?}: {result}");
    }
}
