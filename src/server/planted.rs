//! Which bug the environment wants planted: ALDIS_PLANTED_BUG. Built only with the feature `planted-bugs`.

use aldis_logic::planted::{RequestBug, plant};
use anyhow::bail;

/// Names of bugs in what requests get. Those of the MySQL store are where it is opened.
const REQUEST_BUGS: [(&str, RequestBug); 5] = [
    ("panic", RequestBug::Panic),
    ("leak", RequestBug::Leak),
    ("wrong-code", RequestBug::WrongCode),
    ("others-mailbox", RequestBug::OthersMailbox),
    ("unauthenticated", RequestBug::Unauthenticated),
];

/// The bug that is wanted.
pub fn name() -> Option<String> {
    std::env::var("ALDIS_PLANTED_BUG").ok()
}

/// An error unless nothing is wanted, or a bug in what requests get.
pub fn check(name: Option<&str>) -> anyhow::Result<()> {
    match name {
        Some(name) if REQUEST_BUGS.iter().all(|(known, _)| *known != name) => {
            bail!("ALDIS_PLANTED_BUG={name} is unknown")
        }
        _ => Ok(()),
    }
}

/// Makes answers to requests wrong, if that is wanted.
pub fn plant_request_bug() {
    let wanted = name();
    let bug = REQUEST_BUGS.iter().find(|(known, _)| wanted.as_deref() == Some(*known));
    plant(bug.map(|(_, bug)| *bug));
}
