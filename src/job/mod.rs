//! A job: a hunt as content. A YAML file with its SQL beside it, read when the job runs.
//!
//! Nothing here reads a lake, runs a query or asks a clock.

mod case;
mod fingerprint;
mod list;
mod load;
mod manifest;
mod parameter;
mod sql;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use case::{Case, CaseWindow, Fields};
pub use manifest::{
    ColumnSpec, ColumnType, Duplicates, EntityMapping, EpochUnit, FieldMapping, NightlySpec, OutputFormat, OutputSpec,
    RunSpec, Severity, SourceSpec, StoreSpec, WindowSpec,
};
pub use parameter::Value;
pub(crate) use sql::{HuntSql as Sql, arguments_of, placeholders_mut};

use crate::error::{Error, ErrorKind, Result, suggestion};
use crate::timespan::{DAY_NANOS, Timespan};
use crate::window::Scope;
pub(crate) use list::List;
use list::ListSpec;
use manifest::Manifest;
use parameter::ParameterType;
use sql::HuntSql;

/// Parameters that a run gives to every hunt, beside those of its job:
///
/// ```text
///          range_start                                range_end
///  lookback     |                                         |
///  |------------|-- window_size --|-- window_size --|-----|
/// ```
pub(crate) const RUN_PARAMETERS: [&str; 5] = ["range_start", "range_end", "lookback", "window_size", "scope"];

/// How far before a window rows can be read, in nanoseconds: instants keep that margin from the ends of time.
const LONGEST_REACH: i64 = 366 * DAY_NANOS;

/// A job file with everything that it names, checked.
#[derive(Debug, Clone)]
pub struct Job {
    slug: String,
    path: PathBuf,
    manifest: Manifest,
    sql: HuntSql,
    /// Of the source and of each further table.
    views: Vec<Option<HuntSql>>,
    parameters: BTreeMap<String, Value>,
    lists: BTreeMap<String, List>,
}

impl Job {
    /// Reads the job `name`: the path of a job file, or the slug of one in the folder `jobs` of `$LAKEHUNT_HOME`, of
    /// the current folder or of one above it.
    ///
    /// # Errors
    /// When there is none, or it is not valid: an unknown key, parameter or function (the nearest right one is named),
    /// or SQL that is not one SELECT.
    pub fn find(name: &str) -> Result<Self> {
        Self::load(&load::locate(name)?)
    }

    /// Reads the job file `path` and the SQL files that it names (relative to it).
    ///
    /// # Errors
    /// As [`Job::find`].
    pub fn load(path: &Path) -> Result<Self> {
        load::load(path)
    }

