//! The same job where lakes are: a folder, S3 (SeaweedFS) and ADLS (Azurite), undisturbed and disturbed.

pub(crate) mod commits;
mod delta;
mod faults;
pub(crate) mod faulty;
pub(crate) mod kills;
pub(crate) mod place;
mod proxy;
mod refusals;
pub(crate) mod same;
pub(crate) mod servers;
pub(crate) mod tables;
mod together;
