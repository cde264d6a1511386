//! Goal: an administrator adds users beside the running server, which knows them at once; names and
//! passwords obey the same rules as with REGISTER.

use std::process::Stdio;

use aldis_scenario::{RawClient, Server, aldisd};
use aldis_wire::DeviceClass;

const PASSWORD: &str = "given by the administrator";

#[test]
fn a_user_added_beside_the_running_server_logs_in_at_once() {
    let server = Server::start();
    let before = RawClient::register(server.address(), "before", PASSWORD);
    let args = ["user-add", "Ada.Lovelace", "--nickname", "Ada 👩‍💻"];
    let said = server.admin(&args, &[("ALDIS_PASSWORD", PASSWORD)]);
    assert!(said.contains("ada.lovelace"), "{said}");
    let after = RawClient::register(server.address(), "after", PASSWORD);
    assert_ne!(before, after);
    RawClient::login(server.address(), "ADA.lovelace", PASSWORD, DeviceClass::Phone);
    // Those that the server made know each other's ids; the new one has one of its own.
    assert!(!said.contains(&before.to_string()) && !said.contains(&after.to_string()), "{said}");
}

#[test]
fn the_administrator_is_held_to_the_rules_too() {
    let server = Server::start();
    server.admin(&["user-add", "taken"], &[("ALDIS_PASSWORD", PASSWORD)]);
    let attempts =
        [("no spaces", PASSWORD), ("short", "seven77"), ("taken", PASSWORD), ("x/y", PASSWORD)];
    for (name, password) in attempts {
        let output = aldisd()
            .arg("--config")
            .arg(server.config_path())
            .args(["admin", "user-add", name])
            .env("ALDIS_PASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .expect("aldisd runs");
        assert!(!output.status.success(), "{name} was added");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("aldisd: ") && !said.contains(password), "{said}");
    }
}
