//! The same lake gives the same bytes everywhere, and other programs read them where they are.

use crate::lake::{Ask, Lake, SLUG};
use crate::oracle::{MINUTE, SECOND};
use crate::rows::pair;
use crate::stores::place::{Backend, Place, code, stderr, stdout};
use crate::stores::servers;

const DAYS: [&str; 3] = ["2024-05-01", "2024-05-02", "2024-05-03"];

/// Pairs at noon and across midnight, on three days, in two files each.
pub(crate) fn lake() -> Lake {
    let lake = Lake::new();
    for day in DAYS {
        let noon = crate::lake::at(day) + 720 * MINUTE;
        for (part, user) in ["bob", "eve"].into_iter().enumerate() {
            let rows = [
                pair(user, noon, noon + SECOND),
                pair(user, noon + 719 * MINUTE + 40 * SECOND, noon + 720 * MINUTE + SECOND),
            ]
            .concat();
            lake.put(&format!("date={day}/part-{part}.parquet"), &rows, &Default::default());
        }
    }
    lake
}

pub(crate) fn three_days() -> Ask {
    // Rows that belong to the next day lie at the end of each folder.
    Ask { slack: 1, ..Ask::days("2024-05-01", "2024-05-04") }
}

#[test]
fn the_same_lake_gives_the_same_bytes_on_every_backend() {
    let lake = lake();
    let expected = three_days().run(&lake).unwrap();
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake);
        let report = place.run(&three_days(), |_| {}).unwrap();
        assert_eq!(report.exit_code(), 0, "{}", backend.name());
        let hits = place.hits();
        assert_eq!(hits.len(), 3);
        for (label, bytes) in &hits {
            assert!(*bytes == expected.hit_bytes(label), "{} {label}", backend.name());
        }
        assert!(report.hits() > 5, "{}", report.hits());

        // Again: nothing to do, nothing written.
        let before = place.objects("out");
        let again = place.run(&three_days(), |_| {}).unwrap();
        let up_to_date = |w: &lakehunt::WindowReport| matches!(w.outcome, lakehunt::Outcome::UpToDate { .. });
        assert!(again.windows.iter().all(up_to_date), "{}", backend.name());
        assert!(place.objects("out") == before, "{}", backend.name());
    }
}

#[test]
fn source_and_output_are_on_any_two_backends_and_containers() {
    let lake = lake();
    let expected = three_days().run(&lake).unwrap();
    let backends = Backend::all();
    for from in &backends {
        let source = Place::new(*from);
        source.upload(&lake);
        for to in &backends {
            let target = Place::new(*to);
            let mut command = target.command();
            command.envs(from.server().map(servers::Server::env).unwrap_or_default());
            let output = command
                .args(["run", SLUG, "--source", &source.url("lake"), "--output", &target.url("out")])
                .args(["--from", "2024-05-01", "--to", "2024-05-04", "--slack", "1"])
                .output()
                .unwrap();
            assert_eq!(code(&output), Some(0), "{} to {}: {}", from.name(), to.name(), stderr(&output));
            for (label, bytes) in target.hits() {
                assert!(bytes == expected.hit_bytes(&label), "{} to {} {label}", from.name(), to.name());
            }
        }
    }
}

/// DataFusion's own registry forgets the container of an `abfss` URL; two of one account are two.
#[test]
fn two_containers_of_one_account_are_two_stores() {
    let lake = lake();
    for backend in Backend::remote() {
        let server = backend.server().unwrap();
        server.bucket("elsewhere");
        let place = Place::new(backend);
        place.upload(&lake);
        // The same path in the other container holds nothing, and the output goes there.
        let source = place.url("lake");
        let output = place.url("lake").replace("lake@", "elsewhere@").replace("s3://lake/", "s3://elsewhere/");
        assert_ne!(source, output);
        let ask = three_days();
        let report = ask.configured(&source, &output, &(), |settings| settings.stores = place.stores()).unwrap();
        assert_eq!((report.exit_code(), report.windows.len()), (0, 3), "{}", backend.name());
        assert_eq!(place.objects("lake").len(), 6, "nothing was written beside the source");
        let listed = place.lakehunt(&["hits", &output, "--format", "csv"]);
        assert_eq!(code(&listed), Some(0), "{}", stderr(&listed));
        assert_eq!(stdout(&listed).lines().count() as u64, 1 + report.hits());
    }
}

#[test]
fn other_programs_read_the_hits_where_they_are() {
    let Some(readers) = servers::readers() else { return };
    let lake = lake();
    let mut answers = Vec::new();
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake);
        let report = place.run(&three_days(), |_| {}).unwrap();
        let glob = place.url("out/hits/*/*/hits.parquet");
        let sql = format!("SELECT * EXCLUDE (job, \"window\") FROM read_parquet('{glob}') ORDER BY ALL");
        let rows = readers.duckdb(backend.server(), &sql).unwrap();
        assert_eq!(rows.len() as u64, report.hits(), "{}", backend.name());
        let kql = format!("SELECT count(*) AS n FROM read_parquet('{glob}') WHERE kql_rank = 1");
        assert!(readers.duckdb(backend.server(), &kql).unwrap()[0]["n"].as_u64() > Some(0));
        let mut arrow = readers.pyarrow_rows(backend.server(), &place.url("out/hits")).unwrap();
        assert_eq!(arrow.len(), rows.len(), "{}", backend.name());
        let id = |row: &serde_json::Value| row["hit_id"].as_str().unwrap().to_owned();
        arrow.sort_by_key(id);
        let mut ids: Vec<String> = rows.iter().map(id).collect();
        ids.sort();
        assert_eq!(arrow.iter().map(id).collect::<Vec<_>>(), ids);
        answers.push(rows);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "one table on every backend");
}

#[test]
fn inspect_and_dry_run_work_everywhere() {
    let lake = lake();
    for backend in Backend::all() {
        let place = Place::new(backend);
        place.upload(&lake);
        let inspected = place.lakehunt(&["inspect", &place.url("lake"), "--json", "-vv"]);
        assert_eq!(code(&inspected), Some(0), "{}", stderr(&inspected));
        let found: serde_json::Value = serde_json::from_str(&stdout(&inspected)).unwrap();
        assert_eq!((&found["files"], &found["rows"]), (&6.into(), &24.into()), "{}", backend.name());
        let range = ["--from", "2024-05-01", "--to", "2024-05-04"];
        let (source, output) = (place.url("lake"), place.url("out"));
        let dry = [&["run", SLUG, "--source", &source, "--output", &output, "--dry-run"], &range[..]].concat();
        assert_eq!(code(&place.lakehunt(&dry)), Some(0));
        assert!(place.objects("out").is_empty(), "nothing is written");
        let explained = [&["explain", SLUG, "--source", &source], &range[..]].concat();
        assert_eq!(code(&place.lakehunt(&explained)), Some(0));
    }
}
