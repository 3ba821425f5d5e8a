//! The job file as it is written: serde types, nothing else.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::case::Cases;
use super::list::ListSpec;
use super::parameter::{Literal, ParameterType};
use crate::window::{OnChange, Scope};

/// The whole file. Keys in camel case are Sentinel's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) severity: Severity,
    #[serde(default)]
    pub(super) tactics: Vec<String>,
    #[serde(default, rename = "relevantTechniques")]
    pub(super) relevant_techniques: Vec<String>,
    #[serde(default, rename = "entityMappings")]
    pub(super) entity_mappings: Vec<EntityMapping>,
    /// Not Sentinel's, but spelled in its manner.
    #[serde(default, rename = "blindSpots")]
    pub(super) blind_spots: Vec<String>,
    pub(super) sql: String,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, ParameterSpec>,
    /// Small tables beside the lake, by the names under which the SQL reads them.
    #[serde(default)]
    pub(super) lists: BTreeMap<String, ListSpec>,
    pub(super) source: SourceSpec,
    /// Further tables that the SQL reads beside that of `source`.
    #[serde(default)]
    pub(super) sources: Vec<SourceSpec>,
    #[serde(default)]
    pub(super) window: WindowSpec,
    #[serde(default)]
    pub(super) nightly: NightlySpec,
    #[serde(default)]
    pub(super) output: OutputSpec,
    #[serde(default)]
    pub(super) run: RunSpec,
    #[serde(default)]
    pub(super) tests: Cases,
    /// Sentinel's keys that a lake job has no use for; they may stay.
    #[serde(default, rename = "requiredDataConnectors")]
    _required_data_connectors: IgnoredAny,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    #[serde(default, rename = "tags")]
    _tags: IgnoredAny,
}

/// How much a hit matters, in Sentinel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[allow(missing_docs)]
pub enum Severity {
    Informational,
    Low,
    #[default]
    Medium,
    High,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An entity that a hit names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EntityMapping {
    /// Sentinel's entity type, for example `Account`.
    pub entity_type: String,
    /// Its identifiers.
    pub field_mappings: Vec<FieldMapping>,
}

/// One identifier of an entity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FieldMapping {
    /// The identifier, for example `FullName`.
    pub identifier: String,
    /// The output column that holds it.
    pub column_name: String,
}

/// A parameter as the job file declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterSpec {
    #[serde(rename = "type")]
    pub(super) kind: ParameterType,
    pub(super) default: Literal,
    pub(super) description: Option<String>,
}

/// The lake's shape.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// The root of the lake; `--source` overrides it.
    pub url: Option<String>,
    /// How its store is reached.
    #[serde(default)]
    pub store: StoreSpec,
    /// The name under which the hunt's SQL reads it.
    pub table: String,
    /// Whether a run may go without it, of a further table: it has no rows then.
    #[serde(default)]
    pub optional: bool,
    /// The SELECT from `raw` to that table, a path relative to the job file.
    pub view: Option<String>,
    /// How folders follow from time; `--layout` overrides it.
    #[serde(default = "flat")]
    pub layout: String,
    /// Partitions read before and after those of a window, for rows that lie in a neighbour's.
    #[serde(default)]
    pub slack: u32,
    /// The columns of `raw`.
    pub columns: BTreeMap<String, ColumnSpec>,
    /// Which of them is the time that windows and pruning go by.
    pub time: String,
    /// What becomes of rows that the lake holds more than once.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// Which of the columns tells rows apart, for `duplicates: by_id`.
    pub id: Option<String>,
}

/// What becomes of rows that a lake holds more than once: exporters deliver at least once, and a sign-in that goes on (for a
/// second factor) is logged again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// They stay, as they do in KQL.
    #[default]
    Keep,
    /// Of rows that have the same id in one window, the latest stays. Rows without an id stay.
    ById,
    /// Of rows that have the same values in all columns of the job, one stays.
    Exact,
}

impl fmt::Display for Duplicates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::ById => "by_id",
            Self::Exact => "exact",
        })
    }
}

fn flat() -> String {
    "flat".to_owned()
}

