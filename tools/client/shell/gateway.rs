//! Asks an installation which of its nodes to connect to (`GET /v1/gateway`). Knows HTTP as far as
//! that takes; waits for the answer.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use ureq::config::Config;

/// A server with this in front is one to ask, not one to connect to.
const SCHEME: &str = "http://";
/// Time for the whole question: an answer that takes longer is no help.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 4 << 10;

/// The answer, as far as it counts.
#[derive(Deserialize)]
struct Answer {
    gateway: String,
}

/// Whether this is the URL of a gateway rather than a `host:port`.
pub fn is_gateway(server: &str) -> bool {
    server.starts_with(SCHEME)
}

/// The `host:port` of the node to connect to now. Asked anew for each connection: the node of the
/// last one may be gone.
pub fn ask_gateway(url: &str) -> io::Result<String> {
    let agent = Config::builder()
        .timeout_global(Some(ANSWER_TIME_MAX))
        .max_redirects(0)
        // Nodes are one's own: what a user's environment says of the web is not meant for them.
        .proxy(None)
        .build()
        .new_agent();
    let url = format!("{}/v1/gateway", url.trim_end_matches('/'));
    let mut answer = agent.get(url).call().map_err(|error| other(&error.to_string()))?;
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let text = text.map_err(|error| other(&error.to_string()))?;
    let answer: Answer = serde_json::from_str(&text).map_err(|_| other("it names no node"))?;
    Ok(answer.gateway)
}

fn other(why: &str) -> io::Error {
    io::Error::other(format!("asking for a node: {why}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer to one question; its URL.
    fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                heard.extend(byte);
            }
            assert!(heard.starts_with(b"GET /v1/gateway HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn the_answer_names_a_node() {
        let url = answering(
            "HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n{\"gateway\":\"10.0.0.7:7700\"}\r\n",
        );
        assert!(is_gateway(&url) && !is_gateway("127.0.0.1:7700"));
        assert_eq!(ask_gateway(&url).unwrap(), "10.0.0.7:7700");
    }

    #[test]
    fn anything_else_is_an_error() {
        for answer in [
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n{",
            "IM\u{1}\u{0}",
        ] {
            assert!(ask_gateway(&answering(answer)).is_err(), "{answer}");
        }
        assert!(ask_gateway("http://127.0.0.1:1").is_err(), "nobody listens there");
    }
}
