//! Turns a stored column into numbers, truth values or JSON. What is none becomes null, as KQL's conversions have it, and is
//! told of.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_json::LineDelimitedWriter;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StringBuilder,
    new_null_array,
};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::columns::{TEXT, TextForm};
use super::convert::{Notices, to_text};
use crate::job::ColumnType;

/// Any stored value as one of a type: long, real, bool or dynamic.
#[derive(Debug)]
pub(super) struct LakeValue {
    kind: ColumnType,
    form: TextForm,
    /// The job's name of the column, for what is told of it.
    column: String,
    signature: Signature,
    notices: Arc<Notices>,
}

impl LakeValue {
    pub(super) fn new(kind: ColumnType, form: TextForm, column: &str, notices: Arc<Notices>) -> Self {
        let signature = Signature::any(1, Volatility::Immutable);
        Self { kind, form, column: column.to_owned(), signature, notices }
    }

    fn convert(&self, array: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self.kind {
            ColumnType::Long => Arc::new(self.longs(array)?),
            ColumnType::Real => Arc::new(self.reals(array)?),
            ColumnType::Bool => Arc::new(self.bools(array)?),
            _ => cast(&json(array)?, &self.form.data_type())?,
        })
    }

    /// Whole numbers; what has a fraction loses it.
    fn longs(&self, array: &ArrayRef) -> Result<Int64Array> {
        let whole = |x: f64| {
            // The first float beyond 64 bits.
            let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x);
            fits.then_some(x.trunc() as i64)
        };
        Ok(match array.data_type() {
            DataType::UInt64 => {
                let texts = cast(array, &TEXT)?;
                self.parsed(texts.as_string(), |text| text.parse().ok())
            }
            data_type if data_type.is_integer() || *data_type == DataType::Boolean => {
                cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()
            }
            data_type if data_type.is_floating() => {
                let floats = cast(array, &DataType::Float64)?;
                let floats = floats.as_primitive::<Float64Type>().iter();
                floats.map(|x| x.filter(|x| !x.is_nan())).map(|x| self.noted(x, x.and_then(whole))).collect()
            }
            _ => self.parsed(text(array)?.as_string(), |text| {
                text.parse().ok().or_else(|| text.parse().ok().filter(|x: &f64| !x.is_nan()).and_then(whole))
            }),
        })
    }

    fn reals(&self, array: &ArrayRef) -> Result<Float64Array> {
        Ok(match array.data_type() {
            data_type if data_type.is_numeric() || *data_type == DataType::Boolean => {
                cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone()
            }
            _ => self.parsed(text(array)?.as_string(), |text| text.parse().ok()),
        })
    }

    /// Numbers are true unless they are 0.
    fn bools(&self, array: &ArrayRef) -> Result<BooleanArray> {
        Ok(match array.data_type() {
            DataType::Boolean => array.as_boolean().clone(),
            data_type if data_type.is_numeric() => {
                let floats = cast(array, &DataType::Float64)?;
                let floats = floats.as_primitive::<Float64Type>().iter();
                floats.map(|x| x.filter(|x| !x.is_nan()).map(|x| x != 0.0)).collect()
            }
            _ => self.parsed(text(array)?.as_string(), |text| {
                if text.eq_ignore_ascii_case("true") {
                    Some(true)
                } else if text.eq_ignore_ascii_case("false") {
                    Some(false)
                } else {
                    text.parse().ok().map(|x: f64| x != 0.0)
                }
            }),
        })
    }

    /// Each text as `parse` reads it, white space around it aside; an empty one is null.
    fn parsed<T, A: FromIterator<Option<T>>>(&self, texts: &StringArray, parse: impl Fn(&str) -> Option<T>) -> A {
        let value = |text: Option<&str>| {
            let text = text.map(str::trim).filter(|text| !text.is_empty());
            self.noted(text, text.and_then(&parse))
        };
        texts.iter().map(value).collect()
    }

    /// `value`, and a note if there was something that it could not be made of.
    fn noted<T>(&self, stored: Option<impl std::fmt::Display>, value: Option<T>) -> Option<T> {
        if let (Some(stored), None) = (stored, &value) {
            self.notices.unreadable(&self.column, self.kind, &stored.to_string());
        }
        value
    }
}

