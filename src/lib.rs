//! lakehunt
pub mod generate;
