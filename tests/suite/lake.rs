//! The fixture: a lake in a temporary folder, a run of the job over it, and what the run left, as plain values.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, TimeZone, Utc};
use lakehunt::{Error, Job, Observer, RunReport, Settings, Span};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

use crate::encode::{Form, encode};
use crate::oracle::{Answer, Hit, Limits, Row, Scope, Window};

pub(crate) const SLUG: &str = "signin-success-then-fail";

pub(crate) fn job() -> Job {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs").join(SLUG).with_extension("yaml");
    Job::load(&path).unwrap()
}

/// An instant of chrono, only for what speaks to the library.
pub(crate) fn instant(nanos: i128) -> DateTime<Utc> {
    Utc.timestamp_nanos(i64::try_from(nanos).unwrap())
}

/// `2024-05-01` or `2024-05-01T13:00:00.5Z` in nanoseconds since 1970.
pub(crate) fn at(text: &str) -> i128 {
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let instant = DateTime::parse_from_rfc3339(&text).unwrap();
    i128::from(instant.timestamp()) * 1_000_000_000 + i128::from(instant.timestamp_subsec_nanos())
}

/// A folder of files.
pub(crate) struct Lake {
    folder: TempDir,
}

impl Lake {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A lake of one file of microseconds for each day, in the job's own layout.
    pub(crate) fn of(rows: &[Row]) -> Self {
        let lake = Self::new();
        lake.put_days(rows, &Form::default());
        lake
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn source(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// Writes one file.
    pub(crate) fn put(&self, path: &str, rows: &[Row], form: &Form) {
        self.put_bytes(path, &encode(rows, &form.fits(rows)));
    }

    pub(crate) fn put_bytes(&self, path: &str, bytes: &[u8]) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes one file for each day that `rows` have.
    pub(crate) fn put_days(&self, rows: &[Row], form: &Form) {
        self.put_partitions("date=%Y-%m-%d", rows, form);
    }

    /// Writes one file for each folder that the pattern (of strftime) gives for the rows' times.
    pub(crate) fn put_partitions(&self, pattern: &str, rows: &[Row], form: &Form) {
        let mut folders: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in rows {
            let folder = instant(row.time.unwrap()).format(pattern).to_string();
            folders.entry(folder).or_default().push(row.clone());
        }
        for (folder, rows) in folders {
            self.put(&format!("{folder}/part-0.parquet"), &rows, form);
        }
    }
}

/// What a run is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) from: i128,
    pub(crate) to: i128,
    pub(crate) window: &'static str,
    pub(crate) scope: Scope,
    pub(crate) layout: &'static str,
    pub(crate) slack: u32,
    pub(crate) threads: usize,
    pub(crate) limits: Limits,
    pub(crate) time_column: Option<&'static str>,
    pub(crate) force: bool,
    pub(crate) memory_limit: usize,
    pub(crate) interval_join: bool,
}

impl Ask {
    /// The days `[from, to)` as the job has them by itself.
    pub(crate) fn days(from: &str, to: &str) -> Self {
        Self {
            from: at(from),
            to: at(to),
            window: "1d",
            scope: Scope::Overlap,
            layout: "date={yyyy-MM-dd}",
            slack: 0,
            threads: 2,
            limits: Limits::default(),
            time_column: None,
            force: false,
            memory_limit: lakehunt::DEFAULT_MEMORY_LIMIT,
            interval_join: true,
        }
    }

    pub(crate) fn strict(self) -> Self {
        Self { scope: Scope::Strict, ..self }
    }

    /// Runs the job into a folder of its own.
    pub(crate) fn run(&self, lake: &Lake) -> Result<Run, Error> {
        let folder = tempfile::tempdir().unwrap();
        let run = self.run_into(lake, folder.path())?;
        Ok(Run { _folder: Some(folder), ..run })
    }

    /// Runs the job into a folder that may hold earlier runs.
    pub(crate) fn run_into(&self, lake: &Lake, output: &Path) -> Result<Run, Error> {
        let report = self.report(&lake.source(), output)?;
        Ok(Run::of(report, output))
    }

