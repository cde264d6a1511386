//! What other threads tell the link. Data only.

use std::sync::Arc;

use aldis_directory::{NodeRecord, Sessions};
use aldis_logic::cluster::{KickOrder, Outgoing};
use aldis_logic::{Hints, Notice};

/// One piece of mail.
#[derive(Debug)]
pub enum LinkMail {
    /// Entries that were committed here.
    Outgoing(Vec<Outgoing>),
    /// Users are told something that is in no store.
    Notice(Notice),
    /// Whose sessions began or ended here.
    Hints(Arc<Hints>),
    /// A login here took a session's place elsewhere.
    Kick(KickOrder),
    /// The directory answered.
    Found {
        /// Of the question.
        number: u32,
        /// Where they are.
        sessions: Sessions,
    },
    /// The nodes that there are.
    Nodes(Vec<NodeRecord>),
    /// The node goes away.
    Stop,
}
