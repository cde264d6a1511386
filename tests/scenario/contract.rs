//! Every frame that a test's client receives is held against the table of PROTOCOL.md.

use aldis_wire::{Code, Command, Message, is_allowed, pb};

use crate::Reply;

/// Panics if a server must not send this frame, whatever was asked.
pub fn assert_conforms(reply: &Reply) {
    let header = reply.header;
    let code = Code::from_u16(header.code).expect("the server sends known codes");
    // Some ids of notifications are one above an unknown command, whose answer has a code.
    if code == Code::Ok && Command::NOTIFICATIONS.iter().any(|c| c.id() == header.cmd) {
        assert_eq!(header.seq, 0, "a notification has no seq");
        return;
    }
    match Command::request(header.cmd.wrapping_sub(1)) {
        // What is no frame is answered so to any command.
        _ if code == Code::BadFrame => {}
        Some(command) => {
            assert!(is_allowed(command, code), "{command:?} must not be answered {code}");
        }
        None => assert_eq!(code, Code::Unsupported, "the answer to an unknown command"),
    }
    if code != Code::Ok {
        let error = pb::Error::decode(reply.body.as_slice()).expect("an Error");
        assert!(!error.message.is_empty(), "{code} says why");
        let says_when = matches!(code, Code::RateLimited | Code::Busy);
        assert_eq!(error.retry_after_ms > 0, says_when, "retry_after_ms goes with {code}");
    }
}
