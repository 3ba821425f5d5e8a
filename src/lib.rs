//! Threat hunts as SQL over Parquet sign-in lakes, with KQL's answer to the row.
//!
//! One direction of flow; `pipeline` is the only module that knows all stages:
//!
//! ```text
//! Args -> Job + Settings -> windows -> records -> partitions -> files -> what is to do -> claim -> chunks of windows
//!      -> `raw` -> view -> SQL with bound parameters -> rows, window by window
//!      -> hits.parquet, then the run record -> RunReport
//! ```

mod cli;
mod cluster;
mod diff;
mod engine;
mod error;
mod explain;
mod functions;
mod generate;
mod hunt_test;
mod inspect;
mod job;
mod lake;
mod page;
mod pipeline;
mod report;
mod scaffold;
mod secrets;
mod settings;
mod sink;
mod stop;
mod store;
mod timespan;
mod window;

pub use cli::main as cli;
pub use cluster::{Access, Workers};
pub use error::{Error, ErrorKind, Result};
pub use explain::{check, explain};
pub use functions::{aggregates as aggregate_functions, all as functions};
pub use generate::{GenerateError, Generated, PlantedHit, TenantSpec, TimeUnit, generate};
pub use hunt_test::{Column, Difference, Verdict, test};
pub use job::{
    Case, CaseWindow, ColumnSpec, ColumnType, Duplicates, EntityMapping, EpochUnit, FieldMapping, Fields, Job,
    NightlySpec, OutputFormat, OutputSpec, RunSpec, Severity, SourceSpec, StoreSpec, Value, WindowSpec,
};
pub use lake::{Layout, Partition, Resolution};
pub use pipeline::{
    Kept, Observer, Plan, SourceChange, Stale, State, Status, StatusState, Survey, WindowPlan, WindowStatus, Work, run,
    status,
};
pub use report::{Left, Outcome, RunReport, WindowReport};
pub use settings::{DEFAULT_LEASE, DEFAULT_MEMORY_LIMIT, Settings, Upkeep};
pub use sink::{
    Claim, DoneWindow, Earlier, Ending, Evaluation, FailedWindow, HitFile, Input, JobOfRecord, Key, ListOfRecord,
    RunEntry, RunRecord, WindowOfRecord, WorkersOfRecord,
};
pub use stop::Stop;
pub use store::{Retry, SharedReads, StoreHook, Stores};
pub use timespan::Timespan;
pub use window::{Nightly, OnChange, Scope, Shard, Span, Window, WindowSize, parse_instant};
