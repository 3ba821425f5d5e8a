//! What a far store costs: thirty days from one that takes 30 ms for each request, and a night that finds a year of windows
//! done, each beside the same from this machine. Run by hand:
//!
//! ```sh
//! cargo bench --bench latency            # 100,000 rows a day, one file a day
//! cargo bench --bench latency -- 24      # the same rows in 24 files a day
//! ```
//!
//! One reads and writes local folders; the other one does so in memory, through object_store's `ThrottledStore` (which takes no
//! local files). Prints the medians of five runs of each, taken in turn, and their ratio.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use lakehunt::{Job, Layout, Nightly, OnChange, Outcome, Settings, Span, Stores, TenantSpec, Upkeep, parse_instant};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

const RUNS: usize = 5;
const WAIT: Duration = Duration::from_millis(30);

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    // cargo passes `--bench`; the first number is files a day.
    let files: u32 = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1);
    let runtime = Runtime::new()?;

    let spec = TenantSpec { days: 30, rows_per_day: 100_000, files_per_partition: files, ..TenantSpec::default() };
    let mut month = Lake::new(&runtime, &spec, "2024-05-31")?;
    for settings in &mut month.settings {
        settings.force = true;
    }
    month.measure(&runtime, &format!("30 days of 100,000 rows in {files} files each"), |outcome| {
        matches!(outcome, Outcome::Done { .. })
    })?;

    let spec = TenantSpec { days: 365, rows_per_day: 500, ..TenantSpec::default() };
    let mut year = Lake::new(&runtime, &spec, "2025-05-01")?;
    let as_of = parse_instant("2025-05-01T04:00:00Z")?;
    for settings in &mut year.settings {
        let nightly = Nightly { lookback: None, start: Some(settings.span.from()), ..Nightly::default() };
        settings.upkeep = Some(Upkeep { nightly, as_of, on_change: OnChange::Warn });
    }
    year.measure(&runtime, "365 recorded days, nothing new", |outcome| matches!(outcome, Outcome::UpToDate { .. }))
}

/// One lake twice, near and far, and how a run over it is set up.
struct Lake {
    job: Job,
    /// Near, far.
    settings: [Settings; 2],
    _folder: tempfile::TempDir,
}

impl Lake {
    fn new(runtime: &Runtime, spec: &TenantSpec, end: &str) -> Result<Self> {
        let folder = tempfile::TempDir::new()?;
        let (lake, out) = (folder.path().join("lake"), folder.path().join("out"));
        let layout: Layout = "date={yyyy-MM-dd}".parse()?;
        let partition = |instant| layout.partition_of(instant).map(|partition| partition.path).unwrap_or_default();
        lakehunt::generate(spec, &lake, &partition, &mut |_| {})?;

        let job = Job::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/signin-success-then-fail.yaml"))?;
        let span = Span::try_new(parse_instant("2024-05-01")?, parse_instant(end)?)?;
        let near = Settings::new(&job, lake.display().to_string(), out.display().to_string(), span)?;
        let mut far = near.clone();
        let (source, output) = (runtime.block_on(in_memory(&lake))?, Arc::new(InMemory::new()));
        let lake = lake.display().to_string();
        far.stores = Stores::from_env().with_hook(move |location, _| {
            let store = if location == lake { &source } else { &output };
            Arc::new(throttled(Arc::clone(store) as Arc<dyn ObjectStore>)) as Arc<dyn ObjectStore>
        });
        Ok(Self { job, settings: [near, far], _folder: folder })
    }

    fn measure(&self, runtime: &Runtime, what: &str, as_meant: impl Fn(&Outcome) -> bool) -> Result<()> {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..=RUNS {
            for (settings, times) in self.settings.iter().zip(&mut times) {
                let report = runtime.block_on(lakehunt::run(&self.job, settings, &()))?;
                assert_eq!(report.exit_code(), 0);
                // The first round warms up, and does what a night finds done.
                if round > 0 {
                    assert!(report.windows.iter().all(|window| as_meant(&window.outcome)));
                    times.push(report.elapsed);
                }
            }
        }
        let [near, far] = times.map(|times| median(times).as_secs_f64());
        println!("{what}: {near:.2} s near, {far:.2} s with {WAIT:?} a request, ratio {:.2}", far / near);
        Ok(())
    }
}

/// A copy of a folder.
async fn in_memory(folder: &Path) -> Result<Arc<InMemory>, object_store::Error> {
    let (files, copy) = (LocalFileSystem::new_with_prefix(folder)?, InMemory::new());
    for file in files.list(None).try_collect::<Vec<_>>().await? {
        copy.put(&file.location, files.get(&file.location).await?.bytes().await?.into()).await?;
    }
    Ok(Arc::new(copy))
}

fn throttled(store: Arc<dyn ObjectStore>) -> ThrottledStore<Arc<dyn ObjectStore>> {
    let config = ThrottleConfig {
        wait_delete_per_call: WAIT,
        wait_get_per_call: WAIT,
        wait_list_per_call: WAIT,
        wait_list_with_delimiter_per_call: WAIT,
        wait_put_per_call: WAIT,
        ..ThrottleConfig::default()
    };
    ThrottledStore::new(store, config)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
