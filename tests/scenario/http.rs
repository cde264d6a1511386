//! Requests over HTTP/1.1 as bytes on a socket, so that wrong ones can be sent too. Knows no route.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// No answer takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Clone, Debug)]
pub struct HttpReply {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As text.
    pub body: String,
}

impl HttpReply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `error.code` of the body.
    pub fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().expect("a code").to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { status, headers, body: body.to_owned() })
    }
}

/// Sends these bytes and reads until the server closes; `None` if it says nothing.
pub fn http_raw(address: SocketAddr, bytes: &[u8]) -> Option<HttpReply> {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout");
    // A server that has heard enough may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    read_reply(&mut stream)
}

/// Reads an answer and the end behind it.
pub fn read_reply(stream: &mut TcpStream) -> Option<HttpReply> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    HttpReply::parse(&String::from_utf8_lossy(&answer))
}

/// Asks for a page.
pub fn http_get(address: SocketAddr, path: &str) -> HttpReply {
    let text = format!("GET {path} HTTP/1.1\r\nHost: aldis\r\nConnection: close\r\n\r\n");
    http_raw(address, text.as_bytes()).expect("an answer")
}

/// Posts JSON, with further header lines.
pub fn http_post_with(address: SocketAddr, path: &str, headers: &str, body: &str) -> HttpReply {
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: aldis\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    http_raw(address, text.as_bytes()).expect("an answer")
}

/// Posts JSON.
pub fn http_post(address: SocketAddr, path: &str, body: &Value) -> HttpReply {
    http_post_with(address, path, "", &body.to_string())
}
