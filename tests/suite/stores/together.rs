//! Several jobs of one lake.

use std::sync::{Arc, Mutex};

use lakehunt::SharedReads;

use super::faulty::{Fault, Op, failing};
use super::place::{Backend, Place};
use crate::lake::{Ask, Lake, at};
use crate::oracle::{MINUTE, SECOND};
use crate::rows::pair;

#[test]
fn what_one_job_has_read_the_next_one_does_not_fetch() {
    let noons = (0..3).map(|day| at("2024-05-01") + (day * 1440 + 720) * MINUTE);
    let lake = Lake::of(&noons.flat_map(|noon| pair("bob", noon, noon + SECOND)).collect::<Vec<_>>());
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake);
        let reads = SharedReads::new(1 << 20);
        let ask = Ask::days("2024-05-01", "2024-05-04");
        let mut hits = Vec::new();
        let mut fetched = Vec::new();
        for output in ["out", "other", "alone"] {
            let calls: Arc<Mutex<Vec<String>>> = Arc::default();
            let heard = Arc::clone(&calls);
            let stores = failing(place.stores(), move |call| {
                if call.op == Op::Get && call.path.ends_with("part-0.parquet") {
                    heard.lock().unwrap().push(call.path.to_owned());
                }
                Fault::None
            });
            let report = place
                .run(&ask, |settings| {
                    settings.output = place.url(output);
                    settings.stores = if output == "alone" { stores } else { stores.with_shared_reads(reads.clone()) };
                })
                .unwrap();
            hits.push(report.hits());
            fetched.push(calls.lock().unwrap().len());
        }
        assert_eq!(hits, [3, 3, 3], "{}", backend.name());
        assert!(fetched[0] >= 3 && fetched[1] == 0 && fetched[2] >= 3, "{}: {fetched:?}", backend.name());
    }
}
