//! The hits themselves, as many of them as a page can hold.

use chrono::SecondsFormat;
use datafusion::arrow::datatypes::DataType;

use super::Request;
use super::codes::Codes;
use super::columns::Columns;
use super::rows::Rows;
use super::tops::EMPTY;
use super::values::{Cell, Column, Count, HitTable, Row};
use crate::error::Result;
use crate::job::Job;

/// Bytes of a text that is a sentence.
const LONG: usize = 60;

/// The newest hits, in the order of the hit table: by window, then as the job sorts them.
pub(super) fn table(job: &Job, rows: &Rows, columns: &Columns, codes: &Codes, request: &Request) -> Result<HitTable> {
    // Only these become text.
    let left = rows.len().saturating_sub(request.rows);
    let rows = rows.since(left);
    let mut shown: Vec<Column> = columns
        .shown
        .iter()
        .map(|index| {
            let field = rows.schema().field(*index);
            let kind = match field.data_type() {
                DataType::Timestamp(..) => "time",
                number if number.is_numeric() => "number",
                _ => "text",
            };
            Column { name: field.name().clone(), parts: parts(field.name()), kind, long: false }
        })
        .collect();
    let texts = columns.shown.iter().map(|index| rows.texts(*index)).collect::<Result<Vec<_>>>()?;
    for (column, texts) in shown.iter_mut().zip(&texts) {
        column.long = texts.iter().flatten().any(|text| text.len() > LONG && text.contains(' '));
    }
    let ranks = rows.numbers("kql_rank");
    let row = |row: usize| {
        let cells = columns.shown.iter().zip(&texts).zip(&shown).map(|((index, texts), column)| {
            let text = match texts[row].as_deref() {
                Some(text) if !text.is_empty() => text.to_owned(),
                _ if column.kind == "text" => EMPTY.to_owned(),
                _ => String::new(),
            };
            // The name alone; what it means in full stands beside the most frequent ones and on the timelines.
            let name =
                codes.meaning(&text).and_then(|meaning| meaning.split_once(':')).map(|(name, _)| name.to_owned());
            let meaning = name.filter(|_| columns.code == Some(*index));
            Cell { text, meaning }
        });
        Row { kql: ranks.as_ref().is_some_and(|ranks| ranks[row] == Some(1)), cells: cells.collect() }
    };
    Ok(HitTable {
        rows: (0..rows.len()).map(row).collect(),
        columns: shown,
        left: Count(left as u64),
        command: command(job, request),
        ranked: ranks.is_some(),
    })
}

/// `UserPrincipalName` as `User`, `Principal`, `Name`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = 'A';
    for c in name.chars() {
        if (c.is_uppercase() && !before.is_uppercase()) || before == '_' {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        before = c;
    }
    parts
}

/// What prints all hits of the report.
fn command(job: &Job, request: &Request) -> String {
    let mut command = format!("lakehunt hits {} --job {}", quoted(&request.output), quoted(job.slug()));
    for (flag, instant) in [("--from", request.from), ("--to", request.to)] {
        if let Some(instant) = instant {
            command.push_str(&format!(" {flag} {}", instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)));
        }
    }
    command.push_str(" --format csv");
    command
}

/// A word of a shell's.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_break_where_a_word_begins() {
        assert_eq!(parts("UserPrincipalName"), ["User", "Principal", "Name"]);
        assert_eq!(parts("IPAddress"), ["IPAddress"]);
        assert_eq!(parts("kql_rank"), ["kql_", "rank"]);
        assert_eq!(parts(""), [""]);
    }

    #[test]
    fn words_of_a_shell_stay_one_word() {
        assert_eq!(quoted("s3://bucket/hunts"), "s3://bucket/hunts");
        assert_eq!(quoted("my hunts"), "'my hunts'");
        assert_eq!(quoted("a'b; rm -rf /"), r"'a'\''b; rm -rf /'");
        assert_eq!(quoted(""), "''");
    }
}
