//! The library of hunts: each one's tests of `jobs/*.tests.yaml`, and random lakes against its oracle.

mod baseline;
mod brute_force;
mod burst;
mod forms;
mod lake;
mod other_ip;
mod random;
mod teleportation;
mod yaml;
