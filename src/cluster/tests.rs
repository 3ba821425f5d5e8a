//! Workers and a run in one process, over real connections.
