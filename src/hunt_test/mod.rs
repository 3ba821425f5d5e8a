//! Tests of a hunt: rows in, hits out, through all that a run is made of.
//!
//! The rows become Parquet files of a lake in memory, in the partitions of the job's layout; an ordinary run evaluates
//! the hunt over them and commits its windows beside it; what is compared is what a reader of the hit table would read.

mod compare;
mod rows;
mod values;

use std::num::NonZeroUsize;
use std::time::Duration;

use datafusion::arrow::datatypes::Schema;
use object_store::path::Path;
use serde_json::{Value, json};

pub use compare::{Column, Difference};

use crate::engine::OVER_LIMIT;
use crate::error::{Error, ErrorKind, Result, suggestion};
use crate::job::{Case, Fields, Job, OutputFormat, StoreSpec};
use crate::pipeline;
use crate::report::Outcome;
use crate::settings::Settings;
use crate::sink::{HitReader, Key, Table};
use crate::store::Stores;
use crate::window::{Span, WindowSize, parse_instant};

const SOURCE: &str = "lake";
const OUTPUT: &str = "out";

/// What a test has shown.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The test's name.
    pub name: String,
    /// The hits that it expects, and those that there are.
    pub hits: [usize; 2],
    /// What is otherwise than expected; nothing in a test that has passed.
    pub differences: Vec<Difference>,
}

impl Verdict {
    /// Whether the hits are those that the test expects.
    pub fn has_passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Runs one test of `job`.
///
/// # Errors
/// When the test itself is not valid (a column, a parameter or a window that the job does not have), or the run fails.
pub async fn test(job: &Job, case: &Case) -> Result<Verdict> {
    run(job, case).await.map_err(|e| e.with("test", &case.name).with("job", job.slug()))
}

async fn run(job: &Job, case: &Case) -> Result<Verdict> {
    let job = job.for_case(case)?;
    let rows = rows::Rows::new(&job, case)?;
    let size: WindowSize = case.window.size.as_deref().unwrap_or(&job.window().size).parse()?;
    let mut settings = Settings::new(&job, SOURCE, OUTPUT, span(case, size, &rows)?)?;
    settings.window = size;
    settings.scope = case.window.scope.unwrap_or(settings.scope);
    settings.slack = 0;
    settings.threads = NonZeroUsize::MIN;
    settings.lease = Duration::ZERO;
    settings.output_format = OutputFormat::Parquet;
    settings.stores = Stores::in_memory();
    rows.put(&settings).await?;
    put_tables(&job, case, &mut settings).await?;
    let report = pipeline::run(&job, &settings, &()).await?;
    for window in &report.windows {
        if let Outcome::Failed(error) = &window.outcome {
            return Err(error.as_ref().clone());
        }
    }
    let found = hits(&job, &settings).await?;
    let mut differences = compare::compare("hit", &expected(&case.hits, &found.schema)?, &found.rows);
    if let Some(keys) = &case.over_limit {
        let found: Vec<Fields> = over_limit(&job, &settings).await?.iter().map(key).collect();
        let keys: Vec<Fields> = keys.iter().map(texts).collect();
        differences.extend(compare::compare("key over the limit", &keys, &found));
    }
    Ok(Verdict { name: case.name.clone(), hits: [case.hits.len(), found.rows.len()], differences })
}

/// Writes the rows of the further tables, each into a lake of its own.
async fn put_tables(job: &Job, case: &Case, settings: &mut Settings) -> Result<()> {
    settings.tables.clear();
    for name in case.tables.keys() {
        let known = || job.sources().skip(1).map(|source| source.table.as_str());
        if !known().any(|table| table == name) {
            let hint = suggestion(name, known().collect::<Vec<_>>());
            return Err(invalid(format!("the job reads no further table `{name}`{hint}")));
        }
    }
    for source in job.sources().skip(1) {
        let rows = case.tables.get(&source.table).map(Vec::as_slice);
        // What a test says nothing of has no rows; so is what a run may go without left out.
        if rows.is_none() && source.optional {
            continue;
        }
        let rows = rows::Rows::of(source, &Fields::new(), rows.unwrap_or_default());
        let lake = format!("{SOURCE}-{}", source.table);
        rows.map_err(|e| e.with("table", &source.table))?.put_into(settings, &lake, &source.layout.parse()?).await?;
        settings.tables.insert(source.table.clone(), lake);
    }
    Ok(())
}

fn span(case: &Case, size: WindowSize, rows: &rows::Rows) -> Result<Span> {
    match (&case.window.from, &case.window.to, rows.times()) {
        (Some(from), Some(to), _) => Span::try_new(parse_instant(from)?, parse_instant(to)?),
        (None, None, Some((first, last))) => size.around(first, last),
        (None, None, None) => {
            Err(invalid("a test without rows has no window by itself; give window.from and window.to"))
        }
        _ => Err(invalid("give both window.from and window.to, or neither")),
    }
}

/// The hit table that a test has made.
struct Hits {
    schema: Schema,
    rows: Vec<Fields>,
}

async fn hits(job: &Job, settings: &Settings) -> Result<Hits> {
    let reader = HitReader::open(&settings.stores, OUTPUT, &StoreSpec::default()).await?;
    let mut hits = Hits { schema: Schema::empty(), rows: Vec::new() };
    let files: Vec<Path> = reader.files(Some(job.slug())).await?;
    for file in &files {
        let (schema, batches) = reader.table(file).await?;
        for batch in &batches {
            hits.rows.extend(values::found(batch)?);
        }
        hits.schema = schema.as_ref().clone();
    }
    Ok(hits)
}

async fn over_limit(job: &Job, settings: &Settings) -> Result<Vec<Key>> {
    let table = Table::create(&settings.stores, OUTPUT, &StoreSpec::default(), job.slug()).await?;
    let mut keys = Vec::new();
    for window in settings.windows()? {
        let seen = table.look(window.label()).await?;
        keys.extend(seen.record().into_iter().flat_map(|record| record.over_limit.clone()));
    }
    Ok(keys)
}

/// The hits that a test expects, in the form of those that are found.
fn expected(hits: &[Fields], schema: &Schema) -> Result<Vec<Fields>> {
    let column = |(name, value): (&String, &Value)| {
        let field = schema.field_with_name(name).map_err(|_| {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let hint = if name == OVER_LIMIT {
                "; name such keys in the test's over_limit".to_owned()
            } else {
                suggestion(name, known)
            };
            invalid(format!("the hits have no column `{name}`{hint}"))
        })?;
        let value = values::expected(value, field.data_type()).map_err(|e| e.with("column", name))?;
        Ok((name.clone(), value))
    };
    hits.iter().map(|hit| hit.iter().map(column).collect()).collect()
}

/// A key of the run record: its columns as text, and its pairs.
fn key(key: &Key) -> Fields {
    let values = key.values.iter().map(|(name, value)| (name.to_string(), json!(value)));
    values.chain([("pairs".to_owned(), json!(key.pairs))]).collect()
}

fn texts(key: &Fields) -> Fields {
    let text = |(name, value): (&String, &Value)| {
        let value = if name == "pairs" { value.clone() } else { json!(values::text(value)) };
        (name.clone(), value)
    };
    key.iter().map(text).collect()
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidJob, message)
}
