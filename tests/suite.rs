//! The whole path, Parquet in and Parquet out, through the library's public face.
//!
//! One binary, because each one links the engine: `cargo test --release --test suite`. `LAKEHUNT_CASES` raises the
//! number of random lakes.

// A test's helpers may fail as the test itself may.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "suite/drift.rs"]
mod drift;
#[path = "suite/encode.rs"]
mod encode;
#[path = "suite/failures.rs"]
mod failures;
#[path = "suite/identities.rs"]
mod identities;
#[path = "suite/lake.rs"]
mod lake;
#[path = "suite/layouts.rs"]
mod layouts;
#[path = "suite/oracle.rs"]
mod oracle;
#[path = "suite/properties.rs"]
mod properties;
#[path = "suite/rows.rs"]
mod rows;
#[path = "suite/vectors.rs"]
mod vectors;
