//! What a far store costs: thirty days from one that takes 30 ms for each request, beside the same from this machine. Run by
//! hand:
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
use lakehunt::{Job, Layout, Settings, Span, Stores, TenantSpec, parse_instant};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStore, ObjectStoreExt};

const RUNS: usize = 5;
const WAIT: Duration = Duration::from_millis(30);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // cargo passes `--bench`; the first number is files a day.
    let files: u32 = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1);
    let dir = tempfile::TempDir::new()?;
    let (lake, out) = (dir.path().join("lake"), dir.path().join("out"));
    let spec = TenantSpec { days: 30, rows_per_day: 100_000, files_per_partition: files, ..TenantSpec::default() };
    let layout: Layout = "date={yyyy-MM-dd}".parse()?;
    let folder = |instant| layout.partition_of(instant).map(|partition| partition.path).unwrap_or_default();
    lakehunt::generate(&spec, &lake, &folder, &mut |_| {})?;

    let job = Job::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/signin-success-then-fail.yaml"))?;
    let span = Span::try_new(parse_instant("2024-05-01")?, parse_instant("2024-05-31")?)?;
    let mut near = Settings::new(&job, lake.display().to_string(), out.display().to_string(), span)?;
    near.force = true;
    let mut far = near.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (source, output) = (runtime.block_on(in_memory(&lake))?, Arc::new(InMemory::new()));
    let lake = lake.display().to_string();
    far.stores = Stores::from_env().with_hook(move |location, _| {
        let store = if location == lake { &source } else { &output };
        Arc::new(throttled(Arc::clone(store) as Arc<dyn ObjectStore>)) as Arc<dyn ObjectStore>
    });

    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=RUNS {
        for (settings, times) in [&near, &far].into_iter().zip(&mut times) {
            let report = runtime.block_on(lakehunt::run(&job, settings, &()))?;
            assert_eq!(report.exit_code(), 0);
            // The first round warms up.
            if round > 0 {
                times.push(report.elapsed);
            }
        }
    }
    let [near, far] = times.map(median);
    println!(
        "30 days of 100,000 rows in {files} files each: {:.2} s near, {:.2} s with {WAIT:?} a request, ratio {:.2}",
        near.as_secs_f64(),
        far.as_secs_f64(),
        far.as_secs_f64() / near.as_secs_f64(),
    );
    Ok(())
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
