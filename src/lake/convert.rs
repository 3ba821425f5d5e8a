//! The two functions that turn a stored column into one of the job's types. They stand in the scan of each file whose
//! column is stored otherwise; a hunt's SQL never sees them.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, StringArray, StringBuilder, TimestampNanosecondArray, new_null_array,
};
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::datatypes::{
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::columns::{TEXT, TextForm, instant_type};
use crate::job::{ColumnType, EpochUnit};

/// What a scan met that the run should tell of.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// A text in the time column that is no time; its row matches nothing, as a null time does in KQL.
    unreadable_time: OnceLock<String>,
    /// A value of another column that is none of its type; it is null.
    unreadable_value: OnceLock<String>,
    /// Rows that were read, for those who watch.
    rows: Arc<AtomicU64>,
    /// What scans on other machines met.
    elsewhere: std::sync::Mutex<std::collections::BTreeSet<String>>,
}

impl Notices {
    /// Notices whose rows are counted in `rows`.
    pub(crate) fn counting(rows: Arc<AtomicU64>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Takes what a scan on another machine met.
    pub(crate) fn met_elsewhere(&self, line: &str) {
        if let Ok(mut lines) = self.elsewhere.lock() {
            lines.insert(line.to_owned());
        }
    }

    pub(crate) fn read(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn unreadable(&self, column: &str, kind: ColumnType, text: &str) {
        self.unreadable_value.get_or_init(|| {
            let text: String = text.chars().take(64).collect();
            format!("the column {column} holds what is no {kind}, such as `{text}`; it is read as null")
        });
    }

    /// What to say of values that could not be read.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let time = self.unreadable_time.get().map(|text| {
            format!("the time column holds text that is no time, such as `{text}`; such rows match nothing")
        });
        let elsewhere = self.elsewhere.lock().map(|lines| lines.iter().cloned().collect::<Vec<_>>());
        time.into_iter().chain(self.unreadable_value.get().cloned()).chain(elsewhere.unwrap_or_default()).collect()
    }
}

/// Any stored time as nanoseconds since 1970, UTC. What 64 bits of nanoseconds cannot hold (before 1677, after 2262)
/// becomes null: no window can hold it.
#[derive(Debug)]
pub(super) struct LakeTime {
    epoch: EpochUnit,
    /// Times outside this half-open range are null, too.
    sight: Option<(i64, i64)>,
    signature: Signature,
    notices: Arc<Notices>,
}

impl LakeTime {
    pub(super) fn new(epoch: EpochUnit, notices: Arc<Notices>) -> Self {
        Self { epoch, sight: None, signature: Signature::any(1, Volatility::Immutable), notices }
    }

    pub(super) fn within(self, sight: Option<(i64, i64)>) -> Self {
        Self { sight, ..self }
    }

    fn convert(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let times: TimestampNanosecondArray = match array.data_type() {
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => scale(array.as_primitive::<TimestampSecondType>(), 1_000_000_000),
                TimeUnit::Millisecond => scale(array.as_primitive::<TimestampMillisecondType>(), 1_000_000),
                TimeUnit::Microsecond => scale(array.as_primitive::<TimestampMicrosecondType>(), 1_000),
                TimeUnit::Nanosecond => scale(array.as_primitive::<TimestampNanosecondType>(), 1),
            },
            DataType::Int64 => scale(array.as_primitive::<Int64Type>(), self.epoch.nanos()),
            DataType::UInt64 => {
                array.as_primitive::<UInt64Type>().unary_opt(|n| i64::try_from(n).ok()?.checked_mul(self.epoch.nanos()))
            }
            DataType::Null => return Ok(new_null_array(&instant_type(), array.len())),
            _ => self.parse(cast(array, &DataType::Utf8)?.as_string::<i32>()),
        };
        let times = match self.sight {
            Some((from, to)) => times.unary_opt(|time| (from <= time && time < to).then_some(time)),
            None => times,
        };
        Ok(Arc::new(times.with_data_type(instant_type())))
    }

    fn parse(&self, texts: &StringArray) -> TimestampNanosecondArray {
        texts
            .iter()
            .map(|text| {
                let text = text?.trim();
                if text.is_empty() {
                    return None;
                }
                match string_to_datetime(&chrono::Utc, text) {
                    Ok(instant) => instant.timestamp_nanos_opt(),
                    Err(_) => {
                        self.notices.unreadable_time.get_or_init(|| text.chars().take(64).collect());
                        None
                    }
                }
            })
            .collect()
    }
}

