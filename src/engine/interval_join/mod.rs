//! The interval join: an inner equi-join whose rows also follow each other within a span of time.
//!
//! ```text
//!   one key, in order of time      t          t + span
//!   build side (later events)  . . | . x x . x ] . .      two binary searches find the x
//!   probe side (first events)      t
//! ```
//!
//! The engine's hash join compares every pair of a key and asks `followed_within` afterwards, which is quadratic for a
//! key with many rows, such as a service account. Here the rows of a key stand in order of time, and a row meets only
//! those in its reach. The rows of the answer are the same; their order need not be.

mod build;
mod exec;
mod keys;
mod once;
mod output;
mod probe;
mod rule;
mod sequence;
mod stream;
mod table;

#[cfg(test)]
pub(super) mod tests;

pub(super) use exec::IntervalJoinExec;
#[cfg(test)]
pub(super) use exec::Join;
pub(super) use rule::{IntervalJoinRule, narrow};
#[cfg(test)]
pub(super) use sequence::Sequence;
