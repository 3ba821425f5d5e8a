//! Physical drift: the same rows in every form that a lake may hold them in, and what no row can be read from.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, ListArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int32Type;
use lakehunt::ErrorKind;

use crate::encode::{Code, Form, Names, Text, Time, columns, encode, write};
use crate::lake::{Ask, Lake, Run, at};
use crate::oracle::{self, Answer, Row, SECOND, Scope, Window};
use crate::rows::pair;

const DAY: &str = "2024-05-01";
const FILE: &str = "date=2024-05-01/a.parquet";
const TIMES: [Time; 11] = [
    Time::Micros(Some("UTC")),
    Time::Micros(None),
    Time::Micros(Some("+02:00")),
    Time::Millis(Some("UTC")),
    Time::Millis(None),
    Time::Millis(Some("-05:00")),
    Time::Nanos(Some("UTC")),
    Time::Nanos(None),
    Time::Int96,
    Time::Text,
    Time::EpochMillis,
];

fn noon() -> i128 {
    at("2024-05-01T12:00:00Z")
}

fn one_day() -> Ask {
    Ask::days(DAY, "2024-05-02")
}

/// Rows of which some match in every way that a column decides.
fn sample() -> Vec<Row> {
    let text = |text: &str| Some(text.to_owned());
    let mut rows = Vec::new();
    for (i, user) in [Some("bob@x"), None, Some(""), Some("zoé@x")].into_iter().enumerate() {
        let at = noon() + i128::try_from(i).unwrap() * 600 * SECOND;
        for row in pair("", at, at + 60 * SECOND) {
            rows.push(Row { user: user.map(str::to_owned), ..row });
        }
    }
    let [success, fail] = pair("many", noon(), noon() + SECOND);
    rows.extend((0..6).map(|_| Row { result: text("50076"), ..fail.clone() }));
    rows.push(Row { result: None, description: None, ..fail.clone() });
    rows.push(Row { result: text("50140"), ..fail.clone() });
    rows.push(Row { ip: None, ..fail.clone() });
    rows.push(Row { app: None, ..success.clone() });
    rows.push(Row { time: None, ..fail });
    rows.push(success);
    rows
}

fn expected(rows: &[Row]) -> Answer {
    let window = Window { start: at(DAY), end: at("2024-05-02") };
    oracle::answer(rows, window, Scope::Overlap, one_day().limits)
}

fn run(rows: &[Row], form: &Form) -> Run {
    let lake = Lake::new();
    lake.put(FILE, rows, form);
    one_day().run(&lake).unwrap()
}

#[test]
fn every_form_gives_the_same_rows() {
    let rows = sample();
    let answer = expected(&rows);
    assert!(answer.hits.len() >= 5 && answer.over_limit.len() == 2, "{answer:#?}");
    let plain = run(&rows, &Form::default()).hit_bytes(DAY);
    let texts = [Text::Plain, Text::Dictionary, Text::Large, Text::View, Text::Binary];
    let codes = [Code::Text, Code::Dictionary, Code::Int32, Code::Int64, Code::Float64];
    let mut forms: Vec<Form> = TIMES.map(Form::time).to_vec();
    forms.extend(texts.map(|text| Form { text, ..Form::default() }));
    forms.extend(texts.map(|text| Form { text, arrow_schema: false, ..Form::default() }));
    forms.extend(texts.map(|text| Form { text, dictionary_pages: false, ..Form::default() }));
    forms.extend(codes.map(|code| Form { code, ..Form::default() }));
    forms.extend(codes.map(|code| Form { code, text: Text::Dictionary, ..Form::time(Time::Int96) }));
    forms.extend([Names::Camel, Names::Upper].map(|names| Form { names, ..Form::default() }));
    forms.push(Form { reversed: true, ..Form::default() });
    forms.push(Form { extra: true, ..Form::default() });
    forms.push(Form { extra: true, reversed: true, names: Names::Camel, ..Form::default() });
    forms.extend([1, 2, 5].map(|row_group| Form { row_group, ..Form::default() }));
    for form in forms {
        let run = run(&rows, &form);
        assert_eq!(run.answer(DAY), answer, "{form:?}");
        assert!(run.hit_bytes(DAY) == plain, "{form:?}");
        assert_eq!(run.record(DAY)["time_unit"], form.time.unit(), "{form:?}");
        assert_eq!(run.report.warnings, [] as [&str; 0], "{form:?}");
    }
}

