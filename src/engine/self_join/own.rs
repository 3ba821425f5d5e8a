//! The later events that one part can answer for by itself.

use std::sync::Arc;

use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::common::{Result, internal_err};

use super::rows::Rows;

/// Later events of a part whose first events are all in it, too: those in `from..=to`.
///
/// ```text
///   other parts    ----]                            [----
///   this part        [------------------------------------]
///   alone               <--------------------------->
///   own                 span <---------------------->
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) from: i64,
    pub(super) to: i64,
    /// How long a first event is waited for.
    span: i64,
}

impl Own {
    /// What a part with rows in `bounds` has as its own if no other has rows in `alone`, all inclusive. None where that is
    /// little: rows of a part whose times are all over its bounds are looked at once for what is its own, and once for the
    /// rest.
    pub(super) fn of(alone: (i64, i64), bounds: Option<(i64, i64)>, span: i64) -> Option<Self> {
        let (earliest, latest) = bounds?;
        let own = Self { from: alone.0.saturating_add(span), to: alone.1, span };
        let (from, to) = (own.from.max(earliest), own.to.min(latest));
        let length = |from: i64, to: i64| i128::from(to) - i128::from(from);
        (from <= to && 2 * length(from, to) >= length(earliest, latest)).then_some(own)
    }

    /// Whether rows with times in `bounds` are of matter to other later events.
    pub(super) fn is_more_than(self, bounds: (i64, i64)) -> bool {
        self.is_beyond(bounds.0) || bounds.1 > self.to.saturating_sub(self.span)
    }

    /// Whether a first event is of matter to other later events.
    fn is_beyond(self, first: i64) -> bool {
        first < self.from || first > self.to.saturating_sub(self.span)
    }

    /// The rows without the events that are done with.
    pub(super) fn take_from(self, rows: Arc<Rows>) -> Result<Rows> {
        let Some(mut rows) = Arc::into_inner(rows) else { return internal_err!("rows of a part are held still") };
        let times = rows.times.clone();
        rows.then.retain(|later| !(self.from..=self.to).contains(&times[*later as usize]));
        rows.first =
            BooleanBuffer::collect_bool(times.len(), |row| rows.first.value(row) && self.is_beyond(times[row]));
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_events_of_its_own_later_events_are_in_the_part() {
        let own = Own::of((10, 100), Some((5, 120)), 3).unwrap();
        assert_eq!((own.from, own.to), (13, 100));
        assert!(!own.is_more_than((13, 97)));
        assert!(own.is_more_than((12, 97)));
        assert!(own.is_more_than((13, 98)));
    }

    #[test]
    fn the_ends_of_time_are_nobody_elses() {
        let own = Own::of((i64::MIN, i64::MAX), Some((5, 120)), 3).unwrap();
        assert!(!own.is_more_than((5, 120)));
    }

    #[test]
    fn little_is_not_worth_a_pass() {
        assert_eq!(Own::of((10, 100), None, 3), None);
        assert_eq!(Own::of((i64::MAX, i64::MIN), Some((5, 120)), 3), None);
        assert_eq!(Own::of((10, 60), Some((5, 120)), 3), None);
        assert_eq!(Own::of((10, 12), Some((10, 12)), 3), None);
    }
}
