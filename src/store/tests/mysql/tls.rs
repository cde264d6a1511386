//! An encrypted connection is encrypted and leads to the right server, or there is none.

use std::path::{Path, PathBuf};
use std::process::Command;

use aldis_services::{MariaDb, MariaDbOptions};
use aldis_store::mysql::migrate;

/// A folder with a certificate authority and a certificate of 127.0.0.1.
struct Certificates(PathBuf);

impl Certificates {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("aldis-tls-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("extensions"), "subjectAltName = IP:127.0.0.1\n").unwrap();
        let certificates = Self(folder);
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        certificates.openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca"));
        certificates.openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=db"));
        certificates.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem \
             -extfile extensions",
        );
        certificates.openssl(&format!("req -x509 {key} -keyout x.key -out other.pem -subj /CN=x"));
        certificates
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .output()
            .expect("openssl (Debian package openssl; tests/run installs it)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> String {
        Path::new(&self.0).join(name).display().to_string()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_encrypted_connection_leads_to_the_server_that_the_authority_names() {
    let certificates = Certificates::new();
    let args = ["ssl-ca=ca.pem", "ssl-cert=server.pem", "ssl-key=server.key"].map(|arg| {
        let (option, file) = arg.split_once('=').unwrap();
        format!("--{option}={}", certificates.path(file))
    });
    let args = args.to_vec();
    let server = MariaDb::start_with(MariaDbOptions { args, ..MariaDbOptions::default() });
    let database = server.fresh_database();
    let name = database.rsplit('/').next().unwrap();
    server.sql(&format!(
        "CREATE USER im@'127.0.0.1' REQUIRE SSL; GRANT ALL ON {name}.* TO im@'127.0.0.1'"
    ));
    let url = format!("mysql://im@127.0.0.1:{}/{name}", server.port());

    let error = migrate::migrate(&url).unwrap_err().to_string();
    assert!(error.contains("Access denied"), "{error}");
    let trusted = format!("{url}?root_cert_path={}", certificates.path("ca.pem"));
    migrate::migrate(&trusted).unwrap();
    migrate::check(&format!("{trusted}&require_ssl=true")).unwrap();
    for strange in [
        format!("{url}?require_ssl=true"),
        format!("{url}?root_cert_path={}", certificates.path("other.pem")),
        // The certificate is that of an address.
        trusted.replace("127.0.0.1", "localhost"),
    ] {
        let error = migrate::check(&strange).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }
}

#[test]
fn a_server_without_encryption_is_refused_where_it_is_required() {
    let url = MariaDb::shared().fresh_database();
    let error = migrate::check(&format!("{url}?require_ssl=true")).unwrap_err().to_string();
    assert!(error.contains("secure connection"), "{error}");
}
