//! A month of nights: files arrive daily, some late, some written anew; the machine is off for three nights, and one run
//! is killed. What the last night leaves is what one run over the final lake gives.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use crate::lake::SLUG;
use crate::nights::{count, generate, json, passed, run};
use crate::stores::place::{Backend, Place};

const DAYS: u32 = 31;
/// Nights after which the machine is off, and the night whose first run is killed.
const OFF: [u32; 3] = [13, 14, 15];
const KILLED: u32 = 22;

/// Files that come to the lake in the night after a day of May.
type Arrivals = BTreeMap<u32, Vec<(String, Vec<u8>)>>;

/// Each day has two files. The second one of every fifth day is two days late, and the first one of every seventh day is at
/// first another one. Gives the arrivals.
fn arrivals(folder: &std::path::Path) -> Arrivals {
    generate(&folder.join("final"), DAYS, 1500, &["--files", "2"]);
    generate(&folder.join("first"), DAYS, 1500, &["--files", "2", "--seed", "2"]);
    let mut arrivals = Arrivals::new();
    for day in 1..=DAYS {
        let name = |part: u32| format!("date=2024-05-{day:02}/part-{part}.parquet");
        let of = |lake: &str, part| std::fs::read(folder.join(lake).join(name(part))).unwrap();
        let mut arrive = |night: u32, part: u32, bytes: Vec<u8>| {
            arrivals.entry(night.min(DAYS)).or_default().push((format!("lake/{}", name(part)), bytes));
        };
        if day % 7 == 0 {
            arrive(day, 0, of("first", 0));
            arrive(day + 3, 0, of("final", 0));
        } else {
            arrive(day, 0, of("final", 0));
        }
        arrive(if day % 5 == 0 { day + 2 } else { day }, 1, of("final", 1));
    }
    arrivals
}

#[test]
fn after_a_month_of_nights_the_table_is_that_of_one_run_over_the_final_lake() {
    let folder = tempfile::tempdir().unwrap();
    let arrivals = arrivals(folder.path());
    std::thread::scope(|scope| {
        for backend in Backend::all() {
            let arrivals = &arrivals;
            scope.spawn(move || nights(backend, arrivals));
        }
    });
}

fn nights(backend: Backend, arrivals: &Arrivals) {
    let place = Place::new(backend);
    let (mut again, mut first, mut killed) = (0, 0, false);
    for night in 1..=DAYS {
        for (path, bytes) in arrivals.get(&night).into_iter().flatten() {
            place.put(path, bytes.clone());
        }
        if OFF.contains(&night) {
            continue;
        }
        let as_of = match night {
            DAYS => "2024-06-01T03:00:00Z".to_owned(),
            night => format!("2024-05-{:02}T03:00:00Z", night + 1),
        };
        let nightly = || {
            let flags = ["--start", "2024-05-01", "--delay", "2h", "--late", "7d", "--lease", "1s", "--json"];
            run(&place, "out", &[&flags[..], &["--as-of", &as_of]].concat())
        };
        if night == KILLED {
            let mut child = nightly().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // It has claimed its windows, and has them yet to read; or it was too fast to be caught.
            let claimed = || {
                let claims = place.get(&format!("out/runs/job={SLUG}/claims.json"));
                claims.is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains("expires_at"))
            };
            while child.try_wait().unwrap().is_none() && !claimed() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = child.kill();
            killed = child.wait().unwrap().code().is_none();
        }
        let output = nightly().output().unwrap();
        passed(&place, &output);
        let report = json(&output);
        let done = count(&report, "done");
        // After nights that were missed their days are made up for, too.
        let days = if night == OFF[2] + 1 { 4 } else { 1 };
        first += days;
        again += done.saturating_sub(days);
        assert_eq!(report["windows"].as_array().unwrap().len() as u32, night);
        assert!(done >= days || night == KILLED, "{} {night}: {report}", backend.name());
    }
    assert_eq!(first as u32, DAYS, "every day was done by the first night that could");
    assert!(again > 8, "{}: late and new files were seen: {again}", backend.name());

    let range = ["--from", "2024-05-01", "--to", "2024-06-01"];
    passed(&place, &run(&place, "fresh", &range).output().unwrap());
    let hits = |output: &str| -> BTreeMap<String, Vec<u8>> {
        let objects = place.objects(&format!("{output}/hits/job={SLUG}")).into_iter();
        objects.filter(|(name, _)| name.ends_with("hits.parquet")).collect()
    };
    let (nightly, fresh) = (hits("out"), hits("fresh"));
    assert_eq!(fresh.len() as u32, DAYS);
    assert!(nightly == fresh, "{}: the same bytes", backend.name());

    // One night more: nothing is to do, and the run that was killed is in the history.
    let flags = ["--start", "2024-05-01", "--late", "7d", "--as-of", "2024-06-01T04:00:00Z", "--json"];
    let idle = json(&run(&place, "out", &flags).output().unwrap());
    assert_eq!(count(&idle, "up_to_date") as u32, DAYS, "{}", backend.name());
    let history = place.lakehunt(&["history", SLUG, "--output", &place.url("out"), "--limit", "100", "--json"]);
    let died = json(&history)["runs"].as_array().unwrap().iter().filter(|run| run["ending"] == "died").count();
    // One that was killed after it had let go of its windows left no claim that could expire.
    assert!(died <= usize::from(killed), "{}: {died}", backend.name());
}
