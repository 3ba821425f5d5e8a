//! `followed_within(first, then, span)`: the temporal relation of a sequence hunt.

use datafusion::arrow::array::{Array, AsArray, BooleanArray, IntervalMonthDayNanoArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::timespan::DAY_NANOS;

/// Whether `then` comes after `first`, and at most `span` later:
///
/// ```text
///      first          first + span
///        (----------------]          then lies in it
/// ```
///
/// In KQL: `first < then and then - first <= span`. Times are compared in nanoseconds; any null gives null. An interval
/// of months has no fixed length and is refused; a day is 24 hours.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FollowedWithin {
    signature: Signature,
}

impl FollowedWithin {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FollowedWithin {
    fn name(&self) -> &str {
        "followed_within"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [first, then, span] = types else {
            return plan_err!("followed_within takes (first, then, span), not {} arguments", types.len());
        };
        for (name, data_type) in [("first", first), ("then", then)] {
            if !matches!(data_type, DataType::Timestamp(..) | DataType::Null) {
                return plan_err!("followed_within takes a timestamp as {name}, not {data_type}");
            }
        }
        if !matches!(span, DataType::Interval(_) | DataType::Duration(_) | DataType::Null) {
            return plan_err!("followed_within takes an interval as span, not {span}");
        }
        // A zone says how an instant is shown. Both sides must show it alike, or a naive one would be shifted.
        let zone = |data_type: &DataType| match data_type {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let zone = zone(first).or_else(|| zone(then));
        let instant = DataType::Timestamp(TimeUnit::Nanosecond, zone);
        Ok(vec![instant.clone(), instant, DataType::Interval(IntervalUnit::MonthDayNano)])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [first, then, span] = args.args.as_slice() else {
            return exec_err!("followed_within takes three arguments, not {}", args.args.len());
        };
        let first = first.to_array(args.number_rows)?;
        let then = then.to_array(args.number_rows)?;
        let (first, then) =
            (first.as_primitive::<TimestampNanosecondType>(), then.as_primitive::<TimestampNanosecondType>());
        let matches = match span {
            ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(span))) => {
                let nanos = interval_nanos(*span)?;
                compare(first, then, |_| Some(nanos))
            }
            ColumnarValue::Scalar(_) => BooleanArray::new_null(args.number_rows),
            ColumnarValue::Array(spans) => {
                let spans: &IntervalMonthDayNanoArray = spans.as_primitive::<IntervalMonthDayNanoType>();
                let nanos =
                    spans.iter().map(|span| span.map(interval_nanos).transpose()).collect::<Result<Vec<_>>>()?;
                compare(first, then, |row| nanos[row])
            }
        };
        Ok(ColumnarValue::Array(std::sync::Arc::new(matches)))
    }
}

fn compare(
    first: &TimestampNanosecondArray,
    then: &TimestampNanosecondArray,
    span: impl Fn(usize) -> Option<i128>,
) -> BooleanArray {
    (0..first.len())
        .map(|row| {
            if first.is_null(row) || then.is_null(row) {
                return None;
            }
            // Two instants of 64 bits can lie further apart than 64 bits hold.
            let later = i128::from(then.value(row)) - i128::from(first.value(row));
            Some(later > 0 && later <= span(row)?)
        })
        .collect()
}

/// The length of a span in nanoseconds; months have none.
pub(crate) fn interval_nanos(span: IntervalMonthDayNano) -> Result<i128> {
    if span.months != 0 {
        return exec_err!("followed_within takes a span of fixed length; {} months have none", span.months);
    }
    Ok(i128::from(span.days) * i128::from(DAY_NANOS) + i128::from(span.nanoseconds))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::Field;
    use datafusion::common::config::ConfigOptions;

    use super::*;

    fn call(first: Vec<Option<i64>>, then: Vec<Option<i64>>, span: ScalarValue) -> Result<Vec<Option<bool>>> {
        let rows = first.len();
        let function = FollowedWithin::new();
        let args = ScalarFunctionArgs {
            args: vec![
                ColumnarValue::Array(Arc::new(TimestampNanosecondArray::from(first))),
                ColumnarValue::Array(Arc::new(TimestampNanosecondArray::from(then))),
                ColumnarValue::Scalar(span),
            ],
            arg_fields: vec![],
            number_rows: rows,
            return_field: Arc::new(Field::new("r", DataType::Boolean, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let result = function.invoke_with_args(args)?.to_array(rows)?;
        Ok(result.as_boolean().iter().collect())
    }

    fn interval(months: i32, days: i32, nanos: i64) -> ScalarValue {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
    }

    #[test]
    fn the_first_edge_is_open_and_the_last_closed() {
        let then = vec![Some(-1), Some(0), Some(1), Some(60), Some(61), None];
        assert_eq!(
            call(vec![Some(0); 6], then, interval(0, 0, 60)).unwrap(),
            [Some(false), Some(false), Some(true), Some(true), Some(false), None]
        );
    }

    #[test]
    fn instants_at_the_ends_of_time_do_not_overflow() {
        assert_eq!(
            call(vec![Some(i64::MIN), Some(i64::MAX)], vec![Some(i64::MAX), Some(i64::MIN)], interval(0, 1, 0))
                .unwrap(),
            [Some(false), Some(false)]
        );
        assert_eq!(call(vec![Some(0)], vec![Some(DAY_NANOS)], interval(0, 1, 0)).unwrap(), [Some(true)]);
    }

    #[test]
    fn months_are_refused_and_null_spans_give_null() {
        assert!(call(vec![Some(0)], vec![Some(1)], interval(1, 0, 0)).is_err());
        assert_eq!(call(vec![Some(0)], vec![Some(1)], ScalarValue::IntervalMonthDayNano(None)).unwrap(), [None]);
    }
}
