//! What a hunt's SELECT has to give, so that its rows can be cut into windows and written.

use datafusion::arrow::datatypes::{DataType, Schema};

use crate::error::{Error, ErrorKind, Result, suggestion};
use crate::job::Job;

/// The column that says which window a row belongs to: the window's first instant.
pub(crate) const WINDOW_START: &str = "window_start";

/// The column, if a hunt has it, that is true for a row that is no hit but stands for a key over the limit of its
/// distribution; such rows go to the run record.
pub(crate) const OVER_LIMIT: &str = "over_limit";

/// The columns that every hit table has after those of its hunt.
pub(crate) const WRITTEN: [&str; 6] = ["hit_id", "job_id", "job_version", "severity", "tactics", "techniques"];

/// Checks the columns of a hunt's SELECT against what its job says of them.
pub(super) fn check(job: &Job, schema: &Schema) -> Result<()> {
    let file = job.hunt_sql().path().display().to_string();
    let invalid = |message: String| Error::new(ErrorKind::InvalidJob, message).with("file", &file);
    let names = || schema.fields().iter().map(|field| field.name().as_str());

    match schema.field_with_name(WINDOW_START).map(|field| field.data_type()) {
        Ok(DataType::Timestamp(..)) => {}
        Ok(other) => {
            return Err(invalid(format!("the column {WINDOW_START} is of type {other}; it has to be a timestamp")));
        }
        Err(_) => {
            return Err(invalid(format!(
                "the SELECT gives no column {WINDOW_START}; add date_bin($window_size, <time>, $range_start) AS {WINDOW_START}"
            )));
        }
    }
    if let Ok(field) = schema.field_with_name(OVER_LIMIT)
        && field.data_type() != &DataType::Boolean
    {
        return Err(invalid(format!(
            "the column {OVER_LIMIT} is of type {}; it has to be a boolean",
            field.data_type()
        )));
    }
    for (index, name) in names().enumerate() {
        if WRITTEN.contains(&name) {
            return Err(invalid(format!("the column {name} is one that every hit table has; name it otherwise")));
        }
        if names().skip(index + 1).any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(invalid(format!(
                "two columns are named {name} (case aside); many readers of the hit table mind"
            )));
        }
    }
    let entities = job.entity_mappings().iter().flat_map(|e| &e.field_mappings).map(|field| &field.column_name);
    let output = job.output();
    for (key, columns) in [
        ("output.sort", output.sort.iter().collect::<Vec<_>>()),
        ("output.key", output.key.iter().collect()),
        ("entityMappings", entities.collect()),
    ] {
        for column in columns {
            if !names().any(|name| name == column) {
                return Err(Error::new(
                    ErrorKind::InvalidJob,
                    format!(
                        "{key} names `{column}`, which the SELECT does not give{}",
                        suggestion(column, names().collect::<Vec<_>>())
                    ),
                )
                .with("file", job.path().display()));
            }
        }
    }
    Ok(())
}
