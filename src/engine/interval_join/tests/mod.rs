//! The operator against a naive join, and the rule that puts it in place.

mod data;
mod operator;
mod replacing;
