//! Who is online where, across nodes: the Directory trait and its backends. It is a hint that makes
//! things fast; the store decides. Knows no connection and no message.

mod memory;

use aldis_logic::job::{
    DirectoryJob, DirectoryReply, DirectoryRequest, Registration, SessionRecord,
};
use aldis_wire::UserId;

pub use memory::MemoryDirectory;

/// Sessions of all nodes. Calls may block on the network: they run on the directory's own thread.
pub trait Directory {
    /// Announces a session; the higher epoch of a user's class wins.
    fn register(&mut self, record: SessionRecord) -> Registration;

    /// Takes a session back if it is still the one announced.
    fn unregister(&mut self, record: SessionRecord);

    /// Live sessions of the users, on whichever node.
    fn sessions_of(&mut self, users: &[UserId]) -> Vec<SessionRecord>;
}

/// Carries out one request; the reply, if somebody waits for one.
pub fn handle_request(
    directory: &mut impl Directory,
    request: DirectoryRequest,
) -> Option<DirectoryReply> {
    match request.job {
        DirectoryJob::Register(record) => {
            let registration = directory.register(record);
            Some(DirectoryReply { ticket: request.ticket, registration })
        }
        DirectoryJob::Unregister(record) => {
            directory.unregister(record);
            None
        }
    }
}
