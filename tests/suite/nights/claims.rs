//! Runs that overlap: one sees the other's claim, and nothing is done twice; one that died holds nobody up for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lakehunt::{Claim, Left, Observer, Outcome, RunReport, Settings};
use serde_json::json;

use crate::lake::{Ask, SLUG};
use crate::stores::faulty::{Fault, Op, failing};
use crate::stores::place::{Backend, Place};
use crate::stores::same::{lake, three_days};

const LEASE: Duration = Duration::from_secs(2);

/// A run during whose first commit `then` happens; gives its report.
fn during_a_commit(place: &Arc<Place>, ask: &Ask, then: impl Fn(&Place) + Send + Sync + 'static) -> RunReport {
    let (elsewhere, count) = (Arc::clone(place), AtomicUsize::new(0));
    let stores = failing(place.stores(), move |call| {
        if call.op == Op::Put && call.path.ends_with("hits.parquet") && count.fetch_add(1, Ordering::SeqCst) == 0 {
            // On a thread of its own: the plan is asked from within a runtime.
            std::thread::scope(|scope| scope.spawn(|| then(&elsewhere)).join()).unwrap();
        }
        Fault::None
    });
    place
        .run(ask, |settings| {
            settings.stores = stores;
            settings.lease = LEASE;
        })
        .unwrap()
}

fn claimed(report: &RunReport) -> Vec<&Claim> {
    let mut claims = Vec::new();
    for (window, left) in report.left() {
        match left {
            Left::Claimed(claim) => claims.push(claim),
            Left::Stopped => panic!("nobody stopped {}", window.label),
        }
    }
    claims
}

#[test]
fn a_run_leaves_what_another_one_has_claimed() {
    for backend in Backend::all() {
        let place = Arc::new(Place::new(backend));
        place.upload(&lake());
        let report = during_a_commit(&place, &three_days(), |place| {
            // More than the other one has claimed.
            let more = Ask { from: three_days().from, to: crate::lake::at("2024-05-05"), ..three_days() };
            let second = place
                .run(&more, |settings| {
                    settings.lease = LEASE;
                    settings.wait = false;
                })
                .unwrap();
            assert_eq!((second.exit_code(), second.windows.len()), (0, 4));
            assert_eq!(claimed(&second).len(), 3);
            assert_eq!(claimed(&second)[0].pid, std::process::id());
            // The fourth window's rows are all in the third's partition, which slack lets it see.
            let done = second.windows.iter().filter(|window| matches!(window.outcome, Outcome::Done { .. })).count();
            assert_eq!(done, 1);
        });
        let done = report.windows.iter().filter(|window| matches!(window.outcome, Outcome::Done { .. })).count();
        assert_eq!(done, 3, "{}", backend.name());
    }
}

/// Counts how often a run waits.
#[derive(Default)]
struct Waits(AtomicUsize);

impl Observer for Waits {
    fn waits(&self, _: &Claim, windows: usize) {
        assert_eq!(windows, 3);
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_run_that_waits_finds_the_work_done() {
    for backend in Backend::all() {
        let place = Arc::new(Place::new(backend));
        place.upload(&lake());
        let (started, waits) = (Arc::new(AtomicUsize::new(0)), Arc::new(Waits::default()));
        let second = std::thread::scope(|scope| {
            let begun = Arc::clone(&started);
            let first = scope.spawn(|| {
                during_a_commit(&place, &three_days(), move |_| {
                    begun.store(1, Ordering::SeqCst);
                    // Longer than the lease: it is renewed.
                    std::thread::sleep(LEASE + Duration::from_secs(2));
                })
            });
            while started.load(Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let second =
                three_days().configured(&place.url("lake"), &place.url("out"), &*waits, |settings: &mut Settings| {
                    settings.stores = place.stores();
                    settings.lease = LEASE;
                });
            assert_eq!(first.join().unwrap().exit_code(), 0);
            second.unwrap()
        });
        assert_eq!(waits.0.load(Ordering::SeqCst), 1, "{}", backend.name());
        let up_to_date = |window: &lakehunt::WindowReport| matches!(window.outcome, Outcome::UpToDate { .. });
        assert!(second.windows.iter().all(up_to_date), "{}: {second:?}", backend.name());
    }
}

/// An answer that is lost has the claim put again, and found there: it is the run's own.
#[test]
fn a_claim_whose_answer_was_lost_is_no_other_runs() {
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake());
        let count = AtomicUsize::new(0);
        let stores = failing(place.stores(), move |call| {
            let claim = call.op == Op::Put && call.path.ends_with("claims.json");
            if claim && count.fetch_add(1, Ordering::SeqCst) == 0 { Fault::LostAnswer } else { Fault::None }
        });
        let report = place
            .run(&three_days(), |settings| {
                settings.stores = stores;
                settings.lease = Duration::from_secs(3_600);
                settings.wait = false;
            })
            .unwrap();
        let done = report.windows.iter().filter(|window| matches!(window.outcome, Outcome::Done { .. })).count();
        assert_eq!(done, 3, "{}: {report:?}", backend.name());
    }
}

/// A claim on all that there is, as a run leaves it that dies.
fn claim_of_the_dead(place: &Place, seconds: i64) {
    let now = chrono::Utc::now();
    let claims = json!({"version": 1, "ended": 0, "claims": [{
        "run": "20240501T000000000Z-00000001",
        "host": "elsewhere",
        "pid": 1,
        "started_at": now - chrono::TimeDelta::hours(1),
        "expires_at": now + chrono::TimeDelta::seconds(seconds),
        "stretches": [["2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z"]],
    }]});
    place.put(&format!("out/runs/job={SLUG}/claims.json"), claims.to_string().into_bytes());
}

#[test]
fn the_claim_of_a_dead_run_expires() {
    for backend in Backend::all() {
        for seconds in [-1, 2] {
            let place = Place::new(backend);
            place.upload(&lake());
            claim_of_the_dead(&place, seconds);
            let began = Instant::now();
            let report = place.run(&three_days(), |settings| settings.lease = LEASE).unwrap();
            let done = report.windows.iter().filter(|window| matches!(window.outcome, Outcome::Done { .. })).count();
            assert_eq!(done, 3, "{}", backend.name());
            assert_eq!(began.elapsed() > Duration::from_secs(1), seconds > 0, "it waited no longer than it had to");
            let history = place.objects(&format!("out/runs/job={SLUG}/history"));
            assert_eq!(history.len(), 2, "the dead one is noted: {:?}", history.keys());
            let claims = place.objects("out").remove(&format!("runs/job={SLUG}/claims.json")).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
            assert_eq!((&claims["claims"], &claims["ended"]), (&json!([]), &json!(2)));
        }
    }
}

#[test]
fn a_claims_file_that_cannot_be_read_is_named() {
    let place = Place::new(Backend::Local);
    place.upload(&lake());
    place.put(&format!("out/runs/job={SLUG}/claims.json"), b"not json".to_vec());
    let error = place.run(&three_days(), |settings| settings.lease = LEASE).unwrap_err().to_string();
    assert!(error.contains("claims.json") && error.contains("remove it"), "{error}");
}
