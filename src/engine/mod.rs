//! The engine: a DataFusion session for one run, a hunt's SQL with its parameters bound, and its stream of rows.

mod bind;
mod contract;
mod duplicates;
mod hunt;
mod interval_join;
mod ordered;
mod row_number;
mod self_join;
mod session;

pub(crate) use bind::Bindings;
pub(crate) use contract::{OVER_LIMIT, WINDOW_START, WRITTEN};
pub(crate) use duplicates::dropped;
pub(crate) use hunt::{Hunt, engine_error};
pub(crate) use session::{AllRead, Limits, Memory, builder, context, finish, memory, session, worker_rules};
