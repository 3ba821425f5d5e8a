//! One run on several workers, each a process of its own: the rows are those of one process, whatever happens to a worker.

mod access;
mod kills;
mod network;
mod same;
mod told;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use lakehunt::{Access, Settings, Workers};
use tempfile::TempDir;

use crate::lake::SLUG;

/// The program, with nothing of this machine's environment that could decide a test.
fn lakehunt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakehunt"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in std::env::vars() {
        if ["LAKEHUNT_", "AWS_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
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
        command.args(["worker", "--listen", "127.0.0.1:0"]).stderr(Stdio::null());
        with(&mut command);
        Self::of(command)
    }

    /// What `command` starts.
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
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

/// Has a run of the library evaluated by `workers`.
fn by(workers: &[Worker]) -> impl Fn(&mut Settings) + use<> {
    let urls: Vec<String> = workers.iter().map(|worker| worker.url.clone()).collect();
    move |settings| settings.workers = Some(Workers::new(&urls, Access::default()).unwrap())
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
    run_of(SLUG, folder, output, window)
}

fn run_of(job: &str, folder: &Path, output: &str, window: &str) -> Command {
    let mut command = lakehunt();
    let path = |name: &str| folder.join(name).display().to_string();
    command.args(["run", job, "--source", &path("lake"), "--output", &path(output), "--lease", "0s"]);
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
    visit(&output.join("hits"), &mut found);
    let bytes = |path: &PathBuf| std::fs::read(path).unwrap();
    found.iter().map(|path| (path.strip_prefix(output).unwrap().to_owned(), bytes(path))).collect()
}
