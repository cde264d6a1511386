//! Any text as a configuration: it is refused with a place in it, or what it says is safe. The fuzzer
//! of tests/fuzz runs the same function; knows what must hold, not how it is checked.

use std::path::Path;

use super::{Config, ConfigError};

/// Runs one input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let config = match Config::parse(&text, Path::new("node.toml"), |_| None) {
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
    let (shown, url) = (format!("{config:?}"), &config.store.url.get_ref().0);
    let account = url.rsplit_once('@').and_then(|(front, _)| front.split_once("://"));
    if let Some((_, secret)) = account
        && secret.len() >= SECRET_BYTES_MIN
        // What stands elsewhere in the file, too, may be shown.
        && text.matches(secret).count() == 1
    {
        assert!(!shown.contains(secret), "the database's password is shown");
    }
}

/// What is shorter stands in a configuration by chance.
const SECRET_BYTES_MIN: usize = 16;

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
