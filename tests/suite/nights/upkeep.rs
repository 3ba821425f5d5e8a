//! What a nightly run takes for missing, stale and current, and what it lists to find out.

use std::sync::Arc;
use std::sync::Mutex;

use lakehunt::{Nightly, OnChange, Outcome, RunReport, Settings, Upkeep, parse_instant};

use crate::encode::Form;
use crate::lake::{Ask, Lake, at};
use crate::oracle::{MINUTE, SECOND};
use crate::rows::pair;
use crate::stores::faulty::{Fault, Op, failing};
use crate::stores::place::{Backend, Place};

/// Pairs at noon of the first `days` days of May.
fn lake(days: u32) -> Lake {
    let noons = (0..i128::from(days)).map(|day| at("2024-05-01") + (day * 1440 + 720) * MINUTE);
    Lake::of(&noons.flat_map(|noon| pair("bob", noon, noon + SECOND)).collect::<Vec<_>>())
}

fn night(to: &str, as_of: &str, on_change: OnChange) -> (Ask, Upkeep) {
    let nightly = Nightly { late: "3d".parse().unwrap(), ..Nightly::default() };
    (Ask::days("2024-05-01", to), Upkeep { nightly, as_of: parse_instant(as_of).unwrap(), on_change })
}

fn run(place: &Place, (ask, upkeep): &(Ask, Upkeep), change: impl FnOnce(&mut Settings)) -> RunReport {
    place
        .run(ask, |settings| {
            settings.upkeep = Some(*upkeep);
            change(settings);
        })
        .unwrap()
}

/// The days of the windows that a run did.
fn done(report: &RunReport) -> Vec<&str> {
    let done = report.windows.iter().filter(|window| matches!(window.outcome, Outcome::Done { .. }));
    done.map(|window| &window.label[8..]).collect()
}

#[test]
fn files_that_change_are_seen_as_long_as_they_may_be_late() {
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake(10));
        let night = night("2024-05-11", "2024-05-11T03:00:00Z", OnChange::Warn);
        assert_eq!(done(&run(&place, &night, |_| {})).len(), 10);
        assert_eq!(done(&run(&place, &night, |_| {})), [] as [&str; 0]);
        // One that may still be late, and one that no longer may; both are in reach of the next day's first minute.
        for day in ["02", "09"] {
            let late = at(&format!("2024-05-{day}")) + 60 * MINUTE;
            let rows = pair("eve", late, late + SECOND);
            let form = Form::default();
            let bytes = crate::encode::encode(&rows, &form.fits(&rows));
            place.put(&format!("lake/date=2024-05-{day}/late.parquet"), bytes);
        }
        assert_eq!(done(&run(&place, &night, |_| {})), ["09", "10"], "{}", backend.name());
        assert_eq!(done(&run(&place, &night, |_| {})), [] as [&str; 0], "{}", backend.name());
        // A run over a range looks at all of it.
        let range = place.run(&night.0, |_| {}).unwrap();
        assert_eq!(done(&range), ["02", "03"], "{}", backend.name());
    }
}

#[test]
fn a_changed_job_is_warned_of_or_done_again_as_the_job_says() {
    let place = Place::new(Backend::Local);
    place.upload(&lake(5));
    let warn = night("2024-05-06", "2024-05-06T03:00:00Z", OnChange::Warn);
    run(&place, &warn, |_| {});
    let changed = |on_change| {
        let (mut ask, upkeep) = night("2024-05-06", "2024-05-06T03:00:00Z", on_change);
        ask.limits.max_distribution = 9;
        (ask, upkeep)
    };
    let kept = run(&place, &changed(OnChange::Warn), |_| {});
    assert_eq!(done(&kept), [] as [&str; 0]);
    assert!(
        kept.warnings.iter().any(|line| line.contains("5 windows (2024-05-01 to 2024-05-05)")),
        "{:?}",
        kept.warnings
    );
    let again = run(&place, &changed(OnChange::Rerun), |_| {});
    assert_eq!((done(&again).len(), again.warnings.len()), (5, 0), "{:?}", again.warnings);
}

#[test]
fn what_is_done_stays_when_its_files_are_gone() {
    let place = Place::new(Backend::Local);
    place.upload(&lake(4));
    let night = night("2024-05-05", "2024-05-05T03:00:00Z", OnChange::Warn);
    let hits = run(&place, &night, |_| {}).hits();
    std::fs::remove_dir_all(std::path::Path::new(&place.url("lake")).join("date=2024-05-04")).unwrap();
    let report = run(&place, &night, |settings| settings.force = false);
    assert_eq!((report.hits(), report.exit_code()), (hits, 0));
    assert!(
        report.warnings.iter().any(|line| line.contains("2024-05-04 was done from files that are gone")),
        "{:?}",
        report.warnings
    );
}

/// Of a year of windows only the youngest days are listed, and nothing is read or written.
#[test]
fn a_night_with_nothing_to_do_lists_what_may_be_late_and_no_more() {
    const DAYS: u32 = 60;
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake(DAYS));
        let night = night("2024-06-30", "2024-06-30T03:00:00Z", OnChange::Warn);
        assert_eq!(done(&run(&place, &night, |_| {})).len() as u32, DAYS);
        let calls: Arc<Mutex<Vec<(Op, String)>>> = Arc::default();
        let heard = Arc::clone(&calls);
        let stores = failing(place.stores(), move |call| {
            heard.lock().unwrap().push((call.op, call.path.to_owned()));
            Fault::None
        });
        let report = run(&place, &night, |settings| settings.stores = stores);
        assert_eq!(done(&report), [] as [&str; 0]);
        let calls = calls.lock().unwrap();
        let count = |op: Op, part: &str| calls.iter().filter(|(of, path)| *of == op && path.contains(part)).count();
        // The windows of the 27th to the 29th, and the day before them, whose last minute the first one sees.
        assert_eq!(count(Op::List, "date="), 4, "{}: {calls:?}", backend.name());
        assert_eq!(count(Op::Put, ""), 0, "{}: {calls:?}", backend.name());
        assert_eq!(count(Op::Get, "date="), 0, "no file is opened: {calls:?}");
        // Hits, row and record of each window are looked at.
        assert!(calls.len() < 3 * DAYS as usize + 20, "{}: {} requests", backend.name(), calls.len());
    }
}
