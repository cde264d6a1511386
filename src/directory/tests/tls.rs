//! Goal: with rediss:// the directory talks to Redis over TLS, and only to one whose certificate comes
//! from where it should.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aldis_directory::{Directory, NodeAnnouncement, RedisDirectory, RedisOptions};
use aldis_logic::AttemptRules;
use aldis_logic::job::{BootId, NodeId};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// What takes longer never comes.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A Redis that speaks TLS only, with a certificate of its own authority for 127.0.0.1.
struct TlsRedis {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl TlsRedis {
    fn start() -> Self {
        let dir = TempDir::with_prefix("aldis-redis-tls-").unwrap();
        write_certificates(&dir);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let file = |name: &str| dir.path().join(name).display().to_string();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "redis-server"])
            .args(["--port", "0", "--bind", "127.0.0.1", "--tls-port", &port.to_string()])
            .args(["--tls-cert-file", &file("server.pem"), "--tls-key-file", &file("server.key")])
            .args(["--tls-ca-cert-file", &file("ca.pem"), "--tls-auth-clients", "no"])
            .args(["--save", "", "--appendonly", "no", "--dir", &dir.path().display().to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("setpriv and redis-server: apt-get install util-linux redis-server");
        Self { dir, port, child }
    }

    fn url(&self, root_certs: &str) -> String {
        let path = self.dir.path().join(root_certs);
        format!("rediss://127.0.0.1:{}/?root_cert_path={}", self.port, path.display())
    }
}

impl TlsRedis {
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for TlsRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_certificates(dir: &TempDir) {
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
    };
    let ((ours, issuer), (theirs, _)) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    write("ca.pem", ours);
    write("other-ca.pem", theirs);
    write("server.pem", server.signed_by(&key, &issuer).unwrap().pem());
    write("server.key", key.serialize_pem());
}

fn directory(url: String) -> RedisDirectory {
    RedisDirectory::new(RedisOptions {
        urls: vec![url],
        node: NodeId(1),
        boot: BootId(1),
        store_epoch: 1,
        announcement: NodeAnnouncement::default(),
        attempts: AttemptRules::default(),
    })
    .unwrap()
}

#[test]
fn a_certificate_must_come_from_the_authority_that_is_named() {
    let redis = TlsRedis::start();
    let (mut good, mut bad) =
        (directory(redis.url("ca.pem")), directory(redis.url("other-ca.pem")));
    let start = Instant::now();
    loop {
        let now_ms = start.elapsed().as_millis() as u64;
        good.maintain(now_ms);
        bad.maintain(now_ms);
        assert!(bad.nodes_of(now_ms, &[NodeId(1)]).is_err(), "another authority's certificate");
        if good.nodes_of(now_ms, &[NodeId(1)]).is_ok_and(|nodes| nodes.len() == 1) {
            break;
        }
        assert!(start.elapsed() < WAIT_MAX, "no TLS connection comes about");
        std::thread::sleep(Duration::from_millis(50));
    }
    for _ in 0..30 {
        let now_ms = start.elapsed().as_millis() as u64;
        bad.maintain(now_ms);
        assert!(bad.nodes_of(now_ms, &[NodeId(1)]).is_err(), "another authority's certificate");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The kernel still connects; nobody greets.
    redis.signal("-STOP");
    let mut late = directory(redis.url("ca.pem"));
    for now_ms in (0..10_000).step_by(1_000) {
        late.maintain(now_ms);
        assert!(late.nodes_of(now_ms, &[NodeId(1)]).is_err());
    }
    redis.signal("-CONT");
}
