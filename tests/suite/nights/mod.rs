//! Night after night: what is to do, late files, nights that are missed, runs that die, runs that overlap.

mod claims;
mod commands;
mod month;
mod shards;
mod stops;
mod telemetry;
mod upkeep;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::lake::SLUG;
use crate::stores::place::{Place, code, stderr, stdout};

/// Makes a lake of a small tenant with this program.
fn generate(folder: &Path, days: u32, rows_per_day: u32, more: &[&str]) {
    let made = Command::new(env!("CARGO_BIN_EXE_lakehunt"))
        .args(["generate", folder.to_str().unwrap(), "--days", &days.to_string()])
        .args(["--rows-per-day", &rows_per_day.to_string(), "--users", "150", "--apps", "60", "--attacks-per-day", "6"])
        .args(more)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
}

/// `run` of the job from `lake` to `output` of a place.
fn run(place: &Place, output: &str, more: &[&str]) -> Command {
    let mut command = place.command();
    command.args(["run", SLUG, "--source", &place.url("lake"), "--output", &place.url(output)]).args(more);
    command
}

fn passed(place: &Place, output: &Output) {
    place.check_no_secret("stderr", &output.stderr);
    assert_eq!(code(output), Some(0), "{}", stderr(output));
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|e| panic!("{e}: {}{}", stdout(output), stderr(output)))
}

/// How many windows of a run ended so.
fn count(report: &Value, status: &str) -> usize {
    report["windows"].as_array().unwrap().iter().filter(|window| window["status"] == status).count()
}
