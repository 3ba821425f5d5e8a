//! `starts_with_ignore_case(text, prefix)`: KQL's `startswith`.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::types::logical_string;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Coercion, TypeSignatureClass};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// Whether `text` begins with `prefix`, but for the case of the letters A to Z; every text begins with the empty one. Null
/// gives null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct StartsWithIgnoreCase {
    signature: Signature,
}

impl StartsWithIgnoreCase {
    pub(super) fn new() -> Self {
        let string = || Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
        Self { signature: Signature::coercible(vec![string(), string()], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for StartsWithIgnoreCase {
    fn name(&self) -> &str {
        "starts_with_ignore_case"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, prefix] = args.args.as_slice() else {
            return exec_err!("starts_with_ignore_case takes two arguments, not {}", args.args.len());
        };
        let scalars = matches!((text, prefix), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if scalars { 1 } else { args.number_rows };
        let view = |value: &ColumnarValue| {
            Ok::<_, datafusion::error::DataFusionError>(cast(&value.to_array(rows)?, &DataType::Utf8View)?)
        };
        let (text, prefix) = (view(text)?, view(prefix)?);
        let pairs = text.as_string_view().iter().zip(prefix.as_string_view().iter());
        let found: BooleanArray = pairs.map(|(text, prefix)| Some(starts_with(text?, prefix?))).collect();
        Ok(match scalars {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?),
            false => ColumnarValue::Array(Arc::new(found)),
        })
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}
