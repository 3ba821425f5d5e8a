//! The same job where lakes are: a folder, S3 (SeaweedFS) and ADLS (Azurite), undisturbed and disturbed.

mod commits;
mod delta;
mod faults;
mod faulty;
mod kills;
mod place;
mod proxy;
mod refusals;
mod same;
mod servers;
