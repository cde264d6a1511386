//! `aldis register`: creates a user.

use std::process::ExitCode;

use aldis_client::SavedState;
use aldis_client::core::Start;
use aldis_wire::{DeviceClass, limits};
use clap::Args;

use crate::connect::{ConnectArgs, ask_password, environment_password};
use crate::exit::usage;

/// Create a user.
///
/// The password comes from ALDIS_PASSWORD or a prompt.
#[derive(Args, Debug)]
pub struct RegisterArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// How others see the user [default: the user name].
    #[arg(long, default_value = "", hide_default_value = true)]
    nickname: String,
}

/// Runs the command.
pub fn run(args: RegisterArgs) -> anyhow::Result<ExitCode> {
    let user = args.connect.username()?;
    let password = match environment_password() {
        Some(password) => password,
        None => {
            let password = ask_password(&user)?;
            if ask_password(&format!("{user} once more"))? != password {
                return Err(usage("the two passwords differ"));
            }
            password
        }
    };
    if !(limits::PASSWORD_BYTES_MIN..=limits::PASSWORD_BYTES_MAX).contains(&password.len()) {
        return Err(usage(format!(
            "a password has {} to {} bytes",
            limits::PASSWORD_BYTES_MIN,
            limits::PASSWORD_BYTES_MAX
        )));
    }
    // No session is opened, so the device does not matter.
    let mut client =
        args.connect.client(DeviceClass::Web, "register", Start::Head, SavedState::default())?;
    let user_id = client.register(&user, &password, &args.nickname)?;
    println!("registered {user} with id {user_id}");
    Ok(ExitCode::SUCCESS)
}
