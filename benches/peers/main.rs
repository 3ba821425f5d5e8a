//! The hunt beside its floor and its peers, each as a process of its own. Run by hand:
//!
//! ```sh
//! cargo bench --bench peers                      # 1 and 10 million rows
//! cargo bench --bench peers -- 100               # 100 million: some 20 GB of memory for the peers
//! cargo bench --bench peers -- 10 --only lakehunt,floor
//! cargo bench --bench peers -- shapes            # the same rows shuffled, in ten files a day, plain
//! cargo bench --bench peers -- scale             # 1 to 100 million rows, one thread and two
//! cargo bench --bench peers -- cold              # what a run costs that has nothing to do
//! cargo bench --bench peers -- heavy             # one (user, IP) with 200,000 sign-ins in an hour
//! ```
//!
//! Prints tables in Markdown: medians of three runs after one that warms up (one run of what takes longer than twenty
//! seconds), wall, CPU, peak memory, and the ratio to the floor: what it takes merely to decode the six columns of the
//! hunt. Naive forms have two minutes. The hits of all must be equal, or the benchmark fails. Needs `python3` with `venv`
//! and a way to PyPI, for DuckDB and Polars in versions that are noted here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod contender;
mod datafusion_hunt;
mod fingerprint;
mod floor;
mod lakes;
mod measure;

use std::path::Path;
use std::time::Duration;

use contender::{Contender, Setup};
use lakes::{Lake, Shape};
use measure::{Measured, measure};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const RUNS: usize = 3;
const LONG: Duration = Duration::from_secs(20);
const NAIVE_LIMIT: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    // cargo passes `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let texts: Vec<&str> = args.iter().map(String::as_str).collect();
    match texts.as_slice() {
        ["--floor", lake, threads] => {
            floor::decode(&lakes::files(Path::new(lake))?, threads.parse()?)?;
            return Ok(());
        }
        ["--datafusion", form, lake, out, from, to, threads] => {
            return datafusion_hunt::run(form, lake, out, from, to, threads.parse()?);
        }
        ["--operator-off", lake, out, from, to, threads] => {
            return contender::operator_off(lake, out, from, to, threads.parse()?);
        }
        _ => {}
    }
    let setup = Setup::new()?;
    println!("{}\n", machine());
    match texts.first() {
        Some(&"shapes") => shapes(&setup),
        Some(&"scale") => scale(&setup),
        Some(&"cold") => cold(&setup),
        Some(&"heavy") => heavy(&setup),
        _ => {
            let only = texts.iter().position(|arg| *arg == "--only").and_then(|at| texts.get(at + 1));
            let millions: Vec<u64> = texts.iter().filter_map(|arg| arg.parse().ok()).collect();
            let millions = if millions.is_empty() { vec![1, 10] } else { millions };
            millions.into_iter().try_for_each(|millions| side_by_side(&setup, millions, only.copied()))
        }
    }
}

/// Every contender over one lake, without a heavy account and with one.
fn side_by_side(setup: &Setup, millions: u64, only: Option<&str>) -> Result<()> {
    for skew in [false, true] {
        let lake = Lake::get(setup, millions, skew, Shape::Ordered)?;
        println!("{millions} million rows, {}:\n", if skew { "a tenth of one account" } else { "no heavy account" });
        header();
        let mut floor = None;
        let mut expected = None;
        for contender in Contender::ALL {
            let wanted = only.is_none_or(|only| only.split(',').any(|name| contender.name().starts_with(name)));
            // A naive form that cannot end in time needs no second lake to show it.
            if !wanted || contender.is_naive() && millions > 10 {
                continue;
            }
            let limit = contender.is_naive().then_some(NAIVE_LIMIT);
            let out = setup.out();
            let Some(measured) = median(|| hunt(setup, contender, &lake, 2, limit))? else {
                println!("| {} | over {} s | | | |", contender.name(), NAIVE_LIMIT.as_secs());
                continue;
            };
            let floor = *floor.get_or_insert(measured.wall);
            line(contender.name(), &measured, floor);
            if let Some(hits) = contender.hits(&out)? {
                let first = *expected.get_or_insert(hits);
                assert_eq!(hits, first, "{} finds other hits than the first", contender.name());
            }
        }
        match expected {
            Some((count, _)) => println!("\n{count} hits, equal in all.\n"),
            None => println!(),
        }
    }
    Ok(())
}

