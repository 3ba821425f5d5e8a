//! One run on several workers, each a process of its own: the rows are those of one process, whatever happens to a worker.
//!
//! `LAKEHUNT_KILLS` is the number of workers that are killed; three unless told otherwise.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::lake::SLUG;

fn lakehunt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakehunt"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("LAKEHUNT_WORKER_TOKEN");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A worker; it ends with this.
struct Worker {
    child: Child,
    url: String,
}

impl Worker {
    fn start(with: impl FnOnce(&mut Command)) -> Self {
        let mut command = lakehunt();
        command.args(["worker", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        with(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, url: line.trim().to_owned() }
    }

    fn some(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::start(|_| {})).collect()
    }

    /// Without a word of farewell.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn urls(workers: &[Worker]) -> String {
    workers.iter().map(|worker| worker.url.as_str()).collect::<Vec<_>>().join(",")
}

/// A tenant of two days, with attacks in it, several files a day.
fn tenant(seed: u32, rows_per_day: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = lakehunt()
        .args(["generate", folder.path().join("lake").to_str().unwrap(), "--days", "2", "--files", "3"])
        .args(["--rows-per-day", &rows_per_day.to_string(), "--users", "300", "--apps", "80", "--attacks-per-day", "8"])
        .args(["--seed", &seed.to_string()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    folder
}

fn run(folder: &Path, output: &str, window: &str) -> Command {
    let mut command = lakehunt();
    let path = |name: &str| folder.join(name).display().to_string();
    command.args(["run", SLUG, "--source", &path("lake"), "--output", &path(output), "--lease", "0s"]);
    command.args(["--from", "2024-05-01", "--to", "2024-05-03", "--window", window]);
    command
}

/// The bytes of the hits, by path.
fn hits(output: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { visit(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    visit(output, &mut found);
    let hits = found
        .into_iter()
        .filter(|path| path.strip_prefix(output).unwrap().components().any(|part| part.as_os_str() == "hits"));
    hits.map(|path| (path.strip_prefix(output).unwrap().to_owned(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn workers_give_the_rows_of_one_process() {
    for (seed, count, window) in [(1, 2, "1d"), (2, 4, "all"), (3, 1, "6h")] {
        let folder = tenant(seed, 20_000);
        let alone = run(folder.path(), "alone", window).output().unwrap();
        assert!(alone.status.success(), "{}", stderr(&alone));
        let workers = Worker::some(count);
        let together = run(folder.path(), "together", window).args(["--workers", &urls(&workers)]).output().unwrap();
        assert!(together.status.success(), "{}", stderr(&together));
        let expected = hits(&folder.path().join("alone"));
        assert!(!expected.is_empty());
        assert!(expected == hits(&folder.path().join("together")), "seed {seed}, {count} workers, window {window}");
    }
}

#[test]
fn a_worker_that_dies_changes_no_row() {
    let kills: u64 = std::env::var("LAKEHUNT_KILLS").map_or(3, |text| text.parse().expect("a number of kills"));
    let folder = tenant(4, 150_000);
    assert!(run(folder.path(), "alone", "6h").status().unwrap().success());
    let expected = hits(&folder.path().join("alone"));
    for kill in 0..kills {
        let output = format!("out-{kill}");
        let mut workers = Worker::some(3);
        let mut command = run(folder.path(), &output, "6h");
        let running = command.args(["--workers", &urls(&workers)]).stderr(Stdio::piped()).spawn().unwrap();
        // Over the length of a run, whatever that is on this machine.
        std::thread::sleep(Duration::from_millis(150 + kill * 7919 % 1500));
        workers[0].kill();
        let ended = running.wait_with_output().unwrap();
        let left = hits(&folder.path().join(&output));
        if ended.status.success() {
            assert!(left == expected, "kill {kill}: {}", stderr(&ended));
        } else {
            assert!(stderr(&ended).contains("worker"), "kill {kill}: {}", stderr(&ended));
            assert!(left.iter().all(|(path, bytes)| expected.get(path) == Some(bytes)), "kill {kill}");
        }
    }
}

#[test]
fn a_run_without_workers_that_answer_fails_and_writes_nothing() {
    let folder = tenant(5, 2_000);
    let mut worker = Worker::start(|_| {});
    worker.kill();
    let failed = run(folder.path(), "out", "1d").args(["--workers", &worker.url]).output().unwrap();
    assert!(!failed.status.success());
    assert!(stderr(&failed).contains("no worker answers"), "{}", stderr(&failed));
    assert!(hits(&folder.path().join("out")).is_empty());
}

/// A certificate for localhost and its key, which is its own authority.
fn certificate(folder: &Path) -> (String, String) {
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
fn explain_shows_the_stages() {
    let workers = Worker::some(2);
    let shown = lakehunt().args(["explain", SLUG, "--workers", &urls(&workers)]).output().unwrap();
    assert!(shown.status.success(), "{}", stderr(&shown));
    let text = String::from_utf8(shown.stdout).unwrap();
    for part in ["Stage", "NetworkShuffleExec", "LakeScanExec", "followed_within"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
