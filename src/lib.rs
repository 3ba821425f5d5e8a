//! Threat hunts as SQL over Parquet sign-in lakes, with KQL's answer to the row.
//!
//! One direction of flow; `pipeline` is the only module that knows all stages:
//!
//! ```text
//! Args -> Job + Settings -> windows -> partitions -> files -> chunks of windows
//!      -> `raw` -> view -> SQL with bound parameters -> rows, window by window
//!      -> hits.parquet, then the run record -> RunReport
//! ```

mod cli;
mod engine;
mod error;
mod explain;
mod functions;
mod generate;
mod inspect;
mod job;
mod lake;
mod pipeline;
mod report;
mod secrets;
mod settings;
mod sink;
mod store;
mod timespan;
mod window;

pub use cli::main as cli;
pub use error::{Error, ErrorKind, Result};
pub use explain::{check, explain};
pub use functions::{aggregates as aggregate_functions, all as functions};
pub use generate::{GenerateError, Generated, PlantedHit, TenantSpec, TimeUnit, generate};
pub use job::{
    ColumnSpec, ColumnType, EntityMapping, EpochUnit, FieldMapping, Job, OutputSpec, RunSpec, Severity, SourceSpec,
    StoreSpec, Value, WindowSpec,
};
pub use lake::{Layout, Partition, Resolution};
pub use pipeline::{Observer, Survey, WindowPlan, run};
pub use report::{Outcome, RunReport, WindowReport};
pub use settings::{DEFAULT_MEMORY_LIMIT, Settings};
pub use sink::{HitFile, Input, JobOfRecord, Key, RunRecord, WindowOfRecord};
pub use store::{Retry, StoreHook, Stores};
pub use timespan::Timespan;
pub use window::{Scope, Span, Window, WindowSize, parse_instant};
