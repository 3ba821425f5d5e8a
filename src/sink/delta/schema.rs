//! The columns of a Delta table, from those of its files.

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use delta_kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{StructField, StructType};

use crate::error::{Error, ErrorKind, Result};

/// Characters that no column of a Delta table may have in its name.
const REFUSED: &str = " ,;{}()\n\t=";

/// The columns of a table whose files have the columns `schema`, and whose `partitions` are text that the files lack.
///
/// All may be null: whether a column of a hunt can be is a matter of its plan, and the next one may see it otherwise.
///
/// # Errors
/// `InvalidJob` when a column cannot be one of a Delta table.
pub(super) fn table_of(schema: &Schema, partitions: &[&str]) -> Result<StructType> {
    let invalid = |name: &str, why: String| {
        Error::new(ErrorKind::InvalidJob, format!("the column cannot be one of a Delta table: {why}"))
            .with("column", name)
    };
    let mut fields: Vec<StructField> = Vec::new();
    let text = partitions.iter().map(|name| Field::new(*name, DataType::Utf8, true));
    for field in schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).chain(text) {
        let name = field.name();
        if name.contains(|c| REFUSED.contains(c)) {
            return Err(invalid(name, "its name may have no space and none of ,;{}()=".into()));
        }
        if fields.iter().any(|other| other.name().eq_ignore_ascii_case(name)) {
            return Err(invalid(name, "another one has that name".into()));
        }
        let field: Result<StructField, _> = (&field).try_into_kernel();
        fields.push(field.map_err(|e| invalid(name, e.to_string()))?);
    }
    StructType::try_new(fields)
        .map_err(|e| Error::new(ErrorKind::InvalidJob, "the hits cannot be a Delta table").caused_by(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_table_can_have_is_refused_by_name() {
        let refused = |names: &[&str]| {
            let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
            table_of(&Schema::new(fields), &["window_label"]).unwrap_err()
        };
        assert_eq!(refused(&["a b"]).context("column"), Some("a b"));
        assert_eq!(refused(&["a", "A"]).context("column"), Some("A"));
        assert_eq!(refused(&["Window_Label"]).kind(), ErrorKind::InvalidJob);
        let odd = Schema::new(vec![Field::new(
            "t",
            DataType::Duration(datafusion::arrow::datatypes::TimeUnit::Second),
            true,
        )]);
        assert_eq!(table_of(&odd, &[]).unwrap_err().context("column"), Some("t"));
    }
}
