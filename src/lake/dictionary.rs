//! Text that a file holds plain, as a dictionary.

use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, DictionaryArray, PrimitiveArray, StringArray, UInt32Array};
use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::Int32Type;
use datafusion::common::Result;
use datafusion::common::hash_utils::RandomState;

const HASHES: RandomState = RandomState::with_seed(0x6c61_6b65);

/// No value.
const FREE: u32 = u32::MAX;

/// `text` as a dictionary of its values, each once. Quicker than Arrow's cast where values repeat, which they do in logs:
/// a value that stands in the row before as well is not looked up, and none is copied twice.
pub(super) fn to_dictionary(text: &StringArray) -> Result<ArrayRef> {
    let slots = (2 * text.len()).next_power_of_two().max(2);
    // Numbers of values by hash; and by number, the row that has the value first.
    let mut numbers = vec![FREE; slots];
    let mut rows: Vec<u32> = Vec::new();
    let mut last: Option<(&str, i32)> = None;
    let mut number = |row: usize, value: &str| {
        let mut slot = HASHES.hash_one(value) as usize & (slots - 1);
        loop {
            match numbers[slot] {
                FREE => {
                    numbers[slot] = rows.len() as u32;
                    // Rows of a batch are far from 2^32.
                    rows.push(row as u32);
                    return rows.len() as i32 - 1;
                }
                number if text.value(rows[number as usize] as usize) == value => return number as i32,
                _ => slot = (slot + 1) & (slots - 1),
            }
        }
    };
    let keys: ScalarBuffer<i32> = (0..text.len())
        .map(|row| {
            if text.is_null(row) {
                return 0;
            }
            let value = text.value(row);
            let key = match last {
                Some((same, key)) if same == value => key,
                _ => number(row, value),
            };
            last = Some((value, key));
            key
        })
        .collect();
    let values = take(text, &UInt32Array::from(rows), None)?;
    let keys = PrimitiveArray::<Int32Type>::new(keys, text.nulls().cloned());
    Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_but_the_form_changes(values in prop::collection::vec(prop::option::of("[ab\u{e9}]{0,3}"), 0..200)) {
            let text = StringArray::from(values);
            let dictionary = to_dictionary(&text).unwrap();
            let back = cast(&dictionary, &DataType::Utf8).unwrap();
            prop_assert_eq!(back.as_string::<i32>(), &text);
            let distinct: std::collections::HashSet<_> = text.iter().flatten().collect();
            prop_assert_eq!(dictionary.as_any_dictionary().values().len(), distinct.len());
        }
    }
}
