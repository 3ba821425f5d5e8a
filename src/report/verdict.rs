//! What the tests of hunts have shown, for people and for machines.

use std::fmt::Write as _;

use console::Style;
use serde_json::{Value, json};

use super::terminal::plural;
use crate::error::Error;
use crate::hunt_test::{Difference, Verdict};

/// A test's verdict on a line, and on more where the hits differ: `-` is what the test expects, `+` what there is.
///
/// Writing to a string cannot fail, hence the ignored results.
pub(crate) fn verdict_text(name: &str, verdict: &Result<Verdict, Error>) -> String {
    let (good, bad) = (Style::new().green(), Style::new().red());
    let mut text = String::new();
    match verdict {
        Ok(verdict) if verdict.has_passed() => {
            let _ = writeln!(text, "  {}  {name}", good.apply_to("ok    "));
        }
        Ok(verdict) => {
            let [expected, found] = verdict.hits;
            let counts = format!("{} expected, {found} found", plural(expected as u64, "hit"));
            let _ = writeln!(text, "  {}  {name}: {counts}", bad.apply_to("FAILED"));
            for difference in &verdict.differences {
                show(&mut text, difference, [&bad, &good]);
            }
        }
        Err(error) => {
            let _ = writeln!(text, "  {}  {name}: {error}", bad.apply_to("FAILED"));
        }
    }
    text
}

fn show(text: &mut String, difference: &Difference, [gone, new]: [&Style; 2]) {
    let what = if difference.is_missing() {
        format!("a {} is missing", difference.what)
    } else if difference.is_unexpected() {
        format!("a {} is not expected", difference.what)
    } else {
        format!("a {} is otherwise", difference.what)
    };
    let _ = writeln!(text, "      {what}");
    let width = difference.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or_default();
    for column in &difference.columns {
        let line = |sign: char, value: &Value| format!("    {sign} {:<width$}  {}", column.name, shown(value));
        match (&column.expected, &column.found) {
            (Some(expected), Some(found)) if expected == found => {
                let _ = writeln!(text, "    {}", line(' ', found));
            }
            (expected, found) => {
                for (sign, value, style) in [('-', expected, gone), ('+', found, new)] {
                    if let Some(value) = value {
                        let _ = writeln!(text, "    {}", style.apply_to(line(sign, value)));
                    }
                }
            }
        }
    }
}

/// Text as it is, unless something about it would not be seen: nothing, spaces at its ends, control characters.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => {
            let plain = !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
            if plain { text.clone() } else { format!("{text:?}") }
        }
        other => other.to_string(),
    }
}

/// The same as JSON.
pub(crate) fn verdict_json(name: &str, verdict: &Result<Verdict, Error>) -> Value {
    match verdict {
        Err(error) => json!({ "name": name, "passed": false, "error": error.to_string() }),
        Ok(verdict) => json!({
            "name": name,
            "passed": verdict.has_passed(),
            "hits_expected": verdict.hits[0],
            "hits_found": verdict.hits[1],
            "differences": verdict.differences.iter().map(difference_json).collect::<Vec<_>>(),
        }),
    }
}

fn difference_json(difference: &Difference) -> Value {
    let side = |missing: bool, value: fn(&crate::hunt_test::Column) -> &Option<Value>| {
        if missing {
            return Value::Null;
        }
        let columns = difference.columns.iter();
        columns.map(|column| (column.name.clone(), value(column).clone().unwrap_or_default())).collect()
    };
    json!({
        "what": difference.what,
        "expected": side(difference.is_unexpected(), |column| &column.expected),
        "found": side(difference.is_missing(), |column| &column.found),
    })
}
