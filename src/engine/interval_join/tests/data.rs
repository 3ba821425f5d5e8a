//! Small tables of events, and the join that is right because it is naive.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

/// One event.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Event {
    pub(in crate::engine) id: i64,
    pub(in crate::engine) user: Option<&'static str>,
    pub(in crate::engine) ip: Option<i64>,
    pub(in crate::engine) time: Option<i64>,
    pub(in crate::engine) app: Option<&'static str>,
}

/// SplitMix64.
pub(in crate::engine) struct Draw(pub(in crate::engine) u64);

impl Draw {
    pub(in crate::engine) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Events that often share their key, their time or both.
    pub(in crate::engine) fn events(&mut self, count: usize) -> Vec<Event> {
        (0..count as i64)
            .map(|id| Event {
                id,
                user: self.one(&[None, Some(""), Some("a"), Some("a"), Some("A"), Some("b")]),
                ip: self.one(&[None, Some(1), Some(1), Some(2)]),
                time: match self.below(12) {
                    0 => None,
                    1 => self.one(&[Some(i64::MIN), Some(i64::MAX), Some(-1)]),
                    _ => Some(self.below(14) as i64),
                },
                app: self.one(&[None, Some(""), Some("x"), Some("x"), Some("y"), Some("z")]),
            })
            .collect()
    }
}

pub(in crate::engine) fn batch(events: &[Event]) -> RecordBatch {
    let time = events.iter().map(|e| e.time).collect::<TimestampNanosecondArray>().with_timezone("UTC");
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(events.iter().map(|e| Some(e.id)).collect::<Int64Array>())),
        ("user", Arc::new(events.iter().map(|e| e.user).collect::<StringArray>())),
        ("ip", Arc::new(events.iter().map(|e| e.ip).collect::<Int64Array>())),
        ("time", Arc::new(time)),
        ("app", Arc::new(events.iter().map(|e| e.app).collect::<StringArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// The ids of all pairs (first event, later event) that stand together, sorted; with the apps different if asked.
pub(in crate::engine) fn naive(first: &[Event], then: &[Event], span: i128, other_app: bool) -> Vec<(i64, i64)> {
    let equal = |a: &Event, b: &Event| Some(a.user? == b.user? && a.ip? == b.ip?);
    let follows = |a: &Event, b: &Event| {
        let later = i128::from(b.time?) - i128::from(a.time?);
        Some(later > 0 && later <= span)
    };
    let differs = |a: &Event, b: &Event| !other_app || a.app.zip(b.app).is_some_and(|(a, b)| a != b);
    let mut pairs = Vec::new();
    for a in first {
        for b in then {
            if equal(a, b) == Some(true) && follows(a, b) == Some(true) && differs(a, b) {
                pairs.push((a.id, b.id));
            }
        }
    }
    pairs.sort_unstable();
    pairs
}
