//! `json_text(json, path)`: KQL's `tostring(parse_json(json).path)`.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::types::logical_string;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Coercion, TypeSignatureClass};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use serde_json::Value;

/// The value at a path of names and positions (`geoCoordinates.latitude`, `[0].name`) in a JSON text, as text: a string as it
/// is, a number or truth value as it is written, an object or list as compact JSON. What is not there, is null, or is no
/// JSON gives the empty text, which is what KQL's `tostring` makes of null; so the function never gives null. Names are
/// told apart by case.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct JsonText {
    signature: Signature,
}

impl JsonText {
    pub(super) fn new() -> Self {
        let string = || Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
        Self { signature: Signature::coercible(vec![string(), string()], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonText {
    fn name(&self) -> &str {
        "json_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [json, path] = args.args.as_slice() else {
            return exec_err!("json_text takes two arguments, not {}", args.args.len());
        };
        let ColumnarValue::Scalar(path) = path else {
            return exec_err!("json_text takes one path for all rows");
        };
        let path = match path.try_as_str() {
            Some(Some(path)) => Path::parse(path)?,
            _ => return exec_err!("json_text takes a path, such as 'countryOrRegion'"),
        };
        match json {
            ColumnarValue::Scalar(json) => {
                let text = json.try_as_str().flatten().map(|json| path.text(json)).unwrap_or_default();
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text))))
            }
            ColumnarValue::Array(array) => {
                let array = cast(array, &DataType::Utf8)?;
                Ok(ColumnarValue::Array(Arc::new(path.texts(array.as_string()))))
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Position(usize),
}

#[derive(Debug, PartialEq, Eq)]
struct Path(Vec<Step>);

impl Path {
    fn parse(text: &str) -> Result<Self> {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, positions) = part.split_at(part.find('[').unwrap_or(part.len()));
            if !name.is_empty() {
                steps.push(Step::Name(name.to_owned()));
            }
            for position in positions.split_terminator(']') {
                match position.strip_prefix('[').and_then(|digits| digits.parse().ok()) {
                    Some(position) => steps.push(Step::Position(position)),
                    None => return exec_err!("`{text}` is no path; write names and positions, such as a.b[0]"),
                }
            }
            let open = !positions.is_empty() && !positions.ends_with(']');
            if part.is_empty() || open || name.contains(']') {
                return exec_err!("`{text}` is no path; write names and positions, such as a.b[0]");
            }
        }
        Ok(Self(steps))
    }

    /// Logs repeat themselves: each text of a batch is parsed once.
    fn texts(&self, array: &StringArray) -> StringArray {
        let mut known: HashMap<&str, String> = HashMap::new();
        let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 8);
        for json in array {
            match json {
                Some(json) => texts.append_value(known.entry(json).or_insert_with(|| self.text(json))),
                None => texts.append_value(""),
            }
        }
        texts.finish()
    }

    fn text(&self, json: &str) -> String {
        let Ok(value) = serde_json::from_str::<Value>(json) else { return String::new() };
        let found = self.0.iter().try_fold(&value, |value, step| match step {
            Step::Name(name) => value.as_object()?.get(name),
            Step::Position(position) => value.as_array()?.get(*position),
        });
        match found {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_names_and_positions() {
        let name = |text: &str| Step::Name(text.to_owned());
        assert_eq!(Path::parse("a").unwrap().0, [name("a")]);
        assert_eq!(Path::parse("a.b[0][12].c").unwrap().0[2..], [Step::Position(0), Step::Position(12), name("c")]);
        assert_eq!(Path::parse("[0].a").unwrap().0, [Step::Position(0), name("a")]);
        for text in ["", "a.", ".a", "a[", "a[x]", "a[0", "a]", "a[0]b"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
