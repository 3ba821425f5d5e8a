//! Hits as a table of Markdown, for a ticket.

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::visible;

/// How an instant is written: UTC, to the millisecond.
const INSTANT: &str = "%Y-%m-%d %H:%M:%S%.3f";

/// Rows of one schema as a table. Text of the data stands in code spans, in which no link, mention, image or tag is one.
pub(crate) fn markdown(batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let Some(first) = batches.first() else { return Ok(String::new()) };
    let schema = first.schema();
    let mut text = String::new();
    line(&mut text, schema.fields().iter().map(|field| plain(field.name())));
    line(&mut text, schema.fields().iter().map(|field| rule(field.data_type()).to_owned()));
    let options = FormatOptions::default().with_timestamp_tz_format(Some(INSTANT));
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().zip(&columns).map(|(column, formatter)| {
                if column.is_null(row) {
                    return Ok(String::new());
                }
                let value = formatter.value(row).try_to_string()?;
                let numeric = column.data_type().is_numeric() || column.data_type().is_temporal();
                Ok(if numeric { value } else { code(&value) })
            });
            let cells = cells.collect::<Result<Vec<_>, ArrowError>>()?;
            line(&mut text, cells.into_iter());
        }
    }
    Ok(text)
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    for cell in cells {
        text.push_str("| ");
        text.push_str(&cell);
        text.push(' ');
    }
    text.push_str("|\n");
}

fn rule(kind: &DataType) -> &'static str {
    if kind.is_numeric() { "---:" } else { "---" }
}

/// A code span of a table's cell. Whatever the text holds, it neither ends the span nor the cell nor the line.
fn code(text: &str) -> String {
    // Line ends and the like are written out.
    let text = visible(text);
    if text.is_empty() {
        return String::new();
    }
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    // A space at either end is taken away again if both ends have one; of a text that is all spaces none is.
    let blank = text.chars().all(|c| c == ' ');
    let edges = |c: char| text.starts_with(c) || text.ends_with(c);
    let pad = if !blank && (edges('`') || edges(' ')) { " " } else { "" };
    // A table's cells are told apart before anything in them is read.
    format!("{fence}{pad}{}{pad}{fence}", text.replace('|', "\\|"))
}

/// A column's name: the hunt's own, which may be anything.
fn plain(name: &str) -> String {
    let simple = name.chars().all(|c| c.is_ascii_alphanumeric());
    if simple { name.to_owned() } else { code(name) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn a_table_holds_what_it_is_given() {
        let times = TimestampMicrosecondArray::from(vec![Some(1_714_521_600_123_456), None]).with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([
            ("User", Arc::new(StringArray::from(vec![Some("bob@contoso.com"), None])) as ArrayRef),
            ("at", Arc::new(times) as ArrayRef),
            ("pair_count", Arc::new(Int64Array::from(vec![3, 12])) as ArrayRef),
        ])
        .unwrap();
        let expected = "\
| User | at | `pair_count` |
| --- | --- | ---: |
| `bob@contoso.com` | 2024-05-01 00:00:00.123 | 3 |
|  |  | 12 |
";
        assert_eq!(markdown(&[batch]).unwrap(), expected);
        assert_eq!(markdown(&[]).unwrap(), "");
    }

    #[test]
    fn hostile_text_stays_in_its_cell() {
        for (text, written) in [
            ("", ""),
            ("a|b", "`a\\|b`"),
            ("a\nb\r\n| x |", "`a\\nb\\r\\n\\| x \\|`"),
            ("`", "`` ` ``"),
            ("``x`", "``` ``x` ```"),
            (" x ", "`  x  `"),
            ("  ", "`  `"),
            ("@everyone [x](javascript:alert(1)) <b>", "`@everyone [x](javascript:alert(1)) <b>`"),
            ("\u{202e}moc", "`\\u{202e}moc`"),
        ] {
            assert_eq!(code(text), written, "{text:?}");
        }
    }
}
