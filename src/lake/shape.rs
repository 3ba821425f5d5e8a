//! What many files of a lake have in common: their columns, and where those of the job are.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::{Fields, Schema, SchemaRef};
use datafusion::parquet::schema::types::TypePtr;

use super::columns::{Columns, Resolution, TEXT, TextForm, is_noted_text};
use super::kept::Kept;
use crate::error::{Error, ErrorKind, Result};

/// Shapes that are remembered: a lake has one for each version of its writers, and files of one are neighbours in time.
const REMEMBERED: usize = 16;

/// The columns of a file, and where those of the job are.
#[derive(Debug)]
pub(crate) struct Shape {
    /// All columns of the file, in Parquet's terms and in Arrow's.
    whole: (TypePtr, Fields),
    /// The columns that are kept, of the types that they have in the file. They are the job's alone, unless somebody asks for
    /// all, or the file has none of those.
    pub(crate) schema: SchemaRef,
    /// What to ask the Parquet reader for.
    reading_schema: SchemaRef,
    /// Where each column of the job is, by position in `schema`.
    pub(crate) found: Vec<Option<usize>>,
    /// The resolution of its times; `None` when it has no time column.
    pub(crate) resolution: Option<Resolution>,
    /// `schema`, in Parquet's terms.
    pub(super) kept: Kept,
}

impl Shape {
    /// The shape of a file with such columns, of which those of the job are kept, or all.
    ///
    /// # Errors
    /// When a column cannot be of the job's type (`SchemaMismatch`).
    fn new(whole: (TypePtr, Fields), columns: &Columns, all: bool) -> Result<Self> {
        let schema = Schema::new(whole.1.clone());
        let reading_schema = columns.reading_schema(&schema)?;
        let mut found = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let index = columns.find(column, &schema)?;
            if let Some(index) = index {
                columns
                    .conversion(column, reading_schema.field(index).data_type(), TextForm::Plain)
                    .map_err(|e| e.with("stored as", schema.field(index).name()))?;
            }
            found.push(index);
        }
        let resolution = found[columns.time()].map(|index| columns.resolution(schema.field(index).data_type()));

        let asked: BTreeSet<usize> = found.iter().flatten().copied().collect();
        let kept: Vec<usize> = match all || asked.is_empty() {
            true => (0..schema.fields().len()).collect(),
            false => asked.into_iter().collect(),
        };
        let corrupt = || Error::new(ErrorKind::CorruptFile, "the file's schema cannot be read");
        let of = |schema: &Schema| schema.project(&kept).map_err(|e| corrupt().caused_by(e));
        Ok(Self {
            schema: Arc::new(of(&schema)?),
            reading_schema: Arc::new(of(&reading_schema)?),
            found: found.iter().map(|found| kept.binary_search(found.as_ref()?).ok()).collect(),
            resolution,
            kept: Kept::new(&whole.0, &kept).map_err(|e| corrupt().caused_by(e))?,
            whole,
        })
    }

    /// What to ask the Parquet reader for when text is wanted in these forms, by column of the job. Bytes that are not
    /// noted to be text are looked at as text first; the reader would take them as they are.
    pub(super) fn reading_schema(&self, forms: &[TextForm]) -> Schema {
        let mut fields = self.reading_schema.fields().to_vec();
        for (root, form) in self.found.iter().zip(forms) {
            if let Some(root) = root
                && self.is_text(*root)
            {
                fields[*root] = Arc::new(fields[*root].as_ref().clone().with_data_type(form.data_type()));
            }
        }
        Schema::new(fields)
    }

    /// Whether one of `schema` is text, and the file says so.
    pub(super) fn is_text(&self, root: usize) -> bool {
        self.reading_schema.field(root).data_type() == &TEXT && is_noted_text(self.schema.field(root).data_type())
    }
}

/// The shapes of files that were met, of one table of a job.
#[derive(Debug, Default)]
pub(crate) struct Shapes(Mutex<VecDeque<Arc<Shape>>>);

