//! What Entra's result codes mean.

use std::collections::HashMap;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// From Microsoft's public reference of authentication and authorization error codes, in our own words.
const TABLE: &str = include_str!("../../sql/reference/result-types.csv");

#[derive(Debug, Deserialize)]
struct Code {
    #[serde(rename = "ResultType")]
    code: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Meaning")]
    meaning: String,
}

/// The codes that are known.
#[derive(Debug)]
pub(super) struct Codes {
    meanings: HashMap<String, String>,
}

impl Codes {
    pub(super) fn known() -> Result<Self> {
        let unreadable =
            |e| Error::new(ErrorKind::Engine, "the table of result codes that came along is damaged").caused_by(e);
        let meanings = csv::Reader::from_reader(TABLE.as_bytes())
            .into_deserialize::<Code>()
            .map(|code| code.map(|code| (code.code, format!("{}: {}", code.name, code.meaning))))
            .collect::<Result<_, csv::Error>>()
            .map_err(unreadable)?;
        Ok(Self { meanings })
    }

    /// The name of a code and what it means. Logs write a code with or without `AADSTS`.
    pub(super) fn meaning(&self, code: &str) -> Option<&str> {
        self.meanings.get(code.trim_start_matches("AADSTS")).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there_once_and_means_something() {
        let lines: Vec<&str> = TABLE.lines().collect();
        let codes = Codes::known().unwrap();
        assert_eq!(codes.meanings.len(), lines.len() - 1, "no code stands there twice");
        assert!(codes.meanings.len() >= 200);
        assert!(codes.meanings.keys().all(|code| code.parse::<u32>().is_ok()));
        assert!(codes.meanings.values().all(|text| text.len() > 15 && !text.contains(",,")));
        for code in ["50126", "AADSTS50126"] {
            assert!(codes.meaning(code).unwrap().starts_with("InvalidUserNameOrPassword: "), "{code}");
        }
        assert_eq!(codes.meaning("50126 "), None, "as everywhere, nothing is trimmed");
        assert_eq!(codes.meaning(""), None);
    }
}
