//! The tests of a hunt: rows of its source, and the hits that they give.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::load::{read, unreadable};
use super::parameter::Literal;
use crate::error::{Error, ErrorKind, Result};
use crate::window::Scope;

/// Columns and their values, in the order in which they are written.
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// One test of a hunt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in a few words.
    pub name: String,
    /// Columns that each of its rows has unless the row says otherwise.
    #[serde(default)]
    pub defaults: Fields,
    /// Values of parameters, in place of the job's.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Literal>,
    /// Rows of the job's lists, in place of those that it has.
    #[serde(default)]
    pub lists: BTreeMap<String, Vec<Fields>>,
    /// The windows that are evaluated.
    #[serde(default)]
    pub window: CaseWindow,
    /// Rows of the source; a column that a row lacks is null in it.
    #[serde(default)]
    pub rows: Vec<Fields>,
    /// Rows of the further tables of the job, by name.
    #[serde(default)]
    pub tables: BTreeMap<String, Vec<Fields>>,
    /// The hits, in any order. Columns that are not named are not compared.
    pub hits: Vec<Fields>,
    /// The keys over the limit of the distribution; not compared when it is left out.
    pub over_limit: Option<Vec<Fields>>,
}

/// The windows of a test. Without a range it is the one window that holds the latest row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseWindow {
    /// The first instant.
    pub from: Option<String>,
    /// The first instant after the last window.
    pub to: Option<String>,
    /// The length of a window, or `all`; the job's when it is left out.
    pub size: Option<String>,
    /// What a window sees of the time before it; the job's when it is left out.
    pub scope: Option<Scope>,
}

/// `tests` of a job file: a list, or the path of a file that holds one.
#[derive(Debug, Clone)]
pub(super) enum Cases {
    Here(Vec<Case>),
    File(String),
}

impl Default for Cases {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

impl Cases {
    /// The tests of the job file `job`, read where they stand in a file of their own.
    pub(super) fn load(&self, job: &Path) -> Result<Vec<Case>> {
        let (cases, file) = match self {
            Self::Here(cases) => (cases.clone(), job.to_owned()),
            Self::File(name) => {
                let file = job.parent().unwrap_or(Path::new("")).join(name);
                let cases =
                    serde_saphyr::from_str(&read(&file)?).map_err(|e| unreadable("the tests are", &file, &e))?;
                (cases, file)
            }
        };
        for (index, case) in cases.iter().enumerate() {
            if cases[..index].iter().any(|other| other.name == case.name) {
                return Err(Error::new(ErrorKind::InvalidJob, format!("two tests are named `{}`", case.name))
                    .with("file", file.display()));
            }
        }
        Ok(cases)
    }
}

/// By what stands there, so that what is wrong in a test is named by its line.
impl<'de> Deserialize<'de> for Cases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Cases;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tests, or the path of a file with one")
            }

            fn visit_str<E>(self, path: &str) -> Result<Cases, E> {
                Ok(Cases::File(path.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Cases, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(Cases::Here)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(text: &str) -> Result<Cases, String> {
        serde_saphyr::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn tests_stand_in_the_job_file_or_beside_it() {
        let listed = cases("- { name: a, rows: [{ ResultType: \"0\" }], hits: [] }\n- { name: b, hits: [] }").unwrap();
        let Cases::Here(listed) = listed else { panic!("they stand here") };
        assert_eq!(listed.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(listed[0].rows[0]["ResultType"], "0", "what is quoted stays text");
        assert!(matches!(cases("tests/a.yaml").unwrap(), Cases::File(path) if path == "tests/a.yaml"));
    }

    #[test]
    fn what_is_wrong_with_a_test_is_named() {
        let wrong = cases("- { name: a, hits: [], row: [] }").unwrap_err();
        assert!(wrong.contains("row") && wrong.contains("rows"), "{wrong}");
        let wrong = cases("- { name: a }").unwrap_err();
        assert!(wrong.contains("hits"), "{wrong}");
        let twice = cases("- { name: a, hits: [] }\n- { name: a, hits: [] }").unwrap();
        let error = twice.load(Path::new("jobs/x.yaml")).unwrap_err();
        assert!(error.to_string().contains("two tests are named `a`"), "{error}");
    }
}
