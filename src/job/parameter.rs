//! Parameters: typed values that are bound into the SQL, never pasted into its text.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::timespan::Timespan;
use crate::window::parse_instant;

/// The type of a parameter, in KQL's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ParameterType {
    /// A length of time: `1m`.
    Timespan,
    /// A whole number of 64 bits.
    Long,
    /// A floating-point number of 64 bits.
    Real,
    /// `true` or `false`.
    Bool,
    /// Text.
    String,
    /// A UTC date or RFC 3339.
    Datetime,
    /// A list of strings.
    Dynamic,
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timespan => "timespan",
            Self::Long => "long",
            Self::Real => "real",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Datetime => "datetime",
            Self::Dynamic => "dynamic",
        })
    }
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Timespan(Timespan),
    Long(i64),
    Real(f64),
    Bool(bool),
    String(String),
    Datetime(DateTime<Utc>),
    Dynamic(Vec<String>),
}

/// A value as YAML has it, before the parameter's type is looked at.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Literal {
    Bool(bool),
    Long(i64),
    Real(f64),
    Text(String),
    List(Vec<Literal>),
}

impl Literal {
    /// The scalar as text; numbers in a list of strings are meant as their digits.
    fn into_text(self) -> Option<String> {
        match self {
            Self::Bool(b) => Some(b.to_string()),
            Self::Long(n) => Some(n.to_string()),
            Self::Real(x) => Some(x.to_string()),
            Self::Text(s) => Some(s),
            Self::List(_) => None,
        }
    }
}

impl Value {
    /// Reads `text` as a value of type `kind`. A list is written as in YAML or JSON: `["a", "b"]`.
    pub(super) fn parse(kind: ParameterType, text: &str) -> Result<Self> {
        let literal = match kind {
            ParameterType::Dynamic => serde_saphyr::from_str::<Vec<Literal>>(text)
                .map(Literal::List)
                .map_err(|_| mismatch(kind, text, "write a list: [\"a\", \"b\"]"))?,
            ParameterType::Long => Literal::Long(
                text.trim().parse().map_err(|_| mismatch(kind, text, "write a whole number of at most 64 bits"))?,
            ),
            ParameterType::Real => {
                Literal::Real(text.trim().parse().map_err(|_| mismatch(kind, text, "write a number"))?)
            }
            ParameterType::Bool => {
                Literal::Bool(text.trim().parse().map_err(|_| mismatch(kind, text, "write true or false"))?)
            }
            ParameterType::Timespan | ParameterType::String | ParameterType::Datetime => Literal::Text(text.to_owned()),
        };
        Self::from_literal(kind, literal)
    }

    /// Reads what the job file holds as a value of type `kind`.
    pub(super) fn from_literal(kind: ParameterType, literal: Literal) -> Result<Self> {
        match (kind, literal) {
            (ParameterType::Timespan, Literal::Text(text)) => Ok(Self::Timespan(text.parse()?)),
            (ParameterType::Datetime, Literal::Text(text)) => Ok(Self::Datetime(parse_instant(&text)?)),
            (ParameterType::Long, Literal::Long(n)) => Ok(Self::Long(n)),
            (ParameterType::Real, Literal::Real(x)) if x.is_finite() => Ok(Self::Real(x)),
            (ParameterType::Real, Literal::Long(n)) => Ok(Self::Real(n as f64)),
            (ParameterType::Bool, Literal::Bool(b)) => Ok(Self::Bool(b)),
            (ParameterType::String, literal @ (Literal::Text(_) | Literal::Long(_))) => {
                Ok(Self::String(literal.into_text().unwrap_or_default()))
            }
            (ParameterType::Dynamic, Literal::List(items)) => items
                .into_iter()
                .map(Literal::into_text)
                .collect::<Option<Vec<_>>>()
                .map(Self::Dynamic)
                .ok_or_else(|| mismatch(kind, "a list of lists", "write a list of strings")),
            (kind, literal) => Err(mismatch(kind, &literal.into_text().unwrap_or_else(|| "a list".to_owned()), "")),
        }
    }
}

fn mismatch(kind: ParameterType, text: &str, advice: &str) -> Error {
    let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
    Error::new(ErrorKind::Usage, format!("`{text}` is no {kind}{advice}"))
}

/// As it would stand in SQL or KQL; for records and for reading, never for execution.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timespan(span) => span.fmt(f),
            Self::Long(n) => n.fmt(f),
            Self::Real(x) => x.fmt(f),
            Self::Bool(b) => b.fmt(f),
            Self::String(s) => write!(f, "'{}'", s.replace('\'', "''")),
            Self::Datetime(t) => f.write_str(&t.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Self::Dynamic(items) => {
                let items: Vec<_> = items.iter().map(|s| format!("'{}'", s.replace('\'', "''"))).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_by_type() {
        assert_eq!(Value::parse(ParameterType::Timespan, "90s").unwrap().to_string(), "90s");
        assert_eq!(Value::parse(ParameterType::Long, "10").unwrap(), Value::Long(10));
        assert_eq!(Value::parse(ParameterType::String, "O'Neil").unwrap().to_string(), "'O''Neil'");
        assert_eq!(
            Value::parse(ParameterType::Dynamic, r#"["a b", 50140]"#).unwrap(),
            Value::Dynamic(vec!["a b".into(), "50140".into()])
        );
        assert_eq!(Value::parse(ParameterType::Dynamic, "[]").unwrap(), Value::Dynamic(vec![]));
    }

    #[test]
    fn what_is_not_of_the_type_is_named() {
        for (kind, text) in [
            (ParameterType::Long, "5.5"),
            (ParameterType::Long, "9223372036854775808"),
            (ParameterType::Bool, "yes"),
            (ParameterType::Dynamic, "a"),
            (ParameterType::Timespan, "60"),
            (ParameterType::Datetime, "May"),
        ] {
            let error = Value::parse(kind, text).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