impl Shapes {
    /// The shape of a file with such columns; that of an earlier one, if it is remembered.
    ///
    /// # Errors
    /// Those of a new one.
    pub(super) fn of(&self, whole: (TypePtr, Fields), columns: &Columns, all: bool) -> Result<Arc<Shape>> {
        // The list is whole at every point where a holder can panic.
        let shapes = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shapes().iter().find(|known| known.whole == whole) {
            return Ok(Arc::clone(known));
        }
        let shape = Arc::new(Shape::new(whole, columns, all)?);
        let mut shapes = shapes();
        shapes.push_front(Arc::clone(&shape));
        shapes.truncate(REMEMBERED);
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
    use datafusion::parquet::arrow::ArrowSchemaConverter;
    use serde_json::json;

    use super::*;

    fn columns() -> Columns {
        let specs =
            json!([["Time", {"type": "datetime"}], ["User", {"type": "string"}], ["Place", {"type": "string"}]]);
        serde_json::from_value(json!({"specs": specs, "time": 0})).unwrap()
    }

    /// The columns of a file, in Parquet's terms and in Arrow's.
    fn file(fields: &[(&str, DataType)]) -> (TypePtr, Fields) {
        let fields = fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        (ArrowSchemaConverter::new().convert(&schema).unwrap().root_schema_ptr(), schema.fields)
    }

    fn time(unit: TimeUnit) -> DataType {
        DataType::Timestamp(unit, Some("UTC".into()))
    }

    #[test]
    fn files_of_the_same_columns_have_one_shape() {
        let (columns, shapes) = (columns(), Shapes::default());
        let of = |unit, text| {
            let file = file(&[("Extra", DataType::Int64), ("user", text), ("Time", time(unit))]);
            shapes.of(file, &columns, false).unwrap()
        };
        let first = of(TimeUnit::Microsecond, DataType::Utf8);
        // Arrow has these as others, though Parquet does not; and the other way round.
        let large = of(TimeUnit::Microsecond, DataType::LargeUtf8);
        let coarse = of(TimeUnit::Millisecond, DataType::Utf8);
        assert!(Arc::ptr_eq(&first, &of(TimeUnit::Microsecond, DataType::Utf8)));
        assert!(!Arc::ptr_eq(&first, &large) && !Arc::ptr_eq(&first, &coarse));
        assert_eq!(first.resolution, Some(Resolution::Microsecond));
        assert_eq!(coarse.resolution, Some(Resolution::Millisecond));
        let mixed = (Arc::clone(&first.whole.0), large.whole.1.clone());
        assert!(!Arc::ptr_eq(&first, &shapes.of(mixed, &columns, false).unwrap()), "both have to be the same");
    }

    #[test]
    fn columns_of_the_job_are_kept_and_found_by_their_new_places() {
        let columns = columns();
        let whole = || file(&[("Extra", DataType::Int64), ("user", DataType::Utf8), ("Time", time(TimeUnit::Second))]);
        let names = |shape: &Shape| shape.schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        let few = Shapes::default().of(whole(), &columns, false).unwrap();
        assert_eq!(
            (names(&few), &few.found),
            (vec!["user".to_owned(), "Time".to_owned()], &vec![Some(1), Some(0), None])
        );
        assert_eq!(few.kept.leaves_of(1).collect::<Vec<_>>(), [(1, 2)]);
        let all = Shapes::default().of(whole(), &columns, true).unwrap();
        assert_eq!((names(&all).len(), &all.found), (3, &vec![Some(2), Some(1), None]));
        // Of a file with none of them, all stay: it has rows.
        let none = Shapes::default().of(file(&[("Extra", DataType::Int64)]), &columns, false).unwrap();
        assert_eq!((names(&none).len(), &none.found), (1, &vec![None, None, None]));
    }

    #[test]
    fn text_is_asked_for_in_the_form_that_is_wanted() {
        let columns = columns();
        let shape =
            Shapes::default().of(file(&[("User", DataType::Utf8), ("Place", DataType::Binary)]), &columns, false);
        let shape = shape.unwrap();
        for form in [TextForm::View, TextForm::Plain, TextForm::Dictionary] {
            let schema = shape.reading_schema(&[form; 3]);
            let types: Vec<_> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
            // Bytes are looked at as text first.
            assert_eq!(types, [form.data_type(), TEXT]);
        }
    }

    #[test]
    fn more_shapes_than_are_remembered_do_not_stay() {
        let (columns, shapes) = (columns(), Shapes::default());
        for extra in 0..=REMEMBERED {
            shapes.of(file(&[(&format!("extra_{extra}"), DataType::Int64)]), &columns, false).unwrap();
        }
        assert_eq!(shapes.0.lock().unwrap().len(), REMEMBERED);
    }
}
