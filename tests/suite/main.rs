//! The whole path, Parquet in and Parquet out, through the library's public face and the command line.
//!
//! One binary, because each one links the engine: `cargo test --release --test suite`. `LAKEHUNT_CASES` sets the number
//! of random lakes and has them differ from run to run.

// A test's helpers may fail as the test itself may.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli;
mod cluster;
mod deploy;
mod drift;
mod encode;
mod failures;
mod heavy;
mod hunts;
mod identities;
mod lake;
mod layouts;
mod library;
mod nights;
mod oracle;
mod plans;
mod properties;
mod report;
mod rows;
mod slt;
mod stores;
mod vectors;
