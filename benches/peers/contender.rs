//! Who hunts, and how it is called.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use lakehunt::{Job, Settings, Span, parse_instant};
use parquet::arrow::ArrowWriter;

use crate::Result;
use crate::fingerprint;
use crate::lakes::Lake;

/// The program as it is built for release.
pub(crate) const LAKEHUNT: &str = env!("CARGO_BIN_EXE_lakehunt");
const JOB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/signin-success-then-fail.yaml");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
const DUCKDB: &str = "duckdb==2.0.1";
const POLARS: &str = "polars==2.1.0";

/// Where lakes, interpreters and outputs are.
pub(crate) struct Setup {
    root: PathBuf,
}

impl Setup {
    /// Below `LAKEHUNT_PEERS`, or else where cargo has its temporary files.
    pub(crate) fn new() -> Result<Self> {
        let root = std::env::var_os("LAKEHUNT_PEERS")
            .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers"), PathBuf::from);
        std::fs::create_dir_all(root.join("lakes"))?;
        Ok(Self { root })
    }

    pub(crate) fn lakes(&self) -> PathBuf {
        self.root.join("lakes")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.root.join("out")
    }

    pub(crate) fn clear_out(&self) -> Result<()> {
        let _ = std::fs::remove_dir_all(self.out());
        std::fs::create_dir_all(self.out())?;
        Ok(())
    }

    /// An interpreter that has the packages.
    fn python(&self) -> Result<PathBuf> {
        let venv = self.root.join("python");
        let python = venv.join("bin/python3");
        let done = self.root.join(format!("{DUCKDB}-{POLARS}.done"));
        if !done.exists() {
            let run = |program: &Path, args: &[&str]| -> Result<()> {
                let status = Command::new(program).args(args).stdout(std::process::Stdio::null()).status()?;
                if status.success() { Ok(()) } else { Err(format!("{} {args:?}: {status}", program.display()).into()) }
            };
            run(Path::new("python3"), &["-m", "venv", &venv.display().to_string()])?;
            run(&python, &["-m", "pip", "install", "--quiet", DUCKDB, POLARS])?;
            std::fs::write(done, "")?;
        }
        Ok(python)
    }
}

/// Who hunts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Floor,
    Lakehunt,
    OperatorOff,
    DuckDb,
    Polars,
    DataFusion,
    NaiveDuckDb,
    NaivePolars,
    NaiveDataFusion,
}

