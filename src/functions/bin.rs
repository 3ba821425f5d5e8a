//! `bin(time, span)`: KQL's `bin` of an instant.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::followed_within::interval_nanos;
use crate::timespan::DAY_NANOS;

/// Days from 0001-01-01, where KQL's bins begin, to 1970-01-01.
const KQL_EPOCH_DAYS: i128 = 719_162;

/// The latest whole multiple of `span` since 0001-01-01 (a Monday) that is not after `time`:
///
/// ```text
///   0001-01-01          n * span      time   (n + 1) * span
///       |------ ... ------|------------x-------|
///                         bin
/// ```
///
/// Any null gives null, and so does a bin that begins before 1677. A span is of fixed length and above zero.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bin {
    signature: Signature,
}

impl Bin {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Bin {
    fn name(&self) -> &str {
        "bin"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [time, span] = types else {
            return plan_err!("bin takes (time, span), not {} arguments", types.len());
        };
        let zone = match time {
            DataType::Timestamp(_, zone) => zone.clone(),
            DataType::Null => None,
            other => return plan_err!("bin takes a timestamp as time, not {other}"),
        };
        if !matches!(span, DataType::Interval(_) | DataType::Duration(_) | DataType::Null) {
            return plan_err!("bin takes an interval as span, not {span}");
        }
        Ok(vec![DataType::Timestamp(TimeUnit::Nanosecond, zone), DataType::Interval(IntervalUnit::MonthDayNano)])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(DataType::Timestamp(_, zone)) => Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())),
            _ => Ok(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [times, span] = args.args.as_slice() else {
            return exec_err!("bin takes two arguments, not {}", args.args.len());
        };
        let times = times.to_array(args.number_rows)?;
        let data_type = times.data_type().clone();
        let times = times.as_primitive::<TimestampNanosecondType>();
        let binned: TimestampNanosecondArray = match span {
            ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(span))) => {
                let span = positive(interval_nanos(*span)?)?;
                times.unary_opt(|time| bin(time, span))
            }
            ColumnarValue::Scalar(_) => TimestampNanosecondArray::new_null(args.number_rows),
            ColumnarValue::Array(spans) => {
                let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
                let rows = times.iter().zip(spans.iter()).map(|(time, span)| match (time, span) {
                    (Some(time), Some(span)) => Ok(bin(time, positive(interval_nanos(span)?)?)),
                    _ => Ok(None),
                });
                rows.collect::<Result<_>>()?
            }
        };
        Ok(ColumnarValue::Array(Arc::new(binned.with_data_type(data_type))))
    }
}

fn positive(span: i128) -> Result<i128> {
    if span <= 0 { exec_err!("bin takes a span above zero") } else { Ok(span) }
}

fn bin(time: i64, span: i128) -> Option<i64> {
    let epoch = KQL_EPOCH_DAYS * i128::from(DAY_NANOS);
    let since = i128::from(time) + epoch;
    i64::try_from(since.div_euclid(span) * span - epoch).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i128 = DAY_NANOS as i128;

    #[test]
    fn bins_begin_at_the_first_of_january_of_the_year_1() {
        let at = |text: &str| crate::window::nanos(crate::window::parse_instant(text).unwrap());
        for (time, days, expected) in [
            ("2024-05-01T13:14:15Z", 1, "2024-05-01"),
            // Weeks begin on Mondays.
            ("2024-05-05T23:59:59.999999999Z", 7, "2024-04-29"),
            ("2024-05-06", 7, "2024-05-06"),
            ("1969-12-31T23:00:00Z", 1, "1969-12-31"),
            // 739,006 days since 0001-01-01 are 147,801 times 5 days and 1 day.
            ("2024-05-01", 5, "2024-04-30"),
        ] {
            assert_eq!(bin(at(time), days * DAY), Some(at(expected)), "{time} in bins of {days} days");
        }
        assert_eq!(bin(i64::MIN, 366 * DAY), None, "before all that 64 bits hold");
        assert!(positive(0).is_err());
        assert!(positive(-1).is_err());
    }
}
