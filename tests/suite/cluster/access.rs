//! Who is served: a token and TLS guard the way, and nobody is told a secret.

use std::path::Path;
use std::process::Command;

use super::{Worker, hits, lakehunt, run, stderr, tenant};

/// A certificate for localhost and its key, which is its own authority.
pub(super) fn certificate(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
        .output()
        .expect("openssl makes the certificate");
    assert!(made.status.success(), "{}", stderr(&made));
    (path("cert.pem"), path("key.pem"))
}

#[test]
fn a_token_and_tls_guard_the_way_and_no_secret_is_told() {
    const TOKEN: &str = "T0KEN-of-this-test";
    const SECRET: &str = "S3CRET-of-the-store";
    let folder = tenant(6, 2_000);
    let (cert, key) = certificate(folder.path());
    let log = folder.path().join("worker.log");
    let worker = Worker::start(|command| {
        command.args([
            "-vv",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--worker-ca",
            &cert,
            "--worker-name",
            "localhost",
        ]);
        command.env("LAKEHUNT_WORKER_TOKEN", TOKEN).stderr(std::fs::File::create(&log).unwrap());
    });
    assert!(worker.url.starts_with("https://127.0.0.1:"), "{}", worker.url);
    let asked = |output: &str, token: &str| {
        let mut command = run(folder.path(), output, "1d");
        command.args(["-vv", "--workers", &worker.url, "--worker-ca", &cert, "--worker-name", "localhost"]);
        command.env("LAKEHUNT_WORKER_TOKEN", token).env("AWS_SECRET_ACCESS_KEY", SECRET).output().unwrap()
    };
    let done = asked("out", TOKEN);
    assert!(done.status.success(), "{}", stderr(&done));
    let refused = asked("other", "T0KEN-of-another");
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(hits(&folder.path().join("other")).is_empty());
    for said in [stderr(&done), stderr(&refused), std::fs::read_to_string(&log).unwrap()] {
        assert!(!said.contains("T0KEN") && !said.contains(SECRET), "{said}");
    }
}

#[test]
fn a_worker_without_guards_is_for_this_machine() {
    let refused = lakehunt().args(["worker", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("127.0.0.1"), "{}", stderr(&refused));
}

#[test]
#[cfg(unix)]
fn a_worker_that_is_asked_to_end_does() {
    let mut worker = Worker::start(|_| {});
    let asked = Command::new("kill").arg(worker.child.id().to_string()).status().unwrap();
    assert!(asked.success());
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
}
