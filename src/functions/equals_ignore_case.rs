//! `equals_ignore_case(a, b)`: KQL's `=~`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::types::logical_string;
use datafusion::common::{Result, exec_err};
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
        let [a, b] = args.args.as_slice() else {
            return exec_err!("equals_ignore_case takes two arguments, not {}", args.args.len());
        };
        let view = |value: &ColumnarValue| -> Result<ArrayRef> {
            Ok(cast(&value.to_array(args.number_rows)?, &DataType::Utf8View)?)
        };
        let (a, b) = (view(a)?, view(b)?);
        let equal: BooleanArray = a
            .as_string_view()
            .iter()
            .zip(b.as_string_view().iter())
            .map(|(a, b)| Some(a?.eq_ignore_ascii_case(b?)))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(equal)))
    }
}