    pub(crate) fn report(&self, source: &str, output: &Path) -> Result<RunReport, Error> {
        self.watched(source, output, &())
    }

    /// As `report`, with somebody who is told of each window.
    pub(crate) fn watched(&self, source: &str, output: &Path, observer: &dyn Observer) -> Result<RunReport, Error> {
        self.configured(source, output.to_str().unwrap(), observer, |_| {})
    }

    /// As `watched`, from and to any store, with a last word on the settings.
    pub(crate) fn configured(
        &self,
        source: &str,
        output: &str,
        observer: &dyn Observer,
        change: impl FnOnce(&mut Settings),
    ) -> Result<RunReport, Error> {
        let mut job = job();
        job.set_parameter("max_distribution", &self.limits.max_distribution.to_string())?;
        job.set_parameter("logon_diff", &format!("{}ns", self.limits.logon_diff))?;
        let span = Span::try_new(instant(self.from), instant(self.to))?;
        let mut settings = Settings::new(&job, source, output, span)?;
        settings.window = self.window.parse()?;
        settings.scope = match self.scope {
            Scope::Overlap => lakehunt::Scope::Overlap,
            Scope::Strict => lakehunt::Scope::Strict,
        };
        settings.layout = self.layout.parse()?;
        settings.slack = self.slack;
        settings.threads = NonZeroUsize::new(self.threads).unwrap();
        settings.time_column = self.time_column.map(str::to_owned);
        settings.force = self.force;
        settings.memory_limit = self.memory_limit;
        settings.interval_join = self.interval_join;
        // What claims do is tested by those who make them.
        settings.lease = std::time::Duration::ZERO;
        change(&mut settings);
        block_on(lakehunt::run(&job, &settings, observer))
    }
}

/// Runs to its end what waits, on threads of its own: some tests stop one of them to let another run go first.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// A run and what it left.
pub(crate) struct Run {
    pub(crate) report: RunReport,
    pub(crate) output: PathBuf,
    /// Kept as long as the run is looked at, when the run made it.
    _folder: Option<TempDir>,
}

impl Run {
    /// A run into a folder that somebody else keeps.
    pub(crate) fn of(report: RunReport, output: &Path) -> Self {
        Self { report, output: output.to_owned(), _folder: None }
    }

    pub(crate) fn hits_path(&self, label: &str) -> PathBuf {
        self.output.join(format!("hits/job={SLUG}/window={label}/hits.parquet"))
    }

    pub(crate) fn record_path(&self, label: &str) -> PathBuf {
        self.output.join(format!("runs/job={SLUG}/window={label}/run.json"))
    }

    pub(crate) fn hit_bytes(&self, label: &str) -> Vec<u8> {
        std::fs::read(self.hits_path(label)).unwrap()
    }

    pub(crate) fn record(&self, label: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.record_path(label)).unwrap()).unwrap()
    }

    /// The hits of a window with what every row has beside its answer.
    pub(crate) fn hits(&self, label: &str) -> Vec<Hit> {
        read_hits(self.hit_bytes(label)).into_iter().map(|(hit, _)| hit).collect()
    }

    /// The ids of the hits of a window, in their order.
    pub(crate) fn ids(&self, label: &str) -> Vec<String> {
        read_hits(self.hit_bytes(label)).into_iter().map(|(_, id)| id).collect()
    }

    /// What the run answered for a window: the rows of its file and the keys over the limit of its record. Checks that
    /// file, record and report agree.
    pub(crate) fn answer(&self, label: &str) -> Answer {
        let (hits, record) = (self.hits(label), self.record(label));
        let kql_rows = hits.iter().filter(|hit| hit.kql_rank == 1).count();
        assert_eq!(record["hits"], hits.len(), "{label}");
        assert_eq!(record["kql_rows"], kql_rows, "{label}");
        let keys = record["over_limit"].as_array().unwrap();
        let mut over_limit: Vec<_> = keys
            .iter()
            .map(|key| {
                let text = |name: &str| key[name].as_str().unwrap().to_owned();
                (text("SuccessAppDisplayName"), text("ResultType"), key["pairs"].as_i64().unwrap())
            })
            .collect();
        over_limit.sort();
        Answer { hits, over_limit }
    }

    /// The windows that were evaluated, by label, with their bounds.
    pub(crate) fn done(&self) -> BTreeMap<String, Window> {
        let nanos = |instant: DateTime<Utc>| i128::from(instant.timestamp_nanos_opt().unwrap());
        let windows = self.report.windows.iter().filter(|window| self.record_path(&window.label).exists());
        windows.map(|w| (w.label.clone(), Window { start: nanos(w.start), end: nanos(w.end) })).collect()
    }

    /// The hits of all windows, in the order of the windows.
    pub(crate) fn all_hits(&self) -> Vec<Hit> {
        self.done().keys().flat_map(|label| self.hits(label)).collect()
    }
}

