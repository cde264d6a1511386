//! Any text as a configuration: it is refused with a place in it, or what it says is safe. The fuzzer
//! of tests/fuzz runs the same function; knows what must hold, not how it is checked.

use std::path::Path;

use super::{Config, ConfigError};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("node.toml"), |_| None)
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let config = match parse(&text) {
        Ok(config) => config,
        Err(error) => return check_error(&text, &error),
    };
    let listen = &config.listen;
    let is_open = !listen.client.get_ref().ip().is_loopback();
    assert!(!is_open || listen.tls.is_some() || listen.allow_plaintext, "clients without TLS");
    if let Some(cluster) = &config.cluster {
        assert!(cluster.is_on_loopback() || cluster.has_key(), "a link in the clear");
    }
    if let Some(admin) = &config.admin.listen {
        assert!(admin.get_ref().ip().is_loopback() || config.admin.allow_remote, "open metrics");
    }
    let [soft, hard] = [&config.connection.output_soft_kib, &config.connection.output_hard_kib];
    assert!(soft.get_ref() < hard.get_ref(), "the largest answer would close its connection");
    check_account(&text, &config);
}

/// With another account of the same length for its database, the same is shown.
fn check_account(text: &str, config: &Config) {
    let url = &config.store.url;
    let front = url.get_ref().0.rsplit_once('@').and_then(|(front, _)| front.split_once("://"));
    let Some((_, account)) = front else { return };
    if account.is_empty() || text.matches(account).count() != 1 {
        return;
    }
    let changed = text.replace(account, &"x".repeat(account.len()));
    if let Ok(other) = parse(&changed)
        && other.store.url != *url
    {
        assert_eq!(format!("{other:?}"), format!("{config:?}"), "the database's account is shown");
    }
}

fn check_error(text: &str, error: &ConfigError) {
    let lines = text.matches('\n').count() + 1;
    match error {
        ConfigError::Rule { line, .. } => assert!(*line <= lines, "line {line} of {lines}"),
        ConfigError::Parse { .. } => assert!(!error.to_string().is_empty()),
        ConfigError::Read { .. } => panic!("nothing is read"),
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn any_text_is_refused_or_means_something_safe() {
    replay::replay("config", run);
}
