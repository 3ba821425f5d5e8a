//! The whole generator, through the files it writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit as ArrowUnit};
use chrono::{NaiveDate, Timelike};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

const NS_PER_DAY: i64 = 86_400 * 1_000_000_000;
const EXCLUDED: [&str; 3] = ["Office 365 Exchange Online", "Skype for Business Online", "Office 365 SharePoint Online"];

/// A row as the hunt sees it: time in nanoseconds, "" for a missing string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SignIn {
    time: i64,
    user: String,
    ip: String,
    app: String,
    result: String,
    description: String,
}

fn small() -> TenantSpec {
    TenantSpec {
        days: 2,
        rows_per_day: 4_000,
        users: 60,
        apps: 45,
        service_accounts: 2,
        attacks_per_day: 24,
        null_share: 0.02,
        failure_share: 0.3,
        row_group_rows: 1_000,
        ..TenantSpec::default()
    }
}

fn by_day(instant: DateTime<Utc>) -> String {
    format!("date={}", instant.format("%Y-%m-%d"))
}

fn by_hour(instant: DateTime<Utc>) -> String {
    instant.format("y=%Y/m=%m/d=%d/h=%H").to_string()
}

fn run(spec: &TenantSpec, root: &Path) -> Generated {
    generate(spec, root, &by_day, &mut |_| ()).expect("a good spec")
}

/// Every file below a folder with its bytes, by path relative to it.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below root");
                let name = name.to_string_lossy().into_owned();
                found.insert(name, fs::read(path).expect("a file"));
            }
        }
    }
    found
}

fn read(bytes: Vec<u8>) -> Vec<SignIn> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
        .expect("a footer")
        .build()
        .expect("a reader");
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.expect("a batch");
        let column = |name: &str| -> ArrayRef { Arc::clone(batch.column_by_name(name).expect(name)) };
        let time = cast(&column("TimeGenerated"), &DataType::Timestamp(ArrowUnit::Nanosecond, None)).expect("a time");
        let time = cast(&time, &DataType::Int64).expect("an integer");
        let text = |name: &str, row: usize| {
            let column = column(name);
            let texts = column.as_string::<i32>();
            assert!(!texts.is_null(row) || texts.value(row).is_empty());
            texts.value(row).to_owned()
        };
        for row in 0..batch.num_rows() {
            rows.push(SignIn {
                time: time.as_primitive::<Int64Type>().value(row),
                user: text("UserPrincipalName", row),
                ip: text("IPAddress", row),
                app: text("AppDisplayName", row),
                result: text("ResultType", row),
                description: text("ResultDescription", row),
            });
        }
    }
    rows
}

fn read_all(root: &Path) -> Vec<SignIn> {
    files(root).into_values().flat_map(read).collect()
}

/// The hunt, word for word, over the rows of one window; `PlantedHit` serves as the hit.
fn hunt(rows: &[&SignIn]) -> Vec<PlantedHit> {
    let mut keys: HashMap<(&str, &str), Vec<&SignIn>> = HashMap::new();
    for row in rows {
        keys.entry((&row.user, &row.ip)).or_default().push(row);
    }
    let mut hits: BTreeMap<[&str; 6], (i64, i64)> = BTreeMap::new();
    let mut distribution: HashMap<(&str, &str), u64> = HashMap::new();
    for rows in keys.into_values() {
        let successes = rows.iter().filter(|row| row.result == "0" && !EXCLUDED.contains(&row.app.as_str()));
        for s in successes {
            for f in &rows {
                let fails = f.result != "0"
                    && f.result != "50140"
                    && !f.description.eq_ignore_ascii_case("other")
                    && !EXCLUDED.contains(&f.app.as_str())
                    && !f.app.is_empty();
                let gap = f.time - s.time;
                if !fails || gap <= 0 || gap > 60_000_000_000 || s.app == f.app {
                    continue;
                }
                *distribution.entry((&s.app, &f.result)).or_default() += 1;
                let key = [&*s.user, &*s.app, &*f.app, &*s.ip, &*f.result, &*f.description];
                let times = hits.entry(key).or_insert((s.time, f.time));
                *times = (times.0.min(s.time), times.1.min(f.time));
            }
        }
    }
    hits.into_iter()
        .filter_map(|([user, success_app, failed_app, ip, result, description], (s, f))| {
            let pairs = distribution[&(success_app, result)];
            (pairs <= 5).then(|| PlantedHit {
                success_time: DateTime::from_timestamp_nanos(s),
                failed_time: DateTime::from_timestamp_nanos(f),
                user: user.to_owned(),
                ip: ip.to_owned(),
                success_app: success_app.to_owned(),
                failed_app: failed_app.to_owned(),
                result_type: result.to_owned(),
                result_description: description.to_owned(),
                pairs,
            })
        })
        .collect()
}

/// The hunt's hits day by day.
fn hunt_days(rows: &[SignIn]) -> Vec<PlantedHit> {
    let mut days: BTreeMap<i64, Vec<&SignIn>> = BTreeMap::new();
    for row in rows {
        days.entry(row.time / NS_PER_DAY).or_default().push(row);
    }
    days.into_values().flat_map(|rows| hunt(&rows)).collect()
}