    /// The job files of the folder `jobs`: of `$LAKEHUNT_HOME`, else of the current folder or the nearest above it.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn all() -> Result<Vec<PathBuf>> {
        load::all()
    }

    /// The folder that holds `jobs` and `sql`: `$LAKEHUNT_HOME`, else the nearest one at or above the current folder that has
    /// `jobs`, else the current folder.
    pub(crate) fn root() -> PathBuf {
        load::root()
    }

    /// Sets the parameter `name` from text, as `--param name=value` does.
    ///
    /// # Errors
    /// When the job has no such parameter, or the text is not of its type.
    pub fn set_parameter(&mut self, name: &str, text: &str) -> Result<()> {
        self.set(name, |kind| Value::parse(kind, text))
    }

    fn set(&mut self, name: &str, value: impl FnOnce(ParameterType) -> Result<Value>) -> Result<()> {
        let Some(spec) = self.manifest.parameters.get(name) else {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "the job has no parameter `{name}`{}",
                    suggestion(name, self.manifest.parameters.keys().map(String::as_str))
                ),
            )
            .with("job", &self.slug));
        };
        let value = value(spec.kind).map_err(|e| e.with("parameter", name))?;
        self.parameters.insert(name.to_owned(), value);
        Ok(())
    }

    /// The job with the parameters that a test of it has.
    pub(crate) fn for_case(&self, case: &Case) -> Result<Self> {
        let mut job = self.clone();
        for (name, literal) in &case.parameters {
            job.set(name, |kind| Value::from_literal(kind, literal.clone()))?;
        }
        for (name, rows) in &case.lists {
            job.put_list(name, |spec| List::of(spec, rows))?;
        }
        job.reach(Scope::Overlap)?;
        Ok(job)
    }

    /// Takes the list `name` from a file, as `--list name=file` does: CSV with a header, or Parquet.
    ///
    /// # Errors
    /// When the job has no such list, or the file lacks one of its columns or cannot be read.
    pub fn set_list(&mut self, name: &str, file: &Path) -> Result<()> {
        self.put_list(name, |spec| List::load(spec, file))
    }

    fn put_list(&mut self, name: &str, list: impl FnOnce(&ListSpec) -> Result<List>) -> Result<()> {
        let Some(spec) = self.manifest.lists.get(name) else {
            let known = suggestion(name, self.manifest.lists.keys().map(String::as_str));
            return Err(
                Error::new(ErrorKind::Usage, format!("the job has no list `{name}`{known}")).with("job", &self.slug)
            );
        };
        let list = list(spec).map_err(|e| e.with("list", name))?;
        self.lists.insert(name.to_owned(), list);
        Ok(())
    }

    /// The job's lists with their rows.
    pub(crate) fn lists(&self) -> &BTreeMap<String, List> {
        &self.lists
    }

    /// The job's tests, in their order.
    ///
    /// # Errors
    /// When they stand in a file of their own that cannot be read, or two have one name.
    pub fn cases(&self) -> Result<Vec<Case>> {
        self.manifest.tests.load(&self.path)
    }

    /// The short name: the file's name without its ending.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hunt's id.
    pub fn id(&self) -> &str {
        &self.manifest.id
    }

    /// The hunt's full name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// The hunt's version.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }

    /// What the hunt looks for, and why.
    pub fn description(&self) -> &str {
        &self.manifest.description
    }

    /// How much a hit matters.
    pub fn severity(&self) -> Severity {
        self.manifest.severity
    }

    /// MITRE ATT&CK tactics, as Sentinel writes them.
    pub fn tactics(&self) -> &[String] {
        &self.manifest.tactics
    }

    /// MITRE ATT&CK techniques.
    pub fn techniques(&self) -> &[String] {
        &self.manifest.relevant_techniques
    }

    /// Which output column names which entity.
    pub fn entity_mappings(&self) -> &[EntityMapping] {
        &self.manifest.entity_mappings
    }

    /// What the hunt does not see: known gaps, for those who read its hits.
    pub fn blind_spots(&self) -> &[String] {
        &self.manifest.blind_spots
    }

    /// The parameters with the values of this run.
    pub fn parameters(&self) -> &BTreeMap<String, Value> {
        &self.parameters
    }

    /// What the job says of each parameter.
    pub fn parameter_description(&self, name: &str) -> Option<&str> {
        self.manifest.parameters.get(name).and_then(|p| p.description.as_deref())
    }

    /// The lake's shape as the job knows it.
    pub fn source(&self) -> &SourceSpec {
        &self.manifest.source
    }

    /// The source, and the further tables that the hunt reads.
    pub fn sources(&self) -> impl Iterator<Item = &SourceSpec> {
        std::iter::once(&self.manifest.source).chain(&self.manifest.sources)
    }

    /// The windows as the job has them.
    pub fn window(&self) -> &WindowSpec {
        &self.manifest.window
    }

    /// What a run without a range does, as the job has it.
    pub fn nightly(&self) -> &NightlySpec {
        &self.manifest.nightly
    }

    /// Where and in which order the hits are written.
    pub fn output(&self) -> &OutputSpec {
        &self.manifest.output
    }

    /// Limits of the process.
    pub fn run(&self) -> &RunSpec {
        &self.manifest.run
    }

    /// The text of the hunt's SQL.
    pub fn sql(&self) -> &str {
        self.sql.text()
    }

    pub(crate) fn hunt_sql(&self) -> &HuntSql {
        &self.sql
    }

    /// The source and each further table with its view.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&SourceSpec, Option<&HuntSql>)> {
        self.sources().zip(self.views.iter().map(Option::as_ref))
    }

    /// How far before a window its rows are read: as far as `window.history` says, and as far as `window.lookback` says
    /// unless it is strict.
    pub fn reach(&self, scope: Scope) -> Result<Timespan> {
        let WindowSpec { lookback, history, .. } = &self.manifest.window;
        let (lookback, history) = (self.span("lookback", lookback)?, self.span("history", history)?);
        Ok(match scope {
            Scope::Overlap => lookback.max(history),
            Scope::Strict => history,
        })
    }

    /// How far the first event of a sequence may lie before a window.
    pub(crate) fn lookback(&self) -> Result<Timespan> {
        self.span("lookback", &self.manifest.window.lookback)
    }

    /// A span that `window` has under `key`: a timespan parameter, a time span, or a sum of these.
    fn span(&self, key: &str, text: &str) -> Result<Timespan> {
        let mut nanos = 0_i64;
        for term in text.split('+').map(str::trim) {
            let span = match self.parameters.get(term) {
                Some(Value::Timespan(span)) => *span,
                Some(_) => {
                    return Err(self.invalid(format!("window.{key} names `{term}`, which is no timespan parameter")));
                }
                None => term.parse().map_err(|_| {
                    self.invalid(format!(
                        "window.{key} is `{text}`; name a timespan parameter or write a time span such as 1m"
                    ))
                })?,
            };
            nanos = nanos.saturating_add(span.nanos());
        }
        let span = Timespan::from_nanos(nanos);
        if span.nanos() < 0 || span.nanos() > LONGEST_REACH {
            return Err(self.invalid(format!("window.{key} is {span}; it is at most 366d, and not negative")));
        }
        Ok(span)
    }

    fn invalid(&self, message: String) -> Error {
        Error::new(ErrorKind::InvalidJob, message).with("file", self.path.display())
    }
}
