//! Goal: PROTOCOL.md and client.proto are enough to write a client: one in another language, written
//! from them alone, does everything and meets every documented error code that it can cause.

use std::process::Command;

use aldis_scenario::Server;

#[test]
fn a_client_written_from_the_specification_works() {
    let server = Server::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/client.py");
    let python = std::env::var("ALDIS_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(&python)
        .arg(script)
        .arg(server.address().ip().to_string())
        .arg(server.address().port().to_string())
        .output()
        .unwrap_or_else(|error| panic!("{python}: {error}: apt-get install python3"));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}\n(tests/run makes the Python environment it needs)");
    assert!(said.lines().any(|line| line.ends_with(" passed, 0 failed")), "it checked something");
}
