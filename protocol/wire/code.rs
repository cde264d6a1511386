//! Status codes of responses: one enum, the same table as in PROTOCOL.md.

/// The `code` field of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Code {
    /// Done; for a mutating request: durable.
    Ok = 0,
    /// The header is wrong or the frame too large; the connection closes.
    BadFrame = 1,
    /// The body cannot be decoded or breaks a rule of PROTOCOL.md.
    BadRequest = 2,
    /// Unknown command.
    Unsupported = 3,
    /// Only LOGIN, REGISTER and HEARTBEAT are answered before a login.
    NotLoggedIn = 4,
    /// Unknown user, wrong password, or a token that is invalid or revoked.
    BadCredentials = 5,
    /// The token was good but its time is over.
    TokenExpired = 6,
    /// Does not exist, or is not the asker's.
    NotFound = 7,
    /// Exists and is visible, but the asker may not do this.
    Forbidden = 8,
    /// The id or name is taken by something else.
    Conflict = 9,
    /// A field is over its limit.
    TooLarge = 10,
    /// Too many of these; wait `retry_after_ms`.
    RateLimited = 11,
    /// Not now, and nothing happened; wait `retry_after_ms`.
    Busy = 12,
    /// The client's position is not on the server: take the heads and start there.
    Resync = 13,
    /// The store cannot be reached, or the outcome is unknown; try again with the same id.
    Unavailable = 14,
    /// The server's own fault; the outcome is unknown.
    Internal = 15,
}

impl Code {
    /// Every code, ascending.
    pub const ALL: [Code; 16] = [
        Code::Ok,
        Code::BadFrame,
        Code::BadRequest,
        Code::Unsupported,
        Code::NotLoggedIn,
        Code::BadCredentials,
        Code::TokenExpired,
        Code::NotFound,
        Code::Forbidden,
        Code::Conflict,
        Code::TooLarge,
        Code::RateLimited,
        Code::Busy,
        Code::Resync,
        Code::Unavailable,
        Code::Internal,
    ];

    /// The code with this number.
    pub fn from_u16(number: u16) -> Option<Code> {
        Code::ALL.get(usize::from(number)).copied()
    }

    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        self as u16
    }

    /// Whether the request certainly had its effect (OK) or certainly had none (all others but
    /// UNAVAILABLE and INTERNAL, after which it may have had it).
    pub fn is_definite(self) -> bool {
        !matches!(self, Code::Unavailable | Code::Internal)
    }

    /// Whether the same request can succeed later without any change.
    pub fn is_retryable(self) -> bool {
        matches!(self, Code::RateLimited | Code::Busy | Code::Unavailable)
    }

    /// Name as in PROTOCOL.md.
    pub fn name(self) -> &'static str {
        match self {
            Code::Ok => "OK",
            Code::BadFrame => "BAD_FRAME",
            Code::BadRequest => "BAD_REQUEST",
            Code::Unsupported => "UNSUPPORTED",
            Code::NotLoggedIn => "NOT_LOGGED_IN",
            Code::BadCredentials => "BAD_CREDENTIALS",
            Code::TokenExpired => "TOKEN_EXPIRED",
            Code::NotFound => "NOT_FOUND",
            Code::Forbidden => "FORBIDDEN",
            Code::Conflict => "CONFLICT",
            Code::TooLarge => "TOO_LARGE",
            Code::RateLimited => "RATE_LIMITED",
            Code::Busy => "BUSY",
            Code::Resync => "RESYNC",
            Code::Unavailable => "UNAVAILABLE",
            Code::Internal => "INTERNAL",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions_in_the_table() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(code.as_u16()), number);
            assert_eq!(Code::from_u16(code.as_u16()), Some(code));
        }
        assert_eq!(Code::from_u16(16), None);
    }
}