#[test]
fn a_missing_column_is_empty_and_told() {
    let rows = sample();
    for column in ["UserPrincipalName", "IPAddress", "AppDisplayName", "ResultType", "ResultDescription"] {
        let form = Form { missing: vec![column], ..Form::default() };
        let run = run(&rows, &form);
        assert_eq!(run.answer(DAY), expected(&form.hold(&rows)), "{column}");
        let told = |line: &String| line.contains(&format!("no file has the column {column}"));
        assert!(run.report.warnings.iter().any(told), "{column}: {:?}", run.report.warnings);
    }
    // Old files lack it, new ones have it: nothing to tell.
    let lake = Lake::new();
    let old = Form { missing: vec!["ResultDescription"], ..Form::default() };
    lake.put("date=2024-05-01/old.parquet", &rows[..4], &old);
    lake.put("date=2024-05-01/new.parquet", &rows[4..], &Form::default());
    let run = one_day().run(&lake).unwrap();
    assert_eq!(run.answer(DAY), expected(&[old.hold(&rows[..4]), rows[4..].to_vec()].concat()));
    assert_eq!(run.report.warnings, [] as [&str; 0]);
}

#[test]
fn a_file_without_a_time_column_matches_nothing_and_is_told() {
    let rows = sample();
    let timeless = Form { missing: vec!["TimeGenerated"], ..Form::default() };
    let lake = Lake::new();
    lake.put(FILE, &rows, &Form::default());
    lake.put("date=2024-05-01/b.parquet", &rows, &timeless);
    let run = one_day().run(&lake).unwrap();
    assert_eq!(run.answer(DAY), expected(&rows));
    let told = |line: &String| line.contains("b.parquet") && line.contains("no time column");
    assert!(run.report.warnings.iter().any(told), "{:?}", run.report.warnings);
    // Where no file has one, the name is wrong.
    let lake = Lake::new();
    lake.put(FILE, &rows, &timeless);
    let run = one_day().run(&lake).unwrap();
    let (_, error) = run.report.failures().next().unwrap();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(error.to_string().contains("--time-column"), "{error}");
}

#[test]
fn files_of_all_units_meet_in_one_window() {
    for success in TIMES {
        for fail in TIMES {
            let lake = Lake::new();
            let rows = [pair("edge", noon(), noon() + 60 * SECOND), pair("same", noon(), noon())].concat();
            let (successes, fails): (Vec<Row>, Vec<Row>) = rows.iter().cloned().partition(oracle::is_success);
            lake.put("date=2024-05-01/s.parquet", &successes, &Form::time(success));
            lake.put("date=2024-05-01/f.parquet", &fails, &Form::time(fail));
            let run = one_day().run(&lake).unwrap();
            let users: Vec<String> = run.all_hits().into_iter().map(|hit| hit.user).collect();
            assert_eq!(users, ["edge"], "{success:?} {fail:?}");
            let coarsest = if success.tick() < fail.tick() { fail } else { success };
            // Text counts as finest, whatever its digits.
            let unit = match (success.unit(), fail.unit()) {
                ("text", other) | (other, "text") => other,
                _ => coarsest.unit(),
            };
            assert_eq!(run.report.resolution.unwrap().to_string(), unit, "{success:?} {fail:?}");
            assert_eq!(run.record(DAY)["time_unit"], unit, "{success:?} {fail:?}");
        }
    }
}