fn scale<T>(array: &PrimitiveArray<T>, factor: i64) -> TimestampNanosecondArray
where
    T: datafusion::arrow::datatypes::ArrowPrimitiveType<Native = i64>,
{
    // Seldom does a time not fit; looking at the extremes first is quicker than at each.
    let (least, greatest) = array.values().iter().fold((0, 0), |(a, b): (i64, i64), n| (a.min(*n), b.max(*n)));
    match (least.checked_mul(factor), greatest.checked_mul(factor)) {
        (Some(_), Some(_)) => array.unary(|n| n * factor),
        _ => array.unary_opt(|n| n.checked_mul(factor)),
    }
}

impl PartialEq for LakeTime {
    fn eq(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.sight == other.sight && Arc::ptr_eq(&self.notices, &other.notices)
    }
}

impl Eq for LakeTime {}

impl Hash for LakeTime {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.epoch as u8).hash(state);
        self.sight.hash(state);
    }
}

impl ScalarUDFImpl for LakeTime {
    fn name(&self) -> &str {
        "lake_time"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(instant_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        Ok(ColumnarValue::Array(self.convert(&arrays[0])?))
    }
}

/// Any stored text or number as text: integers in decimal, floats as the shortest decimal that gives them back (50126.0
/// is `50126`), decimals without trailing zeros of their fraction.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct LakeString {
    form: TextForm,
    signature: Signature,
}

impl LakeString {
    pub(super) fn new(form: TextForm) -> Self {
        Self { form, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for LakeString {
    fn name(&self) -> &str {
        "lake_string"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.form.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        Ok(ColumnarValue::Array(cast(&to_text(&arrays[0])?, &self.form.data_type())?))
    }
}

pub(super) fn to_text(array: &ArrayRef) -> Result<ArrayRef> {
    // Bytes that are not UTF-8 are an error, not a null.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    match array.data_type() {
        data_type if data_type.is_floating() => {
            let floats = cast(array, &DataType::Float64)?;
            let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 6);
            for value in floats.as_primitive::<Float64Type>() {
                // A NaN is what some writers leave where there is no value. Adding zero turns -0.0 into 0.0.
                texts.append_option(value.filter(|x| !x.is_nan()).map(|x| (x + 0.0).to_string()));
            }
            Ok(Arc::new(texts.finish()))
        }
        data_type if data_type.is_decimal() => {
            let decimals = cast_with_options(array, &DataType::Utf8, &strict)?;
            let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 6);
            for value in decimals.as_string::<i32>() {
                texts.append_option(value.map(|text| match text.contains('.') {
                    true => text.trim_end_matches('0').trim_end_matches('.'),
                    false => text,
                }));
            }
            Ok(Arc::new(texts.finish()))
        }
        data_type if data_type.is_nested() => exec_err!("a column of type {data_type} cannot be read as string"),
        _ => Ok(cast_with_options(array, &TEXT, &strict)?),
    }
}

#[cfg(test)]
mod tests {
    use std::any::type_name_of_val;

    use datafusion::arrow::array::{
        BinaryArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
        LargeStringArray, NullArray, TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
    };
    use datafusion::arrow::datatypes::Int8Type;

    use super::*;

    fn texts(array: impl Array + 'static) -> Vec<Option<String>> {
        let array: ArrayRef = Arc::new(array);
        let text = to_text(&array).unwrap();
        assert_eq!(text.data_type(), &TEXT, "{}", type_name_of_val(&array));
        text.as_string::<i32>().iter().map(|s| s.map(str::to_owned)).collect()
    }

    fn times(epoch: EpochUnit, array: impl Array + 'static) -> Vec<Option<i64>> {
        let array: ArrayRef = Arc::new(array);
        let times = LakeTime::new(epoch, Arc::default()).convert(&array).unwrap();
        assert_eq!(times.data_type(), &instant_type());
        times.as_primitive::<TimestampNanosecondType>().iter().collect()
    }

