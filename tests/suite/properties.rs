//! Random lakes against the oracle: every column of every window, and the keys over the limit.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestCaseError, TestError, TestRunner};

use crate::encode::{Code, Form, Names, Text, Time};
use crate::lake::{Ask, Lake, Run, instant};
use crate::oracle::{self, Answer, DAY, HOUR, Limits, Row, Scope, Window};
use crate::rows::{Codes, EDGE, data_set, later};

/// Lakes of a run of the tests; each holds several data sets.
const LAKES: u32 = 1_000;

/// How a lake is laid out: the template, and the same as a pattern of strftime; none for a flat lake.
const LAYOUTS: [(&str, Option<&str>); 4] = [
    ("date={yyyy-MM-dd}", Some("date=%Y-%m-%d")),
    ("year=/month=/day=/hour=", Some("year=%Y/month=%m/day=%d/hour=%H")),
    ("timestamp={yyyy-MM-ddTHH}", Some("timestamp=%Y-%m-%dT%H")),
    ("flat", None),
];

#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// A data set around the first instant of each window.
    pub(crate) sets: Vec<Vec<Row>>,
    pub(crate) window: &'static str,
    pub(crate) scope: Scope,
    pub(crate) max_distribution: i64,
    pub(crate) threads: usize,
    /// Whether the engine's own join stands in place of the hash join. Nobody may be able to tell.
    pub(crate) interval_join: bool,
    pub(crate) layout: (&'static str, Option<&'static str>),
    /// Each file of a partition has a form of its own.
    pub(crate) forms: Vec<Form>,
    /// Which file a row goes to, and which partition beside its own if the lake has slack.
    pub(crate) places: Vec<(Index, i8)>,
    pub(crate) slack: bool,
    /// Rows lie beside their partition even without slack. What is found then is not the oracle's answer.
    pub(crate) astray: bool,
}

impl Case {
    fn length(&self) -> i128 {
        match self.window {
            "1h" => HOUR,
            "6h" => 6 * HOUR,
            _ => DAY,
        }
    }

    pub(crate) fn ask(&self) -> Ask {
        let count = i128::try_from(self.sets.len()).unwrap();
        Ask {
            from: EDGE,
            to: EDGE + count * self.length(),
            window: self.window,
            scope: self.scope,
            layout: self.layout.0,
            slack: u32::from(self.slack),
            threads: self.threads,
            interval_join: self.interval_join,
            limits: Limits { max_distribution: self.max_distribution, ..Limits::default() },
            ..Ask::days("2024-05-01", "2024-05-02")
        }
    }

    /// The windows as the definition has them.
    pub(crate) fn windows(&self) -> Vec<Window> {
        let ask = self.ask();
        if self.window == "all" {
            return vec![Window { start: ask.from, end: ask.to }];
        }
        let starts = (0..self.sets.len()).map(|i| EDGE + i128::try_from(i).unwrap() * self.length());
        starts.map(|start| Window { start, end: start + self.length() }).collect()
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let edges = (0..self.sets.len()).map(|i| EDGE + i128::try_from(i).unwrap() * self.length());
        std::iter::zip(&self.sets, edges).flat_map(|(rows, edge)| later(rows, edge)).collect()
    }

    /// Writes the lake and gives its rows as the files hold them.
    pub(crate) fn write(&self, lake: &Lake) -> Vec<Row> {
        let mut files: Vec<((String, usize), Vec<Row>)> = Vec::new();
        for (i, row) in self.rows().into_iter().enumerate() {
            let (file, shift) = self.places[i % self.places.len()];
            let file = file.index(self.forms.len());
            let step = if self.layout.0.contains("HH") || self.layout.0.contains("hour") { HOUR } else { DAY };
            let shift = if self.slack || self.astray { i128::from(shift) * step } else { 0 };
            let folder = self.layout.1.map_or(String::new(), |pattern| {
                // A row without a time arrived some time.
                format!("{}/", instant(row.time.unwrap_or(EDGE) + shift).format(pattern))
            });
            match files.iter_mut().find(|(place, _)| *place == (folder.clone(), file)) {
                Some((_, rows)) => rows.push(row),
                None => files.push(((folder, file), vec![row])),
            }
        }
        let mut held = Vec::new();
        for ((folder, file), rows) in files {
            let form = self.forms[file].fits(&rows);
            let rows = form.hold(&rows);
            lake.put(&format!("{folder}part-{file}.parquet"), &rows, &form);
            held.extend(rows);
        }
        held
    }
}

fn form() -> impl Strategy<Value = Form> {
    let times = vec![
        Time::Micros(Some("UTC")),
        Time::Micros(None),
        Time::Micros(Some("+02:00")),
        Time::Millis(Some("UTC")),
        Time::Millis(None),
        Time::Nanos(Some("UTC")),
        Time::Nanos(None),
        Time::Int96,
        Time::Text,
        Time::EpochMillis,
    ];
    let texts = vec![Text::Plain, Text::Dictionary, Text::Large, Text::View, Text::Binary];
    let codes = vec![Code::Text, Code::Dictionary, Code::Int32, Code::Int64, Code::Float64];
    let names = vec![Names::Pascal, Names::Pascal, Names::Camel, Names::Upper];
    let missing = prop_oneof![
        8 => Just(vec![]),
        1 => Just(vec!["ResultDescription"]),
        1 => Just(vec!["IPAddress"]),
    ];
    (
        (select(times), select(texts), select(codes), select(names)),
        (any::<bool>(), missing, prop::bool::weighted(0.2), select(vec![1_000, 1, 3, 7]), any::<bool>()),
        (select(vec![1_000, 1, 2, 5]), any::<bool>()),
    )
        .prop_map(
            |(
                (time, text, code, names),
                (reversed, missing, extra, row_group, arrow_schema),
                (page, dictionary_pages),
            )| Form {
                time,
                text,
                code,
                names,
                reversed,
                missing,
                extra,
                row_group,
                page,
                arrow_schema,
                dictionary_pages,
            },
        )
}

