//! `equals_ignore_case(a, b)`: KQL's `=~`.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray, StringArrayType};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::types::logical_string;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Coercion, TypeSignatureClass};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// Whether two strings are the same but for the case of the letters A to Z. White space counts; other letters keep
/// their case. Null gives null. Unlike `lower(a) = lower(b)` it makes no copy of a string.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct EqualsIgnoreCase {
    signature: Signature,
}

impl EqualsIgnoreCase {
    pub(super) fn new() -> Self {
        let string = || Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
        Self { signature: Signature::coercible(vec![string(), string()], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for EqualsIgnoreCase {
    fn name(&self) -> &str {
        "equals_ignore_case"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Scalar(a), ColumnarValue::Scalar(b)] => {
                let equal = text(a)?.zip(text(b)?).map(|(a, b)| a.eq_ignore_ascii_case(b));
                Ok(ColumnarValue::Scalar(ScalarValue::Boolean(equal)))
            }
            [ColumnarValue::Array(texts), ColumnarValue::Scalar(one)]
            | [ColumnarValue::Scalar(one), ColumnarValue::Array(texts)] => {
                let Some(one) = text(one)? else { return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(None))) };
                let equal: BooleanArray = match texts.data_type() {
                    DataType::Utf8 => equal_to(texts.as_string::<i32>(), one),
                    DataType::LargeUtf8 => equal_to(texts.as_string::<i64>(), one),
                    _ => equal_to(cast(texts, &DataType::Utf8View)?.as_string_view(), one),
                };
                Ok(ColumnarValue::Array(Arc::new(equal)))
            }
            [ColumnarValue::Array(a), ColumnarValue::Array(b)] => {
                let (a, b) = (cast(a, &DataType::Utf8View)?, cast(b, &DataType::Utf8View)?);
                let pairs = a.as_string_view().iter().zip(b.as_string_view().iter());
                let equal: BooleanArray = pairs.map(|(a, b)| Some(a?.eq_ignore_ascii_case(b?))).collect();
                Ok(ColumnarValue::Array(Arc::new(equal)))
            }
            other => exec_err!("equals_ignore_case takes two arguments, not {}", other.len()),
        }
    }
}

fn text(value: &ScalarValue) -> Result<Option<&str>> {
    match value.try_as_str() {
        Some(text) => Ok(text),
        None if value.is_null() => Ok(None),
        None => exec_err!("equals_ignore_case takes strings, not {}", value.data_type()),
    }
}

fn equal_to<'a>(texts: impl StringArrayType<'a>, one: &str) -> BooleanArray {
    texts.iter().map(|text| text.map(|text| text.eq_ignore_ascii_case(one))).collect()
}
