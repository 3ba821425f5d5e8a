//! The library of hunts beside the first one: the tests of `jobs/tests`, and random lakes against each one's oracle.

mod baseline;
mod brute_force;
mod burst;
mod duplicates;
mod forms;
mod lake;
mod other_ip;
mod random;
mod tables;
mod teleportation;
mod yaml;

/// The jobs.
const SLUGS: [&str; 5] = [
    "legacy-auth-attempt",
    "signin-burst-from-multiple-locations",
    "signin-success-then-fail-other-ip",
    "suspected-brute-force",
    "user-login-ip-address-teleportation",
];
