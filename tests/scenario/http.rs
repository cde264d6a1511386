//! Requests over HTTP/1.1 as bytes on a socket, so that wrong ones can be sent too, and what is read
//! from a page of metrics. Knows no other route.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
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

/// The page of metrics at an admin listener.
pub fn scrape(admin: SocketAddr) -> String {
    let reply = http_get(admin, "/metrics");
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").expect("a kind").starts_with("text/plain; version=0.0.4"));
    reply.body
}

/// The value of a metric, with its labels if it has some, as on the page.
pub fn metric(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.rsplit_once(' ').is_some_and(|(key, _)| key == name));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
}

/// The sum of a metric over all its labels; 0 if there is none.
pub fn metric_sum(page: &str, name: &str) -> f64 {
    let rows = page.lines().filter_map(|line| line.strip_prefix(name));
    let rows = rows.filter(|rest| rest.starts_with(' ') || rest.starts_with('{'));
    rows.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// `promtool check metrics`, which also knows the conventions for names and units.
pub fn assert_clean(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: apt-get install prometheus (tests/run installs it)");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(page.as_bytes()).expect("written");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