/// Lakes of `largest` data sets at most.
pub(crate) fn case(largest: usize) -> impl Strategy<Value = Case> {
    let sets = prop_oneof![Just(Codes::Any), Just(Codes::Numeric)]
        .prop_flat_map(move |codes| prop::collection::vec(data_set(codes, 24), 1..=largest));
    let forms = prop_oneof![prop::collection::vec(form(), 1..=1), prop::collection::vec(form(), 2..=4),];
    (
        (sets, select(vec!["1d", "1d", "6h", "1h", "all"]), prop_oneof![Just(Scope::Overlap), Just(Scope::Strict)]),
        (
            prop_oneof![3 => Just(5_i64), 1 => 0_i64..4],
            (1_usize..=3, prop::bool::weighted(0.7)),
            select(LAYOUTS.to_vec()),
        ),
        (forms, prop::collection::vec((any::<Index>(), -1_i8..=1), 1..12), prop::bool::weighted(0.3)),
    )
        .prop_map(
            |((sets, window, scope), (max_distribution, (threads, interval_join), layout), (forms, places, slack))| {
                Case {
                    sets,
                    window,
                    scope,
                    max_distribution,
                    threads,
                    interval_join,
                    layout,
                    forms,
                    places,
                    slack,
                    astray: false,
                }
            },
        )
}

/// The number of cases: as given, or times what `LAKEHUNT_CASES` is to the usual. Only a raised number is random; a
/// usual run is the same every time.
pub(crate) fn check<T: std::fmt::Debug>(
    usual: u32,
    strategy: impl Strategy<Value = T>,
    test: impl Fn(&T) -> Result<(), TestCaseError>,
) {
    let wished: Option<u32> = std::env::var("LAKEHUNT_CASES").ok().map(|text| text.parse().unwrap());
    let config = ProptestConfig {
        cases: wished.map_or(usual, |cases| (u64::from(cases) * u64::from(usual) / u64::from(LAKES)) as u32),
        rng_seed: if wished.is_some() { RngSeed::Random } else { RngSeed::Fixed(0x1a6e) },
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    match TestRunner::new(config).run(&strategy, |case| test(&case)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\nsmallest: {case:#?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// Compares a run with the oracle's answers over `rows`. Gives the hits and the keys over the limit that there were.
fn compare(case: &Case, run: &Run, rows: &[Row]) -> Result<(usize, usize), TestCaseError> {
    let limits = case.ask().limits;
    let (mut hits, mut keys) = (0, 0);
    prop_assert_eq!(run.report.windows.len(), case.windows().len());
    for (window, report) in std::iter::zip(case.windows(), &run.report.windows) {
        let expected = oracle::answer(rows, window, case.scope, limits);
        hits += expected.hits.len();
        keys += expected.over_limit.len();
        if matches!(report.outcome, lakehunt::Outcome::WithoutSource) {
            prop_assert_eq!(&expected, &Answer::default(), "{} has rows but no source", &report.label);
            prop_assert!(!run.record_path(&report.label).exists());
            continue;
        }
        prop_assert!(matches!(report.outcome, lakehunt::Outcome::Done { .. }), "{:?}", report.outcome);
        prop_assert_eq!(&run.answer(&report.label), &expected, "window {}", &report.label);
    }
    Ok((hits, keys))
}

#[test]
fn the_engine_answers_as_the_oracle_does() {
    let began = std::time::Instant::now();
    let (lakes, sets, windows) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let (with_hits, with_keys) = (Cell::new(0), Cell::new(0));
    let add = |cell: &Cell<usize>, by: usize| cell.set(cell.get() + by);
    check(LAKES, case(6), |case| {
        let lake = Lake::new();
        let rows = case.write(&lake);
        let run = match case.ask().run(&lake) {
            Ok(run) => run,
            // Nothing lies where the windows look, so nothing can be found.
            Err(error) if error.kind() == lakehunt::ErrorKind::SourceMissing => {
                for window in case.windows() {
                    prop_assert_eq!(
                        oracle::answer(&rows, window, case.scope, case.ask().limits),
                        Answer::default(),
                        "{}",
                        error
                    );
                }
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let (hits, keys) = compare(case, &run, &rows)?;
        add(&lakes, 1);
        add(&sets, case.sets.iter().filter(|rows| !rows.is_empty()).count());
        add(&windows, case.windows().len());
        add(&with_hits, usize::from(hits > 0));
        add(&with_keys, usize::from(keys > 0));
        Ok(())
    });
    println!(
        "{} lakes ({} with hits, {} with keys over the limit), {} data sets, {} windows in {:?}",
        lakes.get(),
        with_hits.get(),
        with_keys.get(),
        sets.get(),
        windows.get(),
        began.elapsed()
    );
    // A comparison of nothing with nothing would prove nothing.
    assert!(with_hits.get() * 3 > lakes.get(), "{} of {} lakes have hits", with_hits.get(), lakes.get());
    assert!(with_keys.get() * 20 > lakes.get(), "{} of {} lakes have keys over", with_keys.get(), lakes.get());
}