/// The planted hits are found with exactly their values; nothing else is found on the apps that are reserved for them,
/// so no decoy is.
fn assert_planted(spec: &TenantSpec) {
    let root = tempfile::tempdir().expect("a folder");
    let generated = run(spec, root.path());
    let rows = read_all(root.path());
    assert_eq!(generated.planted.len() as u64, u64::from(spec.attacks_per_day) * u64::from(spec.days));
    let tenant = tenant::Tenant::new(spec);
    let reserved: BTreeSet<String> =
        (tenant.common_apps..tenant.apps.len()).map(|app| tenant.apps.get(app).to_owned()).collect();
    let mut found = hunt_days(&rows);
    found.retain(|hit| reserved.contains(&hit.success_app));
    found.sort();
    assert_eq!(found, generated.planted, "{spec:?}");
}

#[test]
fn planted_attacks_are_the_hits_of_reserved_apps() {
    for seed in 0..6 {
        assert_planted(&TenantSpec { seed, ..small() });
    }
}

#[test]
fn planted_attacks_are_found_in_every_unit_and_order() {
    for time_unit in [TimeUnit::Ms, TimeUnit::Us, TimeUnit::Ns, TimeUnit::Int96, TimeUnit::Text] {
        let spec = TenantSpec {
            seed: 40,
            days: 1,
            time_unit,
            shuffle_rows: time_unit != TimeUnit::Us,
            extra_columns: time_unit == TimeUnit::Us,
            dictionary: time_unit != TimeUnit::Ns,
            files_per_partition: 3,
            ..small()
        };
        assert_planted(&spec);
    }
}

#[test]
fn planted_attacks_survive_extreme_tenants() {
    // As few people and as many nulls and failures as there can be: all traffic falls on few keys.
    assert_planted(&TenantSpec { users: 1, apps: 1, null_share: 0.5, failure_share: 0.9, skew: 3.0, ..small() });
    // More keys than the named apps give.
    assert_planted(&TenantSpec { days: 1, rows_per_day: 8_000, attacks_per_day: 400, skew: 0.0, ..small() });
    assert_planted(&TenantSpec { attacks_per_day: 0, service_accounts: 0, service_share: 0.0, ..small() });
}

#[test]
fn every_kind_of_attack_occurs() {
    let root = tempfile::tempdir().expect("a folder");
    let planted = run(&small(), root.path()).planted;
    let gaps: BTreeSet<i64> =
        planted.iter().map(|hit| (hit.failed_time - hit.success_time).num_milliseconds()).collect();
    assert!(gaps.contains(&60_000), "a whole minute: {gaps:?}");
    let over_the_hour = |hit: &&PlantedHit| hit.success_time.hour() != hit.failed_time.hour();
    assert!(planted.iter().any(|hit| over_the_hour(&hit)));
    for pairs in 1..=5 {
        assert!(planted.iter().any(|hit| hit.pairs == pairs), "{pairs} pairs");
    }
    let keys: BTreeSet<_> =
        planted.iter().map(|hit| (hit.success_time.date_naive(), &hit.success_app, &hit.result_type)).collect();
    assert!(keys.len() < planted.len(), "two attacks share a key");
}

#[test]
fn same_spec_gives_same_bytes() {
    for shuffle_rows in [false, true] {
        // Row groups large enough to be encoded by several threads, and small ones after them.
        let spec = TenantSpec {
            shuffle_rows,
            rows_per_day: 40_000,
            row_group_rows: 18_000,
            files_per_partition: 2,
            ..small()
        };
        let (one, two) = (tempfile::tempdir(), tempfile::tempdir());
        let (one, two) = (one.expect("a folder"), two.expect("a folder"));
        assert_eq!(run(&spec, one.path()), run(&spec, two.path()));
        assert!(files(one.path()) == files(two.path()));

        // Another seed gives another tenant.
        let other = TenantSpec { seed: 2, ..spec };
        run(&other, two.path());
        assert!(files(one.path()) != files(two.path()));
    }
}

#[test]
fn a_day_does_not_depend_on_the_days_around_it() {
    let (short, long) = (tempfile::tempdir(), tempfile::tempdir());
    let (short, long) = (short.expect("a folder"), long.expect("a folder"));
    run(&TenantSpec { days: 1, ..small() }, short.path());
    run(&TenantSpec { days: 3, ..small() }, long.path());
    let long = files(long.path());
    for (name, bytes) in files(short.path()) {
        assert!(long[&name] == bytes, "{name}");
    }
}

