//! `aldis send`: one message, acknowledged.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use aldis_client::core::Outgoing;
use aldis_client::{Start, Target};
use aldis_wire::{ClientMsgId, DeviceClass, limits, pb};
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use crate::connect::ConnectArgs;
use crate::exit::usage;
use crate::names::Names;
use crate::print::hex;

/// Send one message and wait until it is durable.
#[derive(Args, Debug)]
pub struct SendArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print the acknowledgement as JSON.
    #[arg(long)]
    json: bool,
    /// 32 hexadecimal digits; a repeat with the same id and text changes nothing.
    #[arg(long, value_name = "HEX")]
    client_msg_id: Option<String>,
    /// User name, id:NUMBER or group:NUMBER.
    to: String,
    /// The text; standard input if there is none.
    text: Vec<String>,
}

/// Runs the command.
pub fn run(args: SendArgs) -> anyhow::Result<ExitCode> {
    let text = match args.text.as_slice() {
        [] => read_text()?,
        words => words.join(" "),
    };
    check_text(&text)?;
    let given_id = args.client_msg_id.as_deref().map(parse_client_msg_id).transpose()?;
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let to = session_target(&mut session, &args.to)?;
    let client_msg_id = match given_id {
        Some(id) => id,
        None => {
            let (core, now) = session.client.core_mut();
            ClientMsgId(core.new_request_id(now).0)
        }
    };
    let message = Outgoing {
        target: to,
        client_msg_id,
        kind: pb::MsgType::Text,
        content: Bytes::from(text),
        extra: Bytes::new(),
        refs: None,
    };
    // A session that was taken away keeps the message; the next one sends it again.
    session.client.core_mut().0.send(message)?;
    let ack = session.with_retry(|client| client.wait_acked(client_msg_id))?;
    if args.json {
        let line = json!({
            "msg_id": ack.msg_id.to_string(), "seq": ack.seq, "conv_seq": ack.conv_seq,
            "time_ms": ack.send_time_ms, "client_msg_id": hex(&client_msg_id.0),
        });
        println!("{line}");
    } else {
        println!("sent: message {} of the conversation", ack.conv_seq);
    }
    Ok(ExitCode::SUCCESS)
}

fn session_target(session: &mut crate::connect::Session, typed: &str) -> anyhow::Result<Target> {
    Names::default().resolve(&mut session.client, typed)
}

fn read_text() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("Type the message, then Ctrl-D on a line of its own:");
    }
    let mut bytes = Vec::new();
    // One byte above the limit is enough to know that it is too long.
    stdin.lock().take(limits::TEXT_BYTES_MAX as u64 + 3).read_to_end(&mut bytes)?;
    let mut text = String::from_utf8(bytes).map_err(|_| usage("the text is not UTF-8"))?;
    // The line feed that ends a file is not part of the message.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn check_text(text: &str) -> anyhow::Result<()> {
    match text.len() {
        0 => Err(usage("the text is empty")),
        len if len > limits::TEXT_BYTES_MAX => {
            Err(usage(format!("the text is over {} bytes", limits::TEXT_BYTES_MAX)))
        }
        _ => Ok(()),
    }
}

fn parse_client_msg_id(text: &str) -> anyhow::Result<ClientMsgId> {
    let mut id = [0; 16];
    let is_hex = text.len() == 2 * id.len() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex {
        return Err(usage("--client-msg-id has 32 hexadecimal digits"));
    }
    for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits)?;
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(ClientMsgId(id))
}