#[test]
fn a_nanosecond_counts() {
    let rows = [
        pair("next", noon() + 7, noon() + 8),
        pair("same", noon() + 7, noon() + 7),
        pair("minute", noon() + 7, noon() + 60 * SECOND + 7),
        pair("beyond", noon() + 7, noon() + 60 * SECOND + 8),
    ]
    .concat();
    for time in [Time::Nanos(Some("UTC")), Time::Nanos(None), Time::Int96] {
        let run = run(&rows, &Form::time(time));
        assert_eq!(run.answer(DAY), expected(&rows), "{time:?}");
        let users: Vec<String> = run.all_hits().into_iter().map(|hit| hit.user).collect();
        assert_eq!(users, ["next", "minute"], "{time:?}: ordered by what is finer than the file's microseconds");
    }
}

/// Rows with a second time column, in which the failure comes an hour later.
fn two_clocks() -> Vec<u8> {
    let rows = pair("u", noon(), noon() + SECOND);
    let micros = |nanos: i128| i64::try_from(nanos / 1_000).unwrap();
    let created = TimestampMicrosecondArray::from(vec![micros(noon()), micros(noon() + 3_600 * SECOND)]);
    let mut columns = columns(&rows, &Form::default());
    columns.push(("createdDateTime".to_owned(), Arc::new(created.with_timezone("UTC"))));
    write(columns, &Form::default())
}

#[test]
fn the_time_column_can_be_chosen() {
    let lake = Lake::new();
    lake.put_bytes(FILE, &two_clocks());
    let run = one_day().run(&lake).unwrap();
    assert_eq!(run.answer(DAY).hits.len(), 1, "the job's first name is read");
    let other = Ask { time_column: Some("createdDateTime"), ..one_day() };
    assert_eq!(other.run(&lake).unwrap().answer(DAY).hits.len(), 0);
    // The choice decides rows, so a window that was done by the other clock is not done.
    let again = other.run_into(&lake, &run.output).unwrap();
    assert_eq!(again.answer(DAY).hits.len(), 0);
    let back = one_day().run_into(&lake, &run.output).unwrap();
    assert_eq!(back.answer(DAY).hits.len(), 1);
}

#[test]
fn the_ends_of_time_neither_fail_nor_wrap() {
    let (first, last) = (at("0001-01-01T00:00:00Z"), at("9999-12-31T23:59:00Z"));
    let rows = [
        pair("first", first, first + SECOND),
        pair("last", last, last + SECOND),
        pair("far", first, last),
        pair("near", noon(), noon() + SECOND),
        // These are the times of `noon` to 64 bits of nanoseconds.
        pair("wrapped", noon() + (1 << 64), noon() + (1 << 64) + SECOND),
    ]
    .concat();
    for time in [Time::Micros(Some("UTC")), Time::Millis(None), Time::EpochMillis, Time::Text] {
        for row_group in [1_000, 1] {
            let form = Form { row_group, ..Form::time(time) };
            let rows = form.hold(&rows);
            let run = run(&rows, &form);
            assert_eq!(run.answer(DAY), expected(&rows), "{form:?}");
            assert_eq!(run.all_hits().len(), 1, "{form:?}");
        }
    }
    // INT96 holds any day, of which readers keep 64 bits of nanoseconds.
    let some: Vec<Row> = rows.iter().filter(|row| row.user.as_deref() != Some("wrapped")).cloned().collect();
    assert_eq!(run(&some, &Form::time(Time::Int96)).answer(DAY), expected(&some));
    // The ends of nanoseconds themselves.
    let (first, last) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let rows = [pair("far", first, last), pair("near", noon(), noon() + SECOND), pair("last", last - 1, last)].concat();
    assert_eq!(run(&rows, &Form::time(Time::Nanos(None))).answer(DAY), expected(&rows));
}

#[test]
fn text_that_is_no_time_matches_nothing_and_is_told() {
    let rows = [pair("bad", noon(), noon() + SECOND), pair("good", noon(), noon() + SECOND)].concat();
    let form = Form::time(Time::Text);
    let mut columns = columns(&rows, &form);
    let texts = [noon(), noon() + SECOND, noon(), noon() + SECOND].map(crate::encode::iso);
    columns[0].1 = Arc::new(StringArray::from(vec!["yesterday", &texts[1], &texts[2], &texts[3]]));
    let lake = Lake::new();
    lake.put_bytes(FILE, &write(columns, &form));
    let run = one_day().run(&lake).unwrap();
    assert_eq!(run.report.exit_code(), 0);
    let users: Vec<String> = run.all_hits().into_iter().map(|hit| hit.user).collect();
    assert_eq!(users, ["good"]);
    assert!(run.report.warnings.iter().any(|line| line.contains("`yesterday`")), "{:?}", run.report.warnings);
}

