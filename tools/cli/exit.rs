//! Exit codes: one list for all commands, and which error gives which. Prints errors; nothing else.

use std::process::ExitCode;

use aldis_client::ClientError;
use aldis_wire::Code;

/// What `--help` says about exit codes.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  refused by the server, or what was checked is not as it should be
  2  wrong usage, or an input file that breaks the rules
  3  the server cannot be reached
  4  no answer in time
  5  the session was ended by another login or by an administrator
  6  a local file, the terminal or another resource of this machine failed

Environment:
  ALDIS_SERVER, ALDIS_USER   defaults of --server and --user
  ALDIS_GATEWAY              default of --gateway
  ALDIS_PASSWORD             the password, instead of a prompt
  ALDIS_LOG                  what to log to stderr, for example `debug`
  XDG_CONFIG_HOME            where device ids and tokens are kept (default ~/.config)
  NO_COLOR                   no colours";

/// Refused by the server, or a comparison that failed.
pub const REFUSED: u8 = 1;
/// Wrong usage or bad input.
pub const USAGE: u8 = 2;
/// No connection.
pub const UNREACHABLE: u8 = 3;
/// No answer in time.
pub const TIMEOUT: u8 = 4;
/// Kicked.
pub const KICKED: u8 = 5;
/// Files, terminal and the like.
pub const LOCAL: u8 = 6;

/// An error of the user's, not of a machine: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Something that the server does not have: exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MissingError(pub String);

/// A usage error with this text.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    UsageError(text.into()).into()
}

/// Prints why a command failed and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    // A reader that went away (`aldis sync | head`) is no failure worth words.
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("aldis: {}", crate::terminal::escape(&format!("{error:#}")));
    if is_unknown_user(error) {
        eprintln!("New here? `aldis register --user NAME` makes an account.");
    }
    ExitCode::from(code_of(error))
}

fn code_of(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<UsageError>() {
            return USAGE;
        }
        if cause.is::<MissingError>() {
            return REFUSED;
        }
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return match error {
                ClientError::Refused { .. } | ClientError::Protocol => REFUSED,
                ClientError::Unreachable { .. } => UNREACHABLE,
                ClientError::Timeout => TIMEOUT,
                ClientError::Kicked { .. } | ClientError::Stopped => KICKED,
                ClientError::Submit(_) => USAGE,
                ClientError::Io(_) => LOCAL,
            };
        }
    }
    LOCAL
}

/// Whether the server knows no such user with this password; it does not say which of the two.
fn is_unknown_user(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<ClientError>(),
            Some(ClientError::Refused { code: Code::BadCredentials, .. })
        )
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn errors_keep_their_code_under_context() {
        let refused = ClientError::Refused {
            code: Code::NotFound,
            message: String::new(),
            maybe_done: false,
        };
        let error = Err::<(), _>(refused).context("sending").unwrap_err();
        assert_eq!(code_of(&error), REFUSED);
        assert_eq!(code_of(&usage("no")), USAGE);
        assert_eq!(code_of(&anyhow::anyhow!("else")), LOCAL);
    }
}
