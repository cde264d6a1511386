//! What a hub did since it began. Data only.

/// See the file's first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Messages with an entry that were sent for the first time, one for each node.
    pub delivers_sent: u64,
    /// Such messages that were sent again, because their first node had denied the recipient.
    pub second_sent: u64,
    /// Messages with an entry that came.
    pub delivers_heard: u64,
    /// Recipients that another node does not have.
    pub not_here_heard: u64,
    /// Recipients that another node has with a newer epoch.
    pub stale_heard: u64,
    /// Recipients that went to nodes although nobody knew where they are.
    pub guessed: u64,
    /// Kicks that were sent, repetitions included.
    pub kicks_sent: u64,
    /// Kicks that came.
    pub kicks_heard: u64,
    /// Sessions here that they ended.
    pub kicked: u64,
    /// Times that other nodes were told to check their sessions.
    pub checks_sent: u64,
    /// Times that they told this one.
    pub checks_heard: u64,
    /// Notifications that were sent, one for each node.
    pub notices_sent: u64,
    /// Notifications that came.
    pub notices_heard: u64,
    /// Notifications that were dropped here, in whole or for some of their users.
    pub notices_dropped: u64,
    /// Times that a node became one that can be talked to.
    pub opened: u64,
}
