//! A source that is a Delta table: its files are those of its log, pruned by what the log says; the rest is refused.

use lakehunt::{Error, ErrorKind, RunReport, Settings};
use serde_json::{Value, json};

use super::place::{Backend, Place, code, stderr, stdout};
use crate::encode::{Form, encode};
use crate::lake::{Ask, SLUG, at, instant, read_hits};
use crate::oracle::{Row, SECOND};
use crate::rows::pair;

/// A table of commits, written by hand as the protocol has it.
struct Table {
    place: Place,
    version: u64,
}

impl Table {
    fn new(backend: Backend, protocol: Value, configuration: Value, partitioned: &[&str]) -> Self {
        let mut table = Self { place: Place::new(backend), version: 0 };
        let names = ["UserPrincipalName", "IPAddress", "AppDisplayName", "ResultType", "ResultDescription", "date"];
        let field = |name: &str, kind: &str| json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
        let mut fields = vec![field("TimeGenerated", "timestamp")];
        fields.extend(names.map(|name| field(name, "string")));
        let schema = json!({"type": "struct", "fields": fields}).to_string();
        let metadata = json!({"metaData": {"id": "t", "format": {"provider": "parquet", "options": {}},
            "schemaString": schema, "partitionColumns": partitioned, "configuration": configuration, "createdTime": 0}});
        table.commit(&[json!({ "protocol": protocol }), metadata]);
        table
    }

    fn plain(backend: Backend) -> Self {
        Self::new(backend, json!({"minReaderVersion": 1, "minWriterVersion": 2}), json!({}), &["date"])
    }

    fn commit(&mut self, actions: &[Value]) {
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        self.place.put(&format!("lake/_delta_log/{:020}.json", self.version), lines.join("\n").into_bytes());
        self.version += 1;
    }

    /// Writes a file and gives the action that adds it. Paths are encoded in the log, statistics are whole milliseconds, cut.
    fn file(&self, path: &str, rows: &[Row], statistics: bool) -> Value {
        let bytes = encode(rows, &Form::default().fits(rows));
        let size = bytes.len();
        self.place.put(&format!("lake/{path}"), bytes);
        let times: Vec<i128> = rows.iter().filter_map(|row| row.time).collect();
        let text = |time: &i128| instant(*time).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let bounds = |time: Option<&i128>| json!({"TimeGenerated": time.map(text)});
        let stats = json!({"numRecords": rows.len(), "minValues": bounds(times.iter().min()),
            "maxValues": bounds(times.iter().max()), "nullCount": {"TimeGenerated": 0}});
        let mut add = json!({"path": path.replace(' ', "%20"), "partitionValues": {"date": "x"}, "size": size,
            "modificationTime": 1_714_521_600_000_i64, "dataChange": true});
        if statistics {
            add["stats"] = Value::String(stats.to_string());
        }
        json!({ "add": add })
    }

    fn run(&self, change: impl FnOnce(&mut Settings)) -> Result<RunReport, Error> {
        self.place.run(&Ask::days("2024-05-01", "2024-05-04"), change)
    }

    fn users(&self, day: &str) -> Vec<String> {
        read_hits(self.place.hits()[day].clone()).into_iter().map(|(hit, _)| hit.user).collect()
    }
}

fn on(user: &str, day: &str) -> Vec<Row> {
    let noon = at(day) + 43_200 * SECOND;
    pair(user, noon, noon + SECOND).to_vec()
}

fn remove(path: &str) -> Value {
    json!({"remove": {"path": path, "deletionTimestamp": 1, "dataChange": true, "partitionValues": {"date": "x"}, "size": 1}})
}

#[test]
fn the_files_of_a_version_are_read_and_no_other() {
    for backend in Backend::all() {
        let mut table = Table::plain(backend);
        // Folders say nothing here: rows lie anywhere.
        let (first, second) = (
            table.file("date=x/a.parquet", &[on("ann", "2024-05-01"), on("ann", "2024-05-02")].concat(), true),
            table.file("b c.parquet", &on("bea", "2024-05-02"), false),
        );
        table.commit(&[first, second]);
        let third = table.file("date=y/d.parquet", &on("cem", "2024-05-02"), true);
        table.commit(&[remove("date=x/a.parquet"), third]);
        // Written, and never committed.
        table.file("date=x/uncommitted.parquet", &on("eve", "2024-05-02"), true);

        let report = table.run(|_| {}).unwrap();
        assert_eq!(
            report.failures().map(|(_, error)| error.to_string()).collect::<Vec<_>>(),
            [""; 0],
            "{}",
            backend.name()
        );
        assert_eq!(table.users("2024-05-02"), ["bea", "cem"], "{}", backend.name());
        let records = table.place.records();
        assert_eq!(records["2024-05-02"]["source_version"], 2);
        let inputs = |day: &str| records[day]["inputs"].as_array().map_or(0, Vec::len);
        assert_eq!((inputs("2024-05-01"), inputs("2024-05-02")), (1, 2), "one file tells its times, and is left out");

        let again = table.run(|_| {}).unwrap();
        assert!(again.windows.iter().all(|w| !matches!(w.outcome, lakehunt::Outcome::Done { .. })));

        table.run(|settings| settings.source_version = Some(1)).unwrap();
        assert_eq!(table.users("2024-05-02"), ["ann", "bea"], "{}", backend.name());
        let missing = table.run(|settings| settings.source_version = Some(9)).unwrap_err();
        assert_eq!((missing.kind(), missing.kind().exit_code()), (ErrorKind::SourceMissing, 5), "{missing}");
        assert!(missing.to_string().contains("version 9"), "{missing}");

        let output = table.place.lakehunt(&["inspect", &table.place.url("lake")]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains("a Delta table, version 2"), "{}", stdout(&output));
        let source = table.place.url("lake");
        let args = ["run", SLUG, "--source", &source, "--output", &table.place.url("cli"), "--source-version", "1"];
        let output =
            table.place.lakehunt(&[&args[..], &["--from", "2024-05-02", "--to", "2024-05-03", "--json"]].concat());
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    }
}

