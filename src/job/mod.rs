//! A job: a hunt as content. A YAML file with its SQL beside it, read when the job runs.
//!
//! Nothing here reads a lake, runs a query or asks a clock.

mod fingerprint;
mod load;
mod manifest;
mod parameter;
mod sql;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use manifest::{
    ColumnSpec, ColumnType, EntityMapping, EpochUnit, FieldMapping, NightlySpec, OutputFormat, OutputSpec, RunSpec,
    Severity, SourceSpec, StoreSpec, WindowSpec,
};
pub use parameter::Value;
pub(crate) use sql::{HuntSql as Sql, placeholders_mut};

use crate::error::{Error, ErrorKind, Result, suggestion};
use crate::timespan::Timespan;
use manifest::Manifest;
use sql::HuntSql;

/// Parameters that a run gives to every hunt, beside those of its job:
///
/// ```text
///          range_start                                range_end
///  lookback     |                                         |
///  |------------|-- window_size --|-- window_size --|-----|
/// ```
pub(crate) const RUN_PARAMETERS: [&str; 5] = ["range_start", "range_end", "lookback", "window_size", "scope"];

/// A job file with everything that it names, checked.
#[derive(Debug, Clone)]
pub struct Job {
    slug: String,
    path: PathBuf,
    manifest: Manifest,
    sql: HuntSql,
    view: Option<HuntSql>,
    parameters: BTreeMap<String, Value>,
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

    /// Sets the parameter `name` from text, as `--param name=value` does.
    ///
    /// # Errors
    /// When the job has no such parameter, or the text is not of its type.
    pub fn set_parameter(&mut self, name: &str, text: &str) -> Result<()> {
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
        let value = Value::parse(spec.kind, text).map_err(|e| e.with("parameter", name))?;
        self.parameters.insert(name.to_owned(), value);
        Ok(())
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

    pub(crate) fn view_sql(&self) -> Option<&HuntSql> {
        self.view.as_ref()
    }

    /// How far before a window its rows are read.
    pub fn lookback(&self) -> Result<Timespan> {
        let text = self.manifest.window.lookback.as_str();
        match self.parameters.get(text) {
            Some(Value::Timespan(span)) => Ok(*span),
            Some(_) => Err(self.invalid(format!("window.lookback names `{text}`, which is no timespan parameter"))),
            None => text.parse().map_err(|_| {
                self.invalid(format!(
                    "window.lookback is `{text}`; name a timespan parameter or write a time span such as 1m"
                ))
            }),
        }
    }

    fn invalid(&self, message: String) -> Error {
        Error::new(ErrorKind::InvalidJob, message).with("file", self.path.display())
    }
}