/// Text, or a number as its digits.
fn text(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Null => Ok(new_null_array(&TEXT, array.len())),
        _ => to_text(array),
    }
}

/// JSON as text: text as it stands, since lakes hold a dynamic column as JSON text; all else as it is written in JSON, where
/// fields that are null are left out.
fn json(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        data_type if data_type.is_nested() => {}
        DataType::Boolean => {
            return Ok(cast_with_options(array, &TEXT, &CastOptions { safe: false, ..CastOptions::default() })?);
        }
        _ => return text(array),
    }
    const COLUMN: &str = "v";
    let field = Field::new(COLUMN, array.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(array)])?;
    let mut lines = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut lines);
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    let Ok(lines) = String::from_utf8(lines) else { return exec_err!("JSON is no UTF-8") };
    let mut texts = StringBuilder::with_capacity(array.len(), lines.len());
    // A row is `{"v":…}`, and one whose value is null is `{}`.
    for line in lines.lines() {
        texts.append_option(line.strip_prefix("{\"v\":").and_then(|rest| rest.strip_suffix('}')));
    }
    let texts = texts.finish();
    if texts.len() != array.len() {
        return exec_err!("{} rows became {} of JSON", array.len(), texts.len());
    }
    Ok(Arc::new(texts))
}

impl PartialEq for LakeValue {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.form, &self.column) == (other.kind, other.form, &other.column)
            && Arc::ptr_eq(&self.notices, &other.notices)
    }
}

impl Eq for LakeValue {}

impl Hash for LakeValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind as u8).hash(state);
        self.form.hash(state);
        self.column.hash(state);
    }
}