/// A column of `raw`.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Its type, in KQL's words.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Names that it may have in a file, matched without regard to case; the first one found is read. Its own name
    /// when empty.
    #[serde(default)]
    pub from: Vec<String>,
    /// The unit of times that are stored as whole numbers since 1970.
    #[serde(default)]
    pub epoch: EpochUnit,
    /// Whether no file need have it: a run does not warn then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// The type of a column, in KQL's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// A UTC instant.
    Datetime,
    /// Text; numbers are read as their shortest decimal form.
    String,
    /// A whole number of 64 bits.
    Long,
    /// A floating-point number of 64 bits.
    Real,
    /// `true` or `false`.
    Bool,
    /// JSON, as text: of a column that is text, or structs, lists and maps.
    Dynamic,
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Datetime => "datetime",
            Self::String => "string",
            Self::Long => "long",
            Self::Real => "real",
            Self::Bool => "bool",
            Self::Dynamic => "dynamic",
        })
    }
}

/// The unit of a time that is stored as a whole number since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum EpochUnit {
    S,
    #[default]
    Ms,
    Us,
    Ns,
}

impl EpochUnit {
    /// The unit in nanoseconds.
    pub(crate) fn nanos(self) -> i64 {
        match self {
            Self::S => 1_000_000_000,
            Self::Ms => 1_000_000,
            Self::Us => 1_000,
            Self::Ns => 1,
        }
    }
}

/// The windows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WindowSpec {
    /// The first instant, as `--from`.
    pub from: Option<String>,
    /// The first instant after the last window, as `--to`.
    pub to: Option<String>,
    /// The length of a window, or `all`; `--window` overrides it.
    pub size: String,
    /// What a window sees of the time before it; `--scope` overrides it.
    pub scope: Scope,
    /// How far before a window the first event of a sequence may lie that ends inside it: a timespan parameter's name,
    /// a time span, or a sum of these. Windows of scope `strict` look back at nothing.
    pub lookback: String,
    /// How far before a window the rows lie that it is compared with, whatever its scope; written as `lookback`.
    pub history: String,
}

impl Default for WindowSpec {
    fn default() -> Self {
        Self {
            from: None,
            to: None,
            size: "1d".to_owned(),
            scope: Scope::default(),
            lookback: "0s".to_owned(),
            history: "0s".to_owned(),
        }
    }
}

/// What a run without a range does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NightlySpec {
    /// The first instant of the first window; `--start` overrides it.
    pub start: Option<String>,
    /// How far back windows are looked at, for example `30d`; `--lookback` overrides it.
    pub lookback: Option<String>,
    /// How long after its end a window is taken for complete; `--delay` overrides it.
    pub delay: Option<String>,
    /// How long after its end the files of a window are compared with those that it was made from; `--late` overrides
    /// it.
    pub late: Option<String>,
    /// What becomes of windows that another version of the job has done; `--on-change` overrides it.
    pub on_change: OnChange,
}

/// The hit table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputSpec {
    /// The root of the output; `--output` overrides it.
    pub url: Option<String>,
    /// How its store is reached.
    pub store: StoreSpec,
    /// Whether it is files of Parquet or a Delta table; `--output-format` overrides it.
    pub format: OutputFormat,
    /// Columns that rows are ordered by, before the remaining ones as they stand.
    pub sort: Vec<String>,
    /// Columns that make up the key of the distribution, for the list of keys over the limit.
    pub key: Vec<String>,
}

/// The form of the hit table and of the runs table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// A file of Parquet for each window.
    #[default]
    Parquet,
    /// A Delta table for the hits of each job, and one for the runs of all.
    Delta,
}

impl OutputFormat {
    /// For serde.
    pub(crate) fn is_parquet(&self) -> bool {
        *self == Self::Parquet
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "parquet",
            Self::Delta => "delta",
        })
    }
}

/// Limits of the process.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSpec {
    /// Threads; `--threads` overrides it.
    pub threads: Option<std::num::NonZeroUsize>,
    /// Memory for the engine, for example `512MiB`; `--memory-limit` overrides it.
    pub memory_limit: Option<String>,
    /// Tries after a request to a store that failed; `--store-retries` overrides it.
    pub store_retries: Option<usize>,
    /// Time for a request with all its tries, for example `2m`; `--store-timeout` overrides it.
    pub store_timeout: Option<String>,
}

/// How a store is reached, where the variables of its provider do not say so: they go before these. Credentials never
/// stand here; a job file that holds one is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSpec {
    /// The URL of the service, for one that is not the provider's own.
    pub endpoint: Option<String>,
    /// The region of a bucket.
    pub region: Option<String>,
    /// Whether the endpoint may be reached without TLS.
    pub allow_http: Option<bool>,
    /// Whether the bucket's name stands in the path (as S3's own default here) or in the host.
    pub path_style: Option<bool>,
    /// The storage account of a container, where the URL does not name it.
    pub account: Option<String>,
    /// The profile of the AWS command line whose credentials are used.
    pub profile: Option<String>,
}