/// The log cuts times to milliseconds; the last row of a file may lie anywhere in the one that it names.
#[test]
fn statistics_that_are_cut_lose_no_row() {
    let mut table = Table::plain(Backend::Local);
    let midnight = at("2024-05-02");
    // The failure is the first row of the window, 0.9 ms into it: cut, the file seems to end at midnight.
    let rows = pair("ann", midnight - SECOND, midnight + 900_000);
    let add = table.file("a.parquet", &rows, true);
    table.commit(&[add]);
    let ask = Ask { window: "1h", ..Ask::days("2024-05-02", "2024-05-03") };
    let report = table.place.run(&ask, |_| {}).unwrap();
    assert_eq!(report.hits(), 1);
    let windows = report.windows.iter().filter(|w| matches!(w.outcome, lakehunt::Outcome::Done { .. }));
    assert_eq!(windows.count(), 1, "the other hours have no file");
}

#[test]
fn what_plain_files_do_not_show_is_refused_by_name() {
    let features = |names: &[&str]| json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": names, "writerFeatures": names});
    let refused = |table: &Table, word: &str| {
        let error = table.run(|_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SchemaMismatch, "{word}: {error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
        assert!(table.place.objects("out").is_empty());
    };

    let mut table = Table::new(Backend::Local, features(&["deletionVectors"]), json!({}), &[]);
    let mut add = table.file("a.parquet", &on("ann", "2024-05-02"), true);
    table.commit(std::slice::from_ref(&add));
    table.run(|_| {}).unwrap();
    assert_eq!(table.users("2024-05-02"), ["ann"], "a table that only allows them is read");
    add["add"]["deletionVector"] = json!({"storageType": "u", "pathOrInlineDv": "vBn[lx{q8@P<9BNH/isA", "offset": 1,
        "sizeInBytes": 36, "cardinality": 1});
    let mut table = Table::new(Backend::Local, features(&["deletionVectors"]), json!({}), &[]);
    table.file("a.parquet", &on("ann", "2024-05-02"), true);
    table.commit(&[add]);
    refused(&table, "deletion vectors");

    let mapped = json!({"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "7"});
    let table = Table::new(Backend::Local, features(&["columnMapping"]), mapped, &[]);
    let error = table.run(|_| {}).unwrap_err();
    assert!(error.to_string().to_lowercase().contains("column mapping"), "{error}");

    let mut table = Table::new(Backend::Local, features(&["catalogManaged", "inCommitTimestamp"]), json!({}), &[]);
    let add = table.file("a.parquet", &on("ann", "2024-05-02"), true);
    table.commit(&[add]);
    let error = table.run(|_| {}).unwrap_err();
    assert!(error.to_string().contains("atalog"), "{error}");

    let mut table =
        Table::new(Backend::Local, json!({"minReaderVersion": 1, "minWriterVersion": 2}), json!({}), &["ResultType"]);
    let mut add = table.file("a.parquet", &on("ann", "2024-05-02"), true);
    add["add"]["partitionValues"] = json!({"ResultType": "0"});
    table.commit(&[add]);
    refused(&table, "partition column ResultType");
}

#[test]
fn a_log_that_cannot_be_read_is_named() {
    let place = Place::new(Backend::Local);
    place.upload(&super::same::lake());
    place.put("lake/_delta_log/00000000000000000000.json", b"this is no commit".to_vec());
    let error = place.run(&super::same::three_days(), |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error}");
    assert!(error.context("url").unwrap().ends_with("lake/_delta_log"), "{error}");
}

#[test]
fn a_version_of_what_is_no_delta_table_is_a_mistake() {
    let place = Place::new(Backend::Local);
    place.upload(&super::same::lake());
    let error = place.run(&super::same::three_days(), |settings| settings.source_version = Some(1)).unwrap_err();
    assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Usage, 2), "{error}");
}
