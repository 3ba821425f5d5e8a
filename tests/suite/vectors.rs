//! The vectors of the hunt's definition, by their number there.

use crate::encode::{Code, Form, Time};
use crate::lake::{Ask, Lake, Run, at};
use crate::oracle::{Hit, Row, SECOND, Scope};

const DAY: &str = "2024-05-01";
const US: Time = Time::Micros(Some("UTC"));

fn t0() -> i128 {
    at("2024-05-01T12:00:00Z")
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The success of the vectors.
fn s() -> Row {
    Row { time: Some(t0()), user: some("u"), ip: some("i"), app: some("A"), result: some("0"), description: some("") }
}

/// Their failure.
fn f() -> Row {
    Row { time: Some(t0() + 30 * SECOND), app: some("B"), result: some("50126"), description: some("bad"), ..s() }
}

/// A row at so many nanoseconds after t0.
fn after(row: Row, nanos: i128) -> Row {
    Row { time: Some(t0() + nanos), ..row }
}

fn run(rows: &[Row], form: &Form, scope: Scope) -> Run {
    let lake = Lake::new();
    // One file: a null time has no day of its own.
    lake.put("date=2024-05-01/a.parquet", rows, form);
    let run = Ask { scope, ..Ask::days(DAY, "2024-05-02") }.run(&lake).unwrap();
    assert_eq!(run.report.exit_code(), 0);
    run
}

fn hits_as(rows: &[Row], form: &Form) -> Vec<Hit> {
    let [overlap, strict] = [Scope::Overlap, Scope::Strict].map(|scope| run(rows, form, scope).answer(DAY));
    assert_eq!(overlap, strict, "at noon the scope is of no account");
    overlap.hits
}

fn hits(rows: &[Row]) -> Vec<Hit> {
    hits_as(rows, &Form::default())
}

/// The numbers of rows: all, and those of innerunique.
fn counts(hits: &[Hit]) -> (usize, usize) {
    (hits.len(), hits.iter().filter(|hit| hit.kql_rank == 1).count())
}

fn found(rows: &[Row]) -> (usize, usize) {
    counts(&hits(rows))
}

/// The hit of S and F as they stand.
fn plain_hit() -> Hit {
    let day = |text: &str| i64::try_from(at(text) / 1_000).unwrap();
    Hit {
        user: "u".to_owned(),
        success_time: i64::try_from(t0() / 1_000).unwrap(),
        ip: "i".to_owned(),
        success_app: "A".to_owned(),
        failed_time: i64::try_from((t0() + 30 * SECOND) / 1_000).unwrap(),
        failed_app: "B".to_owned(),
        result: "50126".to_owned(),
        description: "bad".to_owned(),
        window_start: day("2024-05-01"),
        window_end: day("2024-05-02"),
        kql_rank: 1,
        distribution_count: 1,
        pair_count: 1,
    }
}

#[test]
fn v01_a_success_and_a_failure() {
    assert_eq!(hits(&[s(), f()]), [plain_hit()]);
    assert_eq!(hits(&[f(), s()]), [plain_hit()], "the order of rows is of no account");
    for code in [Code::Text, Code::Dictionary, Code::Int32, Code::Int64, Code::Float64] {
        assert_eq!(hits_as(&[s(), f()], &Form { code, ..Form::default() }), [plain_hit()], "{code:?}");
    }
}

#[test]
fn v02_one_minute_is_inclusive() {
    for time in [US, Time::Millis(Some("UTC")), Time::Nanos(None), Time::Text, Time::Int96, Time::EpochMillis] {
        let count = |nanos| counts(&hits_as(&[s(), after(f(), nanos)], &Form::time(time)));
        assert_eq!(count(60 * SECOND), (1, 1), "{time:?}");
        assert_eq!(count(60 * SECOND + time.tick()), (0, 0), "{time:?}");
        assert_eq!(count(60 * SECOND - time.tick()), (1, 1), "{time:?}");
    }
}

#[test]
fn v03_the_failure_comes_strictly_after() {
    for time in [US, Time::Millis(Some("UTC")), Time::Nanos(None), Time::Text, Time::Int96, Time::EpochMillis] {
        let count = |nanos| counts(&hits_as(&[s(), after(f(), nanos)], &Form::time(time)));
        assert_eq!(count(0), (0, 0), "{time:?}");
        assert_eq!(count(time.tick()), (1, 1), "{time:?}");
    }
}

#[test]
fn v04_a_failure_before_its_success_is_none() {
    assert_eq!(found(&[s(), after(f(), -30 * SECOND)]), (0, 0));
    assert_eq!(found(&[s(), after(f(), -1_000)]), (0, 0));
}

#[test]
fn v05_the_apps_differ_by_case_at_least() {
    assert_eq!(found(&[s(), Row { app: some("A"), ..f() }]), (0, 0));
    let hits = hits(&[s(), Row { app: some("a"), ..f() }]);
    assert_eq!(hits, [Hit { failed_app: "a".to_owned(), ..plain_hit() }]);
}

#[test]
fn v06_user_and_ip_are_the_same_by_case() {
    assert_eq!(found(&[Row { user: some("Bob@x"), ..s() }, Row { user: some("bob@x"), ..f() }]), (0, 0));
    assert_eq!(found(&[Row { ip: some("2001:DB8::1"), ..s() }, Row { ip: some("2001:db8::1"), ..f() }]), (0, 0));
    assert_eq!(found(&[Row { user: some("bob@x"), ..s() }, Row { user: some("bob@x"), ..f() }]), (1, 1));
}

#[test]
fn v07_null_is_the_empty_string() {
    let nobody = |row| Row { user: None, ip: None, ..row };
    let empty = |row| Row { user: some(""), ip: some(""), ..row };
    let expected = [Hit { user: String::new(), ip: String::new(), ..plain_hit() }];
    assert_eq!(hits(&[nobody(s()), empty(f())]), expected);
    assert_eq!(hits(&[empty(s()), nobody(f())]), expected);
    assert_eq!(hits(&[nobody(s()), nobody(f())]), expected);
}

#[test]
fn v08_other_is_compared_without_case_but_whole() {
    let described = |text: Option<&str>| hits(&[s(), Row { description: text.map(str::to_owned), ..f() }]);
    assert_eq!(described(None), [Hit { description: String::new(), ..plain_hit() }]);
    assert_eq!(described(Some("")), [Hit { description: String::new(), ..plain_hit() }]);
    assert_eq!(described(Some("oTHER")), []);
    assert_eq!(described(Some("Other")), []);
    assert_eq!(described(Some("Other ")), [Hit { description: "Other ".to_owned(), ..plain_hit() }]);
    // Only the letters A to Z have two cases.
    assert_eq!(counts(&described(Some("Othér"))), (1, 1));
}

#[test]
fn v09_a_failure_without_result_type() {
    let expected = [Hit { result: String::new(), ..plain_hit() }];
    assert_eq!(hits(&[s(), Row { result: None, ..f() }]), expected);
    assert_eq!(hits(&[s(), Row { result: some(""), ..f() }]), expected);
    for code in [Code::Int32, Code::Float64] {
        assert_eq!(hits_as(&[s(), Row { result: None, ..f() }], &Form { code, ..Form::default() }), expected);
    }
}

#[test]
fn v10_the_interrupt_is_no_failure() {
    assert_eq!(found(&[s(), Row { result: some("50140"), ..f() }]), (0, 0));
    let hits = hits(&[s(), Row { result: some("50140 "), ..f() }]);
    assert_eq!(hits, [Hit { result: "50140 ".to_owned(), ..plain_hit() }]);
    for code in [Code::Int32, Code::Int64, Code::Float64, Code::Dictionary] {
        let form = Form { code, ..Form::default() };
        assert_eq!(hits_as(&[s(), Row { result: some("50140"), ..f() }], &form), [], "{code:?}");
    }
}

#[test]
fn v11_a_failed_app_has_a_name_and_a_success_need_not() {
    assert_eq!(found(&[s(), Row { app: some(""), ..f() }]), (0, 0));
    assert_eq!(found(&[s(), Row { app: None, ..f() }]), (0, 0));
    assert_eq!(found(&[s(), Row { app: some(" "), ..f() }]), (1, 1), "white space is a name");
    let expected = [Hit { success_app: String::new(), ..plain_hit() }];
    assert_eq!(hits(&[Row { app: None, ..s() }, f()]), expected);
    assert_eq!(hits(&[Row { app: some(""), ..s() }, f()]), expected);
}

#[test]
fn v12_excluded_apps_are_excluded_as_written() {
    for app in ["Office 365 Exchange Online", "Skype for Business Online", "Office 365 SharePoint Online"] {
        assert_eq!(found(&[Row { app: some(app), ..s() }, f()]), (0, 0));
        assert_eq!(found(&[s(), Row { app: some(app), ..f() }]), (0, 0));
        let lower = app.to_lowercase();
        let hits = hits(&[Row { app: some(&lower), ..s() }, f()]);
        assert_eq!(hits, [Hit { success_app: lower, ..plain_hit() }]);
    }
}

#[test]
fn v13_minima_over_three_pairs() {
    let rows = [s(), after(s(), 50 * SECOND), after(f(), 55 * SECOND), after(f(), 70 * SECOND)];
    let failed_time = i64::try_from((t0() + 55 * SECOND) / 1_000).unwrap();
    assert_eq!(hits(&rows), [Hit { failed_time, pair_count: 3, distribution_count: 3, ..plain_hit() }]);
}

#[test]
fn v14_five_pairs_are_kept_and_six_are_not() {
    let failures = |count: i128| -> Vec<Row> {
        std::iter::once(s()).chain((0..count).map(|i| after(f(), (30 + i) * SECOND))).collect()
    };
    assert_eq!(hits(&failures(5)), [Hit { pair_count: 5, distribution_count: 5, ..plain_hit() }]);
    let run = run(&failures(6), &Form::default(), Scope::Overlap);
    let answer = run.answer(DAY);
    assert_eq!(answer.hits, []);
    assert_eq!(answer.over_limit, [("A".to_owned(), "50126".to_owned(), 6)]);
}

#[test]
fn v15_successes_multiply_pairs() {
    let rows = |second| [s(), after(s(), second), f(), after(f(), 31 * SECOND), after(f(), 32 * SECOND)];
    assert_eq!(found(&rows(1_000)), (0, 0));
    assert_eq!(found(&rows(0)), (0, 0), "the same row twice counts twice");
}

#[test]
fn v16_the_limit_is_over_all_users() {
    let rows = |users: usize| -> Vec<Row> {
        (0..users).flat_map(|i| [s(), f()].map(|row| Row { user: some(&format!("u{i}")), ..row })).collect()
    };
    assert_eq!(found(&rows(6)), (0, 0));
    assert_eq!(found(&rows(5)), (5, 1));
}

#[test]
fn v17_innerunique_keeps_one_user_of_a_key() {
    let rows: Vec<Row> =
        ["w", "v"].iter().flat_map(|user| [s(), f()].map(|row| Row { user: some(user), ..row })).collect();
    let of = |user: &str, kql_rank| Hit { user: user.to_owned(), kql_rank, distribution_count: 2, ..plain_hit() };
    assert_eq!(hits(&rows), [of("v", 1), of("w", 2)]);
}

#[test]
fn v18_descriptions_are_no_part_of_the_key() {
    let rows = [s(), f(), Row { description: some("also"), ..f() }];
    let of =
        |text: &str, kql_rank| Hit { description: text.to_owned(), kql_rank, distribution_count: 2, ..plain_hit() };
    assert_eq!(hits(&rows), [of("also", 1), of("bad", 2)]);
}

#[test]
fn v19_six_descriptions_are_over_the_limit() {
    let of = |count: usize| -> Vec<Row> {
        std::iter::once(s()).chain((0..count).map(|i| Row { description: some(&format!("d{i}")), ..f() })).collect()
    };
    assert_eq!(found(&of(6)), (0, 0));
    assert_eq!(found(&of(5)), (5, 1));
}

#[test]
fn v20_result_types_have_budgets_of_their_own() {
    let failures =
        |code: &'static str| (0..5).map(move |i| after(Row { result: some(code), ..f() }, (30 + i) * SECOND));
    let rows: Vec<Row> = std::iter::once(s()).chain(failures("50126")).chain(failures("50076")).collect();
    let of = |code: &str| Hit { result: code.to_owned(), pair_count: 5, distribution_count: 5, ..plain_hit() };
    assert_eq!(hits(&rows), [of("50076"), of("50126")]);
}

#[test]
fn v21_success_apps_have_keys_of_their_own() {
    let of = |app: &str| Hit { success_app: app.to_owned(), ..plain_hit() };
    assert_eq!(hits(&[s(), Row { app: some("C"), ..s() }, f()]), [of("A"), of("C")]);
}

#[test]
fn v22_six_failed_apps_are_over_the_limit() {
    let of = |count: usize| -> Vec<Row> {
        std::iter::once(s()).chain((0..count).map(|i| Row { app: some(&format!("B{i}")), ..f() })).collect()
    };
    assert_eq!(found(&of(6)), (0, 0));
    assert_eq!(found(&of(5)), (5, 1));
}

#[test]
fn v23_null_times_and_midnight() {
    assert_eq!(found(&[s(), Row { time: None, ..f() }]), (0, 0));
    assert_eq!(found(&[Row { time: None, ..s() }, f()]), (0, 0));

    let rows =
        [Row { time: Some(at("2024-05-01T23:59:30Z")), ..s() }, Row { time: Some(at("2024-05-02T00:00:10Z")), ..f() }];
    for time in [US, Time::Millis(None), Time::Nanos(None), Time::Text, Time::Int96] {
        let lake = Lake::new();
        lake.put_days(&rows, &Form::time(time));
        let both = Ask::days("2024-05-01", "2024-05-03");
        let overlap = both.run(&lake).unwrap();
        assert_eq!(counts(&overlap.hits("2024-05-01")), (0, 0), "{time:?}");
        assert_eq!(counts(&overlap.hits("2024-05-02")), (1, 1), "{time:?}: once, where the failure is");
        let strict = both.strict().run(&lake).unwrap();
        assert_eq!(counts(&strict.all_hits()), (0, 0), "{time:?}");
        // The night's own run reads the minute before.
        let night = Ask::days("2024-05-02", "2024-05-03");
        assert_eq!(counts(&night.run(&lake).unwrap().all_hits()), (1, 1), "{time:?}");
        assert_eq!(counts(&night.strict().run(&lake).unwrap().all_hits()), (0, 0), "{time:?}");
    }
}

#[test]
fn v24_there_and_back() {
    let rows = [
        s(),
        after(f(), 10 * SECOND),
        after(Row { app: some("B"), ..s() }, 20 * SECOND),
        after(Row { app: some("A"), ..f() }, 30 * SECOND),
    ];
    let found: Vec<_> = hits(&rows).iter().map(|hit| (hit.success_app.clone(), hit.failed_app.clone())).collect();
    let of = |before: &str, after: &str| (before.to_owned(), after.to_owned());
    assert_eq!(found, [of("A", "B"), of("B", "A")]);
}

/// The milliseconds of an exporter lose what lies inside one, and the run says so.
#[test]
fn a_pair_inside_one_millisecond_is_lost_and_the_unit_told() {
    let rows = [s(), after(f(), 999_000)];
    let form = Form::time(Time::Millis(None));
    let coarse = run(&form.hold(&rows), &form, Scope::Overlap);
    assert_eq!(counts(&coarse.hits(DAY)), (0, 0));
    assert_eq!(coarse.record(DAY)["time_unit"], "ms");
    assert_eq!(found(&rows), (1, 1), "microseconds keep it");
}