impl Contender {
    /// The floor first; then the one that the others' hits are compared with.
    pub(crate) const ALL: [Self; 9] = [
        Self::Floor,
        Self::Lakehunt,
        Self::OperatorOff,
        Self::DuckDb,
        Self::Polars,
        Self::DataFusion,
        Self::NaiveDuckDb,
        Self::NaivePolars,
        Self::NaiveDataFusion,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor: six columns decoded",
            Self::Lakehunt => "lakehunt",
            Self::OperatorOff => "operator off: lakehunt's SQL by hash join",
            Self::DuckDb => "DuckDB, buckets",
            Self::Polars => "Polars streaming, buckets",
            Self::DataFusion => "DataFusion, buckets",
            Self::NaiveDuckDb => "naive: DuckDB",
            Self::NaivePolars => "naive: Polars",
            Self::NaiveDataFusion => "naive: DataFusion",
        }
    }

    /// Forms that compare all of a key have a time limit; so has ours without its operator, which does just that.
    pub(crate) fn is_naive(self) -> bool {
        matches!(self, Self::OperatorOff | Self::NaiveDuckDb | Self::NaivePolars | Self::NaiveDataFusion)
    }

    pub(crate) fn command(self, setup: &Setup, lake: &Lake, out: &Path, threads: usize) -> Result<Command> {
        let (from, to, threads) = (lake.from.to_string(), lake.to.to_string(), threads.to_string());
        let (path, file) = (lake.path.display().to_string(), out.join("hits.parquet").display().to_string());
        let out = out.display().to_string();
        let this = || -> Result<Command> { Ok(Command::new(std::env::current_exe()?)) };
        let script = |name: &str, form: &str| -> Result<Command> {
            let mut command = Command::new(setup.python()?);
            command.arg(Path::new(SCRIPTS).join(name)).args([form, &path, &file, &from, &to, &threads]);
            Ok(command)
        };
        let datafusion = |form: &str| -> Result<Command> {
            let mut command = this()?;
            command.args(["--datafusion", form, &path, &file, &from, &to, &threads]);
            Ok(command)
        };
        match self {
            Self::Floor => {
                let mut command = this()?;
                command.args(["--floor", &path, &threads]);
                Ok(command)
            }
            Self::Lakehunt => {
                let mut command = Command::new(LAKEHUNT);
                command.args(["run", JOB, "--source", &path, "--output", &out, "--from", &from, "--to", &to]);
                command.args(["--threads", &threads, "--quiet"]);
                Ok(command)
            }
            Self::OperatorOff => {
                let mut command = this()?;
                command.args(["--operator-off", &path, &out, &from, &to, &threads]);
                Ok(command)
            }
            Self::DuckDb => script("duckdb_hunt.py", "buckets"),
            Self::Polars => script("polars_hunt.py", "buckets"),
            Self::DataFusion => datafusion("buckets"),
            Self::NaiveDuckDb => script("duckdb_hunt.py", "naive"),
            Self::NaivePolars => script("polars_hunt.py", "naive"),
            Self::NaiveDataFusion => datafusion("naive"),
        }
    }

    /// How many hits there are, and what they amount to.
    pub(crate) fn hits(self, out: &Path) -> Result<Option<(u64, u64)>> {
        match self {
            Self::Floor => Ok(None),
            _ => fingerprint::of(out).map(Some),
        }
    }
}

/// lakehunt without its operators.
pub(crate) fn operator_off(lake: &str, out: &str, from: &str, to: &str, threads: usize) -> Result<()> {
    let job = Job::load(Path::new(JOB))?;
    let span = Span::try_new(parse_instant(from)?, parse_instant(to)?)?;
    let mut settings = Settings::new(&job, lake, out, span)?;
    settings.interval_join = false;
    settings.threads = NonZeroUsize::new(threads).ok_or("no threads")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(lakehunt::run(&job, &settings, &()))?;
    if report.exit_code() == 0 { Ok(()) } else { Err(format!("{report:?}").into()) }
}

/// A day of one account at one address: each 36 ms of an hour a success on one of ten apps, and a failure on another.
pub(crate) fn write_one_account(lake: &Path) -> Result<()> {
    let day = lake.join("date=2024-05-01");
    std::fs::create_dir_all(&day)?;
    let start = parse_instant("2024-05-01T10:00:00Z")?.timestamp_micros();
    let rows = 200_000_i64;
    let text = |of: &dyn Fn(i64) -> String| Arc::new((0..rows).map(|row| Some(of(row))).collect::<StringArray>());
    let times: TimestampMicrosecondArray = (0..rows).map(|row| start + row * 18_000).collect::<Vec<_>>().into();
    let columns: [(&str, ArrayRef); 6] = [
        ("TimeGenerated", Arc::new(times.with_timezone("UTC"))),
        ("UserPrincipalName", text(&|_| "svc@contoso.com".to_owned())),
        ("IPAddress", text(&|_| "10.0.0.1".to_owned())),
        ("AppDisplayName", text(&|row| format!("App {}", row / 2 % 10 + row % 2 * 10))),
        ("ResultType", text(&|row| if row % 2 == 0 { "0" } else { "50126" }.to_owned())),
        ("ResultDescription", text(&|row| if row % 2 == 0 { "" } else { "bad" }.to_owned())),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(File::create(day.join("part-0.parquet"))?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