#[test]
fn rows_land_in_their_folder_in_order_and_are_counted() {
    let spec = TenantSpec { files_per_partition: 3, ..small() };
    let root = tempfile::tempdir().expect("a folder");
    let mut seen = Vec::new();
    let generated = generate(&spec, root.path(), &by_hour, &mut |rows| seen.push(rows)).expect("a good spec");
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&8_000));
    assert_eq!(generated.rows, 8_000);

    let files = files(root.path());
    assert_eq!(generated.files, files.len() as u64);
    assert_eq!(generated.bytes, files.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    let mut rows_of_days: BTreeMap<NaiveDate, u64> = BTreeMap::new();
    for (name, bytes) in files {
        let (folder, file) = name.rsplit_once('/').expect("a folder");
        assert!(["part-0.parquet", "part-1.parquet", "part-2.parquet"].contains(&file));
        let rows = read(bytes);
        assert!(rows.is_sorted_by_key(|row| row.time), "{name}");
        for row in rows {
            let time = DateTime::from_timestamp_nanos(row.time);
            assert_eq!(by_hour(time), folder);
            *rows_of_days.entry(time.date_naive()).or_default() += 1;
        }
    }
    assert_eq!(rows_of_days.into_values().collect::<Vec<_>>(), [4_000; 2]);
}

#[test]
fn days_of_one_folder_have_files_of_their_own() {
    let root = tempfile::tempdir().expect("a folder");
    let generated = generate(&small(), root.path(), &|_| String::new(), &mut |_| ());
    assert_eq!(generated.expect("a good spec").files, 2);
    let names: Vec<String> = files(root.path()).into_keys().collect();
    assert_eq!(names, ["part-0.parquet", "part-1.parquet"]);
    assert_eq!(read_all(root.path()).len(), 8_000);
}

#[test]
fn shuffled_rows_are_the_same_rows_in_another_order() {
    let (plain, shuffled) = (tempfile::tempdir(), tempfile::tempdir());
    let (plain, shuffled) = (plain.expect("a folder"), shuffled.expect("a folder"));
    run(&small(), plain.path());
    let spec = TenantSpec { shuffle_rows: true, ..small() };
    run(&spec, shuffled.path());
    let mut plain = read_all(plain.path());
    plain.sort();
    let mut shuffled = read_all(shuffled.path());
    assert!(!shuffled.is_sorted_by_key(|row| row.time));
    shuffled.sort();
    assert_eq!(plain, shuffled);
}

#[test]
fn shares_are_about_those_asked_for() {
    let spec = TenantSpec {
        rows_per_day: 40_000,
        days: 1,
        null_share: 0.05,
        failure_share: 0.2,
        service_share: 0.3,
        row_group_rows: 30_000,
        ..small()
    };
    let root = tempfile::tempdir().expect("a folder");
    run(&spec, root.path());
    let rows = read_all(root.path());
    let share = |of: &dyn Fn(&SignIn) -> bool| rows.iter().filter(|row| of(row)).count() as f64 / rows.len() as f64;
    for (share, wanted) in [
        (share(&|row| row.result != "0"), 0.2),
        (share(&|row| row.user.is_empty()), 0.05),
        (share(&|row| row.ip.is_empty()), 0.05),
        (share(&|row| row.app.is_empty()), 0.05),
        (share(&|row| row.user.starts_with("svc-")), 0.3 * 0.95),
    ] {
        assert!((share - wanted).abs() < 0.02, "{share} instead of {wanted}");
    }
}

#[test]
fn specs_that_make_no_sense_are_errors() {
    let good = small();
    let date = |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
    let bad = [
        ("days", TenantSpec { days: 0, ..good.clone() }),
        ("days", TenantSpec { days: u32::MAX, ..good.clone() }),
        ("start", TenantSpec { start: date(1969), ..good.clone() }),
        ("start", TenantSpec { start: NaiveDate::MAX, ..good.clone() }),
        ("rows_per_day", TenantSpec { rows_per_day: 0, ..good.clone() }),
        ("users", TenantSpec { users: 0, ..good.clone() }),
        ("users", TenantSpec { users: u32::MAX, ..good.clone() }),
        ("apps", TenantSpec { apps: 0, ..good.clone() }),
        ("skew", TenantSpec { skew: f64::NAN, ..good.clone() }),
        ("skew", TenantSpec { skew: -1.0, ..good.clone() }),
        ("service_accounts", TenantSpec { service_accounts: u32::MAX, ..good.clone() }),
        ("service_share", TenantSpec { service_share: 1.1, ..good.clone() }),
        ("service_share", TenantSpec { service_accounts: 0, ..good.clone() }),
        ("attacks_per_day", TenantSpec { attacks_per_day: 201, ..good.clone() }),
        ("attacks_per_day", TenantSpec { attacks_per_day: u32::MAX, ..good.clone() }),
        ("null_share", TenantSpec { null_share: f64::NAN, ..good.clone() }),
        ("failure_share", TenantSpec { failure_share: -0.1, ..good.clone() }),
        ("files_per_partition", TenantSpec { files_per_partition: 0, ..good.clone() }),
        ("row_group_rows", TenantSpec { row_group_rows: 0, ..good.clone() }),
    ];
    let root = tempfile::tempdir().expect("a folder");
    for (expected, spec) in bad {
        match generate(&spec, root.path(), &by_day, &mut |_| ()) {
            Err(GenerateError::Spec { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert!(files(root.path()).is_empty());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("date=2024-05-01"), "in the way").expect("a file");
    let error = generate(&small(), root.path(), &by_day, &mut |_| ()).expect_err("in the way");
    assert!(error.to_string().ends_with("date=2024-05-01"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
