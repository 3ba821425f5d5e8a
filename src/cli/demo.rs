//! `lakehunt demo`: from nothing to true hits.

use std::path::Path;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{filter_record_batch, not};
use datafusion::arrow::datatypes::TimestampMicrosecondType;

use super::args::{DemoArgs, HitsFormat};
use super::{generate, hits, output, run};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::{PlantedHit, TenantSpec};
use crate::job::Job;
use crate::lake::Layout;
use crate::pipeline;
use crate::report::report_text;
use crate::settings::Settings;
use crate::sink::HitReader;
use crate::window::Span;

/// Says that a folder is a demo's, so that the next demo may replace it.
const MARKER: &str = ".lakehunt-demo";

/// The columns of a hit that tell its story on a line.
const COLUMNS: [&str; 7] = [
    "UserPrincipalName",
    "IPAddress",
    "SuccessLogonTime",
    "SuccessAppDisplayName",
    "FailedAppDisplayName",
    "ResultType",
    "distribution_count",
];

/// Hits of the background that are shown; the planted ones all are.
const MOST_OTHERS: usize = 10;

pub(super) async fn demo(args: DemoArgs) -> Result<u8> {
    let job = Job::find(&args.job)?;
    let dir = args.dir.as_path();
    prepare(dir)?;
    let (lake, out) = (dir.join("lake"), dir.join("out"));
    let spec = TenantSpec {
        rows_per_day: 20_000,
        users: 2_000,
        apps: 60,
        skew: 0.5,
        service_accounts: 1,
        service_share: 0.02,
        attacks_per_day: 2,
        ..TenantSpec::default()
    };
    let layout: Layout = job.source().layout.parse()?;
    let (tenant, folder) = (spec.clone(), lake.clone());
    let made = super::blocking(move || generate::tenant(&tenant, &folder, &layout)).await?;
    output::write(generate::summary(&made, &lake).as_bytes())?;

    let from = spec.start.and_time(chrono::NaiveTime::MIN).and_utc();
    let span = Span::try_new(from, from + chrono::TimeDelta::days(i64::from(spec.days)))?;
    let settings = Settings::new(&job, lake.display().to_string(), out.display().to_string(), span)?;
    let report = pipeline::run(&job, &settings, &()).await?;
    run::warn(&report.warnings);
    output::write(format!("\n{}\n", report_text(&report)).as_bytes())?;

    let reader = HitReader::open(&settings.stores, &settings.output, &settings.output_store).await?;
    let mut found = Vec::new();
    for file in reader.files(Some(job.slug())).await? {
        found.extend(reader.read(&file, None, None).await?);
    }
    if let Some(all) = hits::concat(&found)? {
        let planted = planted_rows(&all, &made.planted)?;
        let failed = |e| Error::new(ErrorKind::Engine, "the hits cannot be shown").caused_by(e);
        let attacks = filter_record_batch(&all, &planted).map_err(failed)?;
        let others = filter_record_batch(&all, &not(&planted).map_err(failed)?).map_err(failed)?;
        let shown = others.slice(0, others.num_rows().min(MOST_OTHERS));
        let columns = COLUMNS.map(str::to_owned);
        let table = |rows: &RecordBatch| hits::table(&[hits::select(rows, &columns, HitsFormat::Table)?]);
        let text = format!(
            "The {} planted attacks, found:\n{}\n\n{} hits of ordinary people, among them:\n{}\n",
            attacks.num_rows(),
            table(&attacks)?,
            others.num_rows(),
            table(&shown)?
        );
        output::write(text.as_bytes())?;
        if attacks.num_rows() != made.planted.len() {
            return Err(Error::new(
                ErrorKind::Engine,
                format!(
                    "{} attacks were planted and {} were found; please report this",
                    made.planted.len(),
                    attacks.num_rows()
                ),
            ));
        }
    }
    output::write(next_steps(dir, &job).as_bytes())?;
    Ok(report.exit_code())
}

/// Makes `dir` ready: a new folder, or that of an earlier demo, whose lake and output are removed.
fn prepare(dir: &Path) -> Result<()> {
    let failed =
        |e| Error::new(ErrorKind::Output, "the folder cannot be set up").with("folder", dir.display()).caused_by(e);
    if dir.exists() && !dir.join(MARKER).exists() && std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(Error::new(ErrorKind::Usage, "the folder holds something else; choose another with --dir")
            .with("folder", dir.display()));
    }
    for folder in ["lake", "out"] {
        match std::fs::remove_dir_all(dir.join(folder)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
    }
    std::fs::create_dir_all(dir).map_err(failed)?;
    std::fs::write(dir.join(MARKER), "made by `lakehunt demo`, which replaces it\n").map_err(failed)
}

/// Which rows are planted attacks, by user and time.
fn planted_rows(rows: &RecordBatch, planted: &[PlantedHit]) -> Result<datafusion::arrow::array::BooleanArray> {
    let missing = || Error::new(ErrorKind::Engine, "the hits lack a column of the sign-in hunt");
    let users = rows.column_by_name("UserPrincipalName").ok_or_else(missing)?.as_string::<i32>();
    let times = rows.column_by_name("SuccessLogonTime").ok_or_else(missing)?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    Ok((0..rows.num_rows())
        .map(|row| {
            let found = !users.is_null(row)
                && planted
                    .iter()
                    .any(|hit| hit.user == users.value(row) && hit.success_time.timestamp_micros() == times.value(row));
            Some(found)
        })
        .collect())
}

fn next_steps(dir: &Path, job: &Job) -> String {
    let (dir, slug) = (dir.display(), job.slug());
    // Cargo tells the programs that it runs where it is.
    let lakehunt = if std::env::var_os("CARGO").is_some() { "cargo run --release --" } else { "lakehunt" };
    format!(
        "
Next:
  {lakehunt} report {slug} --output {dir}/out -o {dir}/report.html
                                       a page with what was hunted and what was found
  {lakehunt} hits {dir}/out --kql      only the rows of KQL's own answer, one a key
  {lakehunt} inspect {dir}/lake        what the lake holds
  {lakehunt} explain {slug}     the SQL and its plans

Then your own lake (its folders by --layout, for example year=/month=/day=):
  {lakehunt} run {slug} --source s3://bucket/signins --output hunts \\
      --from 2024-05-01 --to 2024-05-08
"
    )
}
