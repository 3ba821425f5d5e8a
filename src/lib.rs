//! lakehunt