impl ScalarUDFImpl for LakeValue {
    fn name(&self) -> &str {
        match self.kind {
            ColumnType::Long => "lake_long",
            ColumnType::Real => "lake_real",
            ColumnType::Bool => "lake_bool",
            _ => "lake_dynamic",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            ColumnType::Long => DataType::Int64,
            ColumnType::Real => DataType::Float64,
            ColumnType::Bool => DataType::Boolean,
            _ => self.form.data_type(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        Ok(ColumnarValue::Array(self.convert(&arrays[0])?))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        Decimal128Array, DictionaryArray, Int32Array, ListArray, MapBuilder, StructArray, UInt64Array,
    };
    use datafusion::arrow::datatypes::{Int8Type, Int32Type};

    use super::*;

    fn read(kind: ColumnType, array: impl Array + 'static) -> (ArrayRef, Option<String>) {
        let notices = Arc::new(Notices::default());
        let array: ArrayRef = Arc::new(array);
        let value = LakeValue::new(kind, TextForm::Plain, "c", Arc::clone(&notices));
        (value.convert(&array).unwrap(), notices.warnings().pop())
    }

    fn texts(array: &ArrayRef) -> Vec<Option<&str>> {
        array.as_string::<i32>().iter().collect()
    }

    #[test]
    fn longs_come_from_numbers_and_text() {
        let long = |array| -> Vec<Option<i64>> {
            let (values, notice): (ArrayRef, _) = array;
            assert_eq!(notice, None);
            values.as_primitive::<Int64Type>().iter().collect()
        };
        assert_eq!(long(read(ColumnType::Long, Int32Array::from(vec![Some(-7), None]))), [Some(-7), None]);
        assert_eq!(long(read(ColumnType::Long, BooleanArray::from(vec![true, false]))), [Some(1), Some(0)]);
        let floats = Float64Array::from(vec![Some(1.9), Some(-1.9), Some(f64::NAN), None]);
        assert_eq!(long(read(ColumnType::Long, floats)), [Some(1), Some(-1), None, None]);
        let texts = vec![Some(" 12 "), Some("50126.0"), Some(""), None, Some("9223372036854775807")];
        let expected = [Some(12), Some(50126), None, None, Some(i64::MAX)];
        assert_eq!(long(read(ColumnType::Long, StringArray::from(texts.clone()))), expected);
        assert_eq!(
            long(read(ColumnType::Long, texts.into_iter().collect::<DictionaryArray<Int8Type>>())),
            expected,
            "of every form of text"
        );
        let decimals = Decimal128Array::from(vec![150]).with_precision_and_scale(9, 2).unwrap();
        assert_eq!(long(read(ColumnType::Long, decimals)), [Some(1)]);
        assert_eq!(long(read(ColumnType::Long, datafusion::arrow::array::NullArray::new(1))), [None]);
    }

    #[test]
    fn what_is_no_number_is_null_and_told_of() {
        let (values, notice) = read(ColumnType::Long, StringArray::from(vec!["many", "1"]));
        assert_eq!(values.null_count(), 1);
        assert_eq!(notice.unwrap(), "the column c holds what is no long, such as `many`; it is read as null");
        let (values, notice) = read(ColumnType::Long, UInt64Array::from(vec![u64::MAX, 3]));
        assert_eq!(values.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [None, Some(3)]);
        assert!(notice.unwrap().contains("18446744073709551615"));
        assert!(read(ColumnType::Long, Float64Array::from(vec![1e19])).1.is_some());
        assert!(read(ColumnType::Bool, StringArray::from(vec!["maybe"])).1.is_some());
        assert!(read(ColumnType::Real, StringArray::from(vec!["1,5"])).1.is_some());
    }

    #[test]
    fn reals_and_truth() {
        let (values, notice) =
            read(ColumnType::Real, StringArray::from(vec![Some("1.5"), Some("-2"), Some("  "), None]));
        assert_eq!(
            values.as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
            [Some(1.5), Some(-2.0), None, None]
        );
        assert_eq!(notice, None);
        let truth = |(values, notice): (ArrayRef, Option<String>)| -> Vec<Option<bool>> {
            assert_eq!(notice, None);
            values.as_boolean().iter().collect()
        };
        let texts = StringArray::from(vec![Some("TRUE"), Some("false"), Some("0"), Some("2"), Some(""), None]);
        assert_eq!(
            truth(read(ColumnType::Bool, texts)),
            [Some(true), Some(false), Some(false), Some(true), None, None]
        );
        assert_eq!(truth(read(ColumnType::Bool, Int32Array::from(vec![0, 2]))), [Some(false), Some(true)]);
        assert_eq!(truth(read(ColumnType::Bool, BooleanArray::from(vec![Some(true), None]))), [Some(true), None]);
    }

    #[test]
    fn json_comes_from_text_and_from_structs_lists_and_maps() {
        let text = "{\"city\": \"Zürich\"}";
        let (values, _) = read(ColumnType::Dynamic, StringArray::from(vec![Some(text), Some(""), None]));
        assert_eq!(texts(&values), [Some(text), Some(""), None], "text is JSON already");

        let city: ArrayRef = Arc::new(StringArray::from(vec![Some("A\n\"B\""), None, Some("C")]));
        let place: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), Some(2.0), None]));
        let fields = vec![Field::new("city", DataType::Utf8, true), Field::new("lat", DataType::Float64, true)];
        let structs = StructArray::new(fields.into(), vec![city, place], Some(vec![true, true, false].into()));
        let (values, _) = read(ColumnType::Dynamic, structs);
        assert_eq!(texts(&values), [Some(r#"{"city":"A\n\"B\"","lat":1.5}"#), Some(r#"{"lat":2.0}"#), None]);

        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
        let (values, _) = read(ColumnType::Dynamic, lists);
        assert_eq!(texts(&values), [Some("[1,null]"), None]);

        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        maps.keys().append_value("os");
        maps.values().append_value("Windows");
        maps.append(true).unwrap();
        let (values, _) = read(ColumnType::Dynamic, maps.finish());
        assert_eq!(texts(&values), [Some(r#"{"os":"Windows"}"#)]);

        let (values, _) = read(ColumnType::Dynamic, Float64Array::from(vec![50126.0]));
        assert_eq!(texts(&values), [Some("50126")]);
        let (values, _) = read(ColumnType::Dynamic, BooleanArray::from(vec![true]));
        assert_eq!(texts(&values), [Some("true")]);
    }
}
