//! The operator against a naive join, and the rule that puts it in place.

pub(in crate::engine) mod data;
mod operator;
mod replacing;