#[test]
fn a_column_of_an_impossible_type_is_named() {
    let days = ["2024-05-01T12:00:00Z", "2024-05-02T12:00:00Z", "2024-05-03T12:00:00Z", "2024-05-04T12:00:00Z"];
    let rows: Vec<Row> = days.iter().flat_map(|day| pair("u", at(day), at(day) + SECOND)).collect();
    let bools: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]); 2]));
    for (column, values, wanted, stored) in [
        ("ResultType", &lists, "string", "List"),
        ("ResultType", &bools, "string", "Boolean"),
        ("AppDisplayName", &bools, "string", "Boolean"),
        ("TimeGenerated", &bools, "datetime", "Boolean"),
    ] {
        let lake = Lake::of(&rows);
        let mut columns = columns(&rows[2..4], &Form::default());
        columns.iter_mut().find(|(name, _)| name == column).unwrap().1 = Arc::clone(values);
        lake.put_bytes("date=2024-05-02/part-0.parquet", &write(columns, &Form::default()));
        let run = Ask::days("2024-05-01", "2024-05-05").run(&lake).unwrap();
        let failed: Vec<&str> = run.report.failures().map(|(window, _)| window.label.as_str()).collect();
        assert_eq!(failed, ["2024-05-02", "2024-05-03"], "{column} {stored}");
        assert_eq!(run.report.exit_code(), 3);
        for (_, error) in run.report.failures() {
            assert_eq!(error.kind(), ErrorKind::SchemaMismatch, "{error}");
            let text = error.to_string();
            for part in ["date=2024-05-02/part-0.parquet", column, wanted, stored] {
                assert!(text.contains(part), "`{part}` is not in: {text}");
            }
        }
        assert_eq!(run.all_hits().len(), 2, "the others are committed");
    }
}

#[test]
fn two_columns_that_could_be_meant_are_an_error_and_an_exact_name_is_not() {
    let rows = pair("u", noon(), noon() + SECOND);
    let twin = |name: &str| {
        let mut columns = columns(&rows, &Form { names: Names::Upper, ..Form::default() });
        let other: ArrayRef = Arc::new(StringArray::from(vec!["someone", "else"]));
        columns.push((name.to_owned(), other));
        let lake = Lake::new();
        lake.put_bytes(FILE, &write(columns, &Form::default()));
        one_day().run(&lake).unwrap()
    };
    let run = twin("userprincipalname");
    let (_, error) = run.report.failures().next().unwrap();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch, "{error}");
    assert!(error.to_string().contains("`USERPRINCIPALNAME` and `userprincipalname`"), "{error}");
    let run = twin("UserPrincipalName");
    assert_eq!(run.answer(DAY).hits.len(), 0, "the name in the job's own case is taken: someone is not else");
}

#[test]
fn a_file_without_rows_is_no_trouble() {
    let rows = sample();
    let lake = Lake::new();
    lake.put_bytes(FILE, &encode(&rows, &Form::default()));
    lake.put_bytes("date=2024-05-01/b.parquet", &encode(&[], &Form::default()));
    lake.put_bytes("date=2024-05-01/c.parquet", &encode(&[], &Form::time(Time::Int96)));
    let run = one_day().run(&lake).unwrap();
    assert_eq!(run.answer(DAY), expected(&rows));
    // A day of no rows is done, with a file of no rows.
    let lake = Lake::new();
    lake.put_bytes(FILE, &encode(&[], &Form::default()));
    let run = one_day().run(&lake).unwrap();
    assert_eq!(run.answer(DAY), Answer::default());
}