/// The same rows as lakes hold them otherwise.
fn shapes(setup: &Setup) -> Result<()> {
    header();
    let mut first = None;
    for shape in Shape::ALL {
        let lake = Lake::get(setup, 10, false, shape)?;
        let of = |contender: Contender| median(|| hunt(setup, contender, &lake, 2, None));
        let (floor, hunt) = (of(Contender::Floor)?, of(Contender::Lakehunt)?);
        let (Some(floor), Some(hunt)) = (floor, hunt) else { continue };
        let ordered = *first.get_or_insert(hunt.wall);
        line(&format!("{shape:?}: {:.2} of the ordered lake", ratio(hunt.wall, ordered)), &hunt, floor.wall);
    }
    println!();
    Ok(())
}

/// More rows, fewer threads.
fn scale(setup: &Setup) -> Result<()> {
    header();
    for millions in [1, 10, 100] {
        let lake = Lake::get(setup, millions, false, Shape::Ordered)?;
        for threads in [1, 2] {
            let of = |contender: Contender| median(|| hunt(setup, contender, &lake, threads, None));
            let (Some(floor), Some(hunt)) = (of(Contender::Floor)?, of(Contender::Lakehunt)?) else { continue };
            line(&format!("{millions} million rows, {threads} threads"), &hunt, floor.wall);
        }
    }
    println!();
    Ok(())
}

/// Runs with nothing to do.
fn cold(setup: &Setup) -> Result<()> {
    let lake = Lake::get(setup, 1, false, Shape::Ordered)?;
    hunt(setup, Contender::Lakehunt, &lake, 2, None)?;
    let done = || Contender::Lakehunt.command(setup, &lake, &setup.out(), 2);
    println!("| | wall | CPU | peak |\n|---|---|---|---|");
    let version = || {
        let mut command = std::process::Command::new(contender::LAKEHUNT);
        command.arg("--version");
        command
    };
    for (name, measured) in [
        ("`lakehunt --version`", median(|| measure(version(), None))?),
        ("`lakehunt run`, all windows done", median(|| measure(done()?, None))?),
    ] {
        let Some(measured) = measured else { continue };
        println!("| {name} | {:.3} s | {:.3} s | {} MiB |", measured.wall, measured.cpu, measured.peak >> 20);
    }
    println!();
    Ok(())
}

/// One account that does nothing else for an hour.
fn heavy(setup: &Setup) -> Result<()> {
    let lake = Lake::one_account(setup)?;
    header();
    if let Some(measured) = median(|| hunt(setup, Contender::Lakehunt, &lake, 2, None))? {
        line("100,000 successes and 100,000 failures in an hour", &measured, measured.wall);
    }
    println!();
    Ok(())
}

/// One run into an output that holds nothing: a table that has its hits already has nothing to do.
fn hunt(
    setup: &Setup,
    contender: Contender,
    lake: &Lake,
    threads: usize,
    limit: Option<Duration>,
) -> Result<Option<Measured>> {
    setup.clear_out()?;
    measure(contender.command(setup, lake, &setup.out(), threads)?, limit)
}

/// The median run of some; of one only where that takes long. None where the limit ends it.
fn median(run: impl Fn() -> Result<Option<Measured>>) -> Result<Option<Measured>> {
    let Some(first) = run()? else { return Ok(None) };
    if first.wall > LONG.as_secs_f64() {
        return Ok(Some(first));
    }
    let mut all = Vec::new();
    for _ in 0..RUNS {
        match run()? {
            Some(measured) => all.push(measured),
            None => return Ok(None),
        }
    }
    all.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    Ok(Some(all.swap_remove(RUNS / 2)))
}

fn header() {
    println!("| | wall | CPU | peak | of the floor |\n|---|---|---|---|---|");
}

fn line(name: &str, measured: &Measured, floor: f64) {
    let Measured { wall, cpu, peak } = measured;
    println!("| {name} | {wall:.2} s | {cpu:.2} s | {} MiB | {:.1} |", peak >> 20, ratio(*wall, floor));
}

fn ratio(wall: f64, of: f64) -> f64 {
    wall / of
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores, {} {}", model.unwrap_or("a machine"), std::env::consts::OS, std::env::consts::ARCH)
}