const COLUMNS: [&str; 22] = [
    "UserPrincipalName",
    "SuccessLogonTime",
    "IPAddress",
    "SuccessAppDisplayName",
    "FailedLogonTime",
    "FailedAppDisplayName",
    "ResultType",
    "ResultDescription",
    "timestamp",
    "AccountCustomEntity",
    "IPCustomEntity",
    "window_start",
    "window_end",
    "kql_rank",
    "distribution_count",
    "pair_count",
    "hit_id",
    "job_id",
    "job_version",
    "severity",
    "tactics",
    "techniques",
];

/// The rows of a hit file with their ids. Checks names, types and order of the columns and all that follows from other
/// columns.
pub(crate) fn read_hits(bytes: Vec<u8>) -> Vec<(Hit, String)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    let schema = std::sync::Arc::clone(reader.schema());
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, COLUMNS);
    for field in schema.fields() {
        let expected = match field.name().as_str() {
            "SuccessLogonTime" | "FailedLogonTime" | "timestamp" | "window_start" | "window_end" => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            "kql_rank" | "distribution_count" | "pair_count" => DataType::Int64,
            _ => DataType::Utf8,
        };
        assert_eq!(field.data_type(), &expected, "{}", field.name());
    }
    reader.build().unwrap().flat_map(|batch| rows_of(&batch.unwrap())).collect()
}

fn rows_of(batch: &RecordBatch) -> Vec<(Hit, String)> {
    let text = |name: &str, row: usize| batch[name].as_string::<i32>().value(row).to_owned();
    let time = |name: &str, row: usize| batch[name].as_primitive::<TimestampMicrosecondType>().value(row);
    let long = |name: &str, row: usize| batch[name].as_primitive::<Int64Type>().value(row);
    for column in batch.columns() {
        assert_eq!(column.null_count(), 0, "a hit has no nulls");
    }
    (0..batch.num_rows())
        .map(|row| {
            let hit = Hit {
                user: text("UserPrincipalName", row),
                success_time: time("SuccessLogonTime", row),
                ip: text("IPAddress", row),
                success_app: text("SuccessAppDisplayName", row),
                failed_time: time("FailedLogonTime", row),
                failed_app: text("FailedAppDisplayName", row),
                result: text("ResultType", row),
                description: text("ResultDescription", row),
                window_start: time("window_start", row),
                window_end: time("window_end", row),
                kql_rank: long("kql_rank", row),
                distribution_count: long("distribution_count", row),
                pair_count: long("pair_count", row),
            };
            assert_eq!(time("timestamp", row), hit.success_time);
            assert_eq!(text("AccountCustomEntity", row), hit.user);
            assert_eq!(text("IPCustomEntity", row), hit.ip);
            assert_eq!(text("job_id", row), "bc17381e-07ee-48a2-931f-06a3d9e149c9");
            assert_eq!(text("job_version", row), "1.0.1");
            assert_eq!(text("severity", row), "Medium");
            assert_eq!(text("tactics", row), "Discovery,LateralMovement");
            assert_eq!(text("techniques", row), "T1087,T1021");
            let id = text("hit_id", row);
            assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
            (hit, id)
        })
        .collect()
}
