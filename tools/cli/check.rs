//! `aldis check`: judges recorded histories and says why. Knows the checker, not its invariants.

use std::path::PathBuf;
use std::process::ExitCode;

use aldis_check::{History, LineRef, Verdict, check};
use anyhow::Context;
use clap::Args;

/// Exit code for a history that breaks a promise.
const INVALID: u8 = 1;
/// Exit code for a history that does not allow a judgement.
const UNKNOWN: u8 = 4;
/// Lines named per violation; more do not help.
const LINES_SHOWN_MAX: usize = 6;

/// Judge what clients recorded against the promises of the server.
///
/// The files are the histories of one run, as JSON lines. Exit code: 0 valid, 1 invalid, 4 unknown
/// (something needed for a judgement is missing), 2 usage or a file that cannot be read. A promise
/// that nothing in the files is about is named as not judged; it does not change the verdict.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// All files of the run.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Reads, judges, prints.
pub fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let history = match History::read_files(&args.files).context("cannot read the history") {
        Ok(history) => history,
        Err(error) => {
            eprintln!("aldis check: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let verdict = check(&history);
    if args.json {
        println!("{}", as_json(&history, &verdict));
    } else {
        print!("{}", as_text(&history, &verdict));
    }
    Ok(match verdict {
        Verdict::Valid => ExitCode::SUCCESS,
        Verdict::Invalid { .. } => ExitCode::from(INVALID),
        Verdict::Unknown(_) => ExitCode::from(UNKNOWN),
    })
}

fn locations(history: &History, lines: &[LineRef]) -> Vec<String> {
    lines.iter().take(LINES_SHOWN_MAX).map(|line| history.locate(*line)).collect()
}

fn as_text(history: &History, verdict: &Verdict) -> String {
    let summary = history.summary();
    let mut text = format!(
        "{} sends ({} acknowledged, {} refused), {} pushes, {} syncs, {} history pages, \
         {} logins, {} group changes, {} different entries\n",
        summary.sends,
        summary.acknowledged,
        summary.refused,
        summary.pushes,
        summary.syncs,
        summary.histories,
        summary.logins,
        summary.group_changes,
        summary.entries,
    );
    let not_judged: Vec<String> =
        history.not_judged().iter().map(|invariant| invariant.to_string()).collect();
    match verdict {
        Verdict::Valid => text.push_str("valid\n"),
        Verdict::Unknown(reasons) => {
            text.push_str("unknown\n");
            text.extend(reasons.iter().map(|reason| format!("  {reason}\n")));
        }
        Verdict::Invalid { violations, counts } => {
            text.push_str("invalid\n");
            for (invariant, count) in counts {
                text.push_str(&format!("{invariant}: {count}\n"));
                for violation in violations.iter().filter(|v| v.invariant == *invariant) {
                    let lines = locations(history, &violation.lines).join(", ");
                    text.push_str(&format!("  {} ({lines})\n", violation.what));
                }
            }
        }
    }
    text.extend(not_judged.iter().map(|invariant| format!("not judged: {invariant}\n")));
    text
}

fn as_json(history: &History, verdict: &Verdict) -> serde_json::Value {
    let summary = history.summary();
    let (name, reasons, violations) = match verdict {
        Verdict::Valid => ("valid", vec![], vec![]),
        Verdict::Unknown(reasons) => ("unknown", reasons.clone(), vec![]),
        Verdict::Invalid { violations, .. } => ("invalid", vec![], violations.clone()),
    };
    let violations: Vec<_> = violations
        .iter()
        .map(|violation| {
            serde_json::json!({
                "invariant": format!("{:?}", violation.invariant),
                "what": violation.what,
                "lines": locations(history, &violation.lines),
            })
        })
        .collect();
    let violations_in_all: usize = match verdict {
        Verdict::Invalid { counts, .. } => counts.values().sum(),
        _ => 0,
    };
    let not_judged: Vec<String> =
        history.not_judged().iter().map(|invariant| format!("{invariant:?}")).collect();
    serde_json::json!({
        "verdict": name,
        "not_judged": not_judged,
        "sends": summary.sends,
        "acknowledged": summary.acknowledged,
        "refused": summary.refused,
        "pushes": summary.pushes,
        "syncs": summary.syncs,
        "history_pages": summary.histories,
        "logins": summary.logins,
        "group_changes": summary.group_changes,
        "entries": summary.entries,
        "violations_in_all": violations_in_all,
        "violations": violations,
        "reasons": reasons,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_explained_in_both_forms() {
        let history = History::parse("h", "");
        let verdict = check(&history);
        assert!(as_text(&history, &verdict).contains("unknown\n  nothing was sent"));
        assert_eq!(as_json(&history, &verdict)["verdict"], "unknown");
        assert!(as_text(&history, &verdict).contains("\nnot judged: I10 "));
        assert_eq!(as_json(&history, &verdict)["not_judged"][0], "I10");
        let push = r#"{"run":"r","t_ns":1,"process":"p","op":"push","phase":"ok","id":1,
            "args":{"user":9},"result":{"head":1,"entries":[{"seq":1,"msg_id":1,"conv":[1,2],
            "conv_seq":1,"sender":1,"client_msg_id":"","kind":1,"hash":"0"}]}}"#;
        let history = History::parse("h", &push.replace('\n', ""));
        let verdict = check(&history);
        let text = as_text(&history, &verdict);
        assert!(text.contains("I8 nobody reads outside") && text.contains("(h:1)"), "{text}");
        let json = as_json(&history, &verdict);
        assert_eq!((&json["verdict"], &json["violations_in_all"]), (&"invalid".into(), &2.into()));
    }
}