    #[test]
    fn numbers_are_read_as_their_digits() {
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(texts(Int32Array::from(vec![Some(50126), None, Some(-1)])), [some("50126"), None, some("-1")]);
        assert_eq!(texts(Int64Array::from(vec![i64::MAX])), [some("9223372036854775807")]);
        assert_eq!(
            texts(Float64Array::from(vec![Some(50126.0), Some(-0.0), Some(0.5), Some(f64::NAN), None, Some(1e17)])),
            [some("50126"), some("0"), some("0.5"), None, None, some("100000000000000000")]
        );
        assert_eq!(texts(Float32Array::from(vec![50126.0])), [some("50126")]);
        let decimals = Decimal128Array::from(vec![5_012_600, 5, 0]).with_precision_and_scale(9, 2).unwrap();
        assert_eq!(texts(decimals), [some("50126"), some("0.05"), some("0")]);
        let whole = Decimal128Array::from(vec![500]).with_precision_and_scale(9, 0).unwrap();
        assert_eq!(texts(whole), [some("500")]);
    }

    #[test]
    fn strings_of_every_form_are_read() {
        let expected = [Some("a".to_owned()), None, Some(String::new())];
        let values = vec![Some("a"), None, Some("")];
        assert_eq!(texts(StringArray::from(values.clone())), expected);
        assert_eq!(texts(LargeStringArray::from(values.clone())), expected);
        assert_eq!(texts(values.iter().copied().collect::<DictionaryArray<Int8Type>>()), expected);
        assert_eq!(texts(BinaryArray::from(vec![Some(b"a".as_ref()), None, Some(b"")])), expected);
        assert_eq!(texts(NullArray::new(1)), [None]);
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let array: ArrayRef = Arc::new(BinaryArray::from(vec![b"\xff\xfe".as_ref()]));
        assert!(to_text(&array).is_err());
    }

    #[test]
    fn times_keep_the_finest_digit() {
        let base = 1_620_077_867_086_123_456;
        assert_eq!(times(EpochUnit::Ms, TimestampNanosecondArray::from(vec![base])), [Some(base)]);
        assert_eq!(
            times(EpochUnit::Ms, TimestampMicrosecondArray::from(vec![base / 1_000]).with_timezone("+02:00")),
            [Some(base / 1_000 * 1_000)],
            "a zone is how an instant is shown, not what it is"
        );
        assert_eq!(times(EpochUnit::Ms, TimestampMillisecondArray::from(vec![-1])), [Some(-1_000_000)]);
        assert_eq!(
            times(EpochUnit::Ms, Int64Array::from(vec![base / 1_000_000])),
            [Some(base / 1_000_000 * 1_000_000)]
        );
        assert_eq!(times(EpochUnit::S, UInt64Array::from(vec![1, u64::MAX])), [Some(1_000_000_000), None]);
        assert_eq!(times(EpochUnit::Ms, TimestampMicrosecondArray::from(vec![253_402_300_799_999_999])), [None]);
    }

    #[test]
    fn text_times_are_iso_8601() {
        let array = StringArray::from(vec![
            Some("2021-05-03T21:37:47.0861234Z"),
            Some("2021-05-03T21:37:47.0861234"),
            Some("2021-05-03 23:37:47.0861234+02:00"),
            Some(" 2021-05-03T21:37:47Z "),
            Some(""),
            None,
        ]);
        let exact = Some(1_620_077_867_086_123_400);
        assert_eq!(times(EpochUnit::Ms, array), [exact, exact, exact, Some(1_620_077_867_000_000_000), None, None]);
    }

    #[test]
    fn text_that_is_no_time_is_null_and_noted() {
        let notices = Arc::new(Notices::default());
        let array: ArrayRef = Arc::new(StringArray::from(vec!["yesterday"]));
        let times = LakeTime::new(EpochUnit::Ms, Arc::clone(&notices)).convert(&array).unwrap();
        assert_eq!(times.null_count(), 1);
        assert!(notices.warnings()[0].contains("`yesterday`"));
    }
}
