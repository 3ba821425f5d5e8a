//! The report: its figures beside queries over the table, what hostile text does to it (nothing), how it looks and works
//! in a browser, what it says of windows that are not done.

mod browser;
mod figures;
mod hostile;
mod looks;
mod markdown;
mod says;

use std::path::{Path, PathBuf};
use std::process::Output;

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use serde_json::{Value, json};

use crate::lake::{SLUG, block_on};
use crate::stores::place::{Backend, Place, code, stderr};

/// A lake of a small tenant, the hunt over all of it, and pages.
struct Bench {
    place: Place,
}

impl Bench {
    fn new() -> Self {
        Self { place: Place::new(Backend::Local) }
    }

    /// Five days, of which the hunt has done the first `done`.
    fn with_days(done: u32) -> Self {
        let bench = Self::new();
        let tenant =
            ["--days", "5", "--rows-per-day", "4000", "--users", "120", "--apps", "40", "--attacks-per-day", "3"];
        let lake = bench.text("lake");
        bench.passes(&[&["generate", lake.as_str()], &tenant[..]].concat());
        bench.hunts("2024-05-01", &format!("2024-05-{:02}", done + 1));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.text(name))
    }

    fn text(&self, name: &str) -> String {
        self.place.url(name)
    }

    fn lakehunt(&self, args: &[&str]) -> Output {
        self.place.lakehunt(args)
    }

    fn passes(&self, args: &[&str]) -> Output {
        let output = self.lakehunt(args);
        assert_eq!(code(&output), Some(0), "{args:?}: {}", stderr(&output));
        output
    }

    fn hunts(&self, from: &str, to: &str) -> Output {
        let (lake, out) = (self.text("lake"), self.text("out"));
        self.lakehunt(&["run", SLUG, "--source", &lake, "--output", &out, "--from", from, "--to", to])
    }

    /// Makes the page of a job.
    fn page_of(&self, job: &str, more: &[&str]) -> PathBuf {
        let (out, page) = (self.text("out"), self.path("report.html"));
        let args = ["report", job, "--output", &out, "-o", page.to_str().unwrap()];
        self.passes(&[&args[..], more].concat());
        page
    }

    fn page(&self, more: &[&str]) -> PathBuf {
        self.page_of(SLUG, more)
    }

    /// The rows of a query over the table `hits`, as text: read by the engine as any reader would read the files.
    fn query(&self, sql: &str) -> Vec<Vec<String>> {
        block_on(async {
            let config = SessionConfig::new().set_bool("datafusion.sql_parser.enable_ident_normalization", false);
            let context = SessionContext::new_with_config(config);
            context.register_parquet("hits", self.text("out/hits"), ParquetReadOptions::default()).await.unwrap();
            let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
            let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.3f"));
            let mut rows = Vec::new();
            for batch in batches {
                let columns: Vec<_> =
                    batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
                rows.extend(
                    (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect()),
                );
            }
            rows
        })
    }

    fn number(&self, sql: &str) -> u64 {
        self.query(sql)[0][0].parse().unwrap()
    }
}

/// The text of a page.
fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap()
}

fn evaluate(script: &str) -> Value {
    json!(["evaluate", script])
}
