//! Values that are made for their row: times as text or INT96, identifiers.

use chrono::{DateTime, Datelike};
use parquet::data_type::Int96;

use super::draw::mix;
use super::traffic::{MINUTE, SECOND};

/// The twelve bytes of Spark and Impala: nanoseconds of the day, and the Julian day.
pub(super) fn int96(ticks: i64) -> Int96 {
    const JULIAN_DAY_OF_EPOCH: i64 = 2_440_588;
    let day = 24 * 60 * MINUTE;
    let nanos = (ticks.rem_euclid(day) * 100) as u64;
    let mut value = Int96::new();
    value.set_data(nanos as u32, (nanos >> 32) as u32, (ticks.div_euclid(day) + JULIAN_DAY_OF_EPOCH) as u32);
    value
}

/// `2024-05-01T08:15:00.1234567Z`
pub(super) fn iso(ticks: i64) -> [u8; 28] {
    let seconds = ticks.div_euclid(SECOND);
    let date = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let second = seconds.rem_euclid(86_400) as u32;
    let mut text = *b"0000-00-00T00:00:00.0000000Z";
    let mut digits = |last: usize, count: usize, mut value: u32| {
        for place in (0..count).map(|before| last - before) {
            text[place] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    digits(3, 4, date.year().unsigned_abs());
    digits(6, 2, date.month());
    digits(9, 2, date.day());
    digits(12, 2, second / 3_600);
    digits(15, 2, second / 60 % 60);
    digits(18, 2, second % 60);
    digits(26, 7, ticks.rem_euclid(SECOND) as u32);
    text
}

/// An identifier in the form of a random UUID, the same one for the same key.
pub(super) fn guid(key: u64) -> [u8; 36] {
    let high = mix(key) & !0xf000 | 0x4000;
    let low = mix(!key) & !(0b11 << 62) | 0b10 << 62;
    let [a, b, c, d] = [high >> 32, high, low >> 32, low].map(|half| hex(half as u32));
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&a);
    text[9..13].copy_from_slice(&b[..4]);
    text[14..18].copy_from_slice(&b[4..]);
    text[19..23].copy_from_slice(&c[..4]);
    text[24..28].copy_from_slice(&c[4..]);
    text[28..].copy_from_slice(&d);
    text
}

/// Eight digits at once, each in its byte of one number; digit by digit took a tenth of all time.
fn hex(value: u32) -> [u8; 8] {
    let mut digits = u64::from(value);
    digits = (digits << 16 | digits) & 0x0000_ffff_0000_ffff;
    digits = (digits << 8 | digits) & 0x00ff_00ff_00ff_00ff;
    digits = (digits << 4 | digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((digits + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    let letter_gap = u64::from(b'a' - b'0' - 10);
    (digits + 0x3030_3030_3030_3030 + letters * letter_gap).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::spec::TimeUnit;
    use super::*;

    #[test]
    fn times_in_all_units() {
        // 2024-02-29T23:59:59.1234567Z
        let ticks = 1_709_251_199 * SECOND + 1_234_567;
        assert_eq!(&iso(ticks), b"2024-02-29T23:59:59.1234567Z");
        assert_eq!(int96(ticks).to_nanos(), ticks * 100);
        assert_eq!(TimeUnit::Ms.cut(ticks) % SECOND, 1_230_000);
        assert_eq!(TimeUnit::Us.cut(ticks) % SECOND, 1_234_560);
        assert_eq!(TimeUnit::Text.cut(ticks), ticks);
    }

    #[test]
    fn guids_have_the_form_of_version_4() {
        let text = guid(7);
        assert_eq!(text[14], b'4');
        assert!(b"89ab".contains(&text[19]));
        for value in [0, 1, 0x0123_4567, 0x89ab_cdef, u32::MAX] {
            assert_eq!(hex(value), format!("{value:08x}").as_bytes());
        }
    }
}
