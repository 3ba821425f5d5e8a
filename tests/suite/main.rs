//! The integration tests: one binary, because linking the engine is what takes long.

mod cli;
mod slt;
