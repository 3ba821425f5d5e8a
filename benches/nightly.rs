//! One night: the flagship hunt over a day of generated rows. Run by hand:
//!
//! ```sh
//! cargo bench --bench nightly            # one million rows
//! cargo bench --bench nightly -- 10      # ten million
//! ```
//!
//! Prints the median of five runs after one that warms up, and the peak memory of the process that ran them. The tenant
//! is the same every time: 10,000 users, 300 apps, a tenth of the rows by four service accounts.

use std::path::Path;
use std::time::Duration;

use lakehunt::{Job, Layout, Settings, Span, TenantSpec, parse_instant};

const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // cargo passes `--bench`; the first number is millions of rows.
    let millions: u64 = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1);
    let dir = tempfile::TempDir::new()?;
    let (lake, out) = (dir.path().join("lake"), dir.path().join("out"));
    let spec =
        TenantSpec { days: 1, rows_per_day: millions * 1_000_000, users: 10_000, apps: 300, ..TenantSpec::default() };
    let layout: Layout = "date={yyyy-MM-dd}".parse()?;
    let folder = |instant| layout.partition_of(instant).map(|partition| partition.path).unwrap_or_default();
    let made = lakehunt::generate(&spec, &lake, &folder, &mut |_| {})?;

    let job = Job::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/signin-success-then-fail.yaml"))?;
    let span = Span::try_new(parse_instant("2024-05-01")?, parse_instant("2024-05-02")?)?;
    let mut settings = Settings::new(&job, lake.display().to_string(), out.display().to_string(), span)?;
    settings.force = true;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut times = Vec::new();
    let mut hits = 0;
    // What making the tenant took does not count.
    reset_peak();
    for _ in 0..=RUNS {
        let report = runtime.block_on(lakehunt::run(&job, &settings, &()))?;
        times.push(report.elapsed);
        hits = report.hits();
    }
    let median = median(times.split_off(1));
    println!(
        "{} rows, {} MiB of files: {:.2} s, {:.2} million rows a second, {hits} hits, peak {} MiB",
        made.rows,
        made.bytes >> 20,
        median.as_secs_f64(),
        made.rows as f64 / median.as_secs_f64() / 1e6,
        peak_mib().map_or_else(|| "unknown".to_owned(), |mib| mib.to_string()),
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Linux only; elsewhere the peak is that of the whole process.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? >> 10)
}
