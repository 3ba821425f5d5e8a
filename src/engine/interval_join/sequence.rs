//! What `followed_within` says of the rows of both sides.

use std::fmt;
use std::ops::Range;

use datafusion::common::JoinSide;
use datafusion::physical_plan::joins::utils::ColumnIndex;

use crate::timespan::Timespan;

/// `followed_within(first, then, span)` between a column of one side and a column of the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sequence {
    first: ColumnIndex,
    then: ColumnIndex,
    /// In nanoseconds. It can be longer than 64 bits hold.
    span: i128,
}

impl Sequence {
    /// None where both columns belong to one side.
    pub(crate) fn try_new(first: ColumnIndex, then: ColumnIndex, span: i128) -> Option<Self> {
        let sides = [first.side, then.side];
        let apart = sides == [JoinSide::Left, JoinSide::Right] || sides == [JoinSide::Right, JoinSide::Left];
        apart.then_some(Self { first, then, span })
    }

    /// In nanoseconds.
    pub(crate) fn span(&self) -> i128 {
        self.span
    }

    /// The side of the later event.
    pub(super) fn later_side(&self) -> JoinSide {
        self.then.side
    }

    /// The column of `side` that holds its time.
    pub(super) fn time_column(&self, side: JoinSide) -> usize {
        if self.first.side == side { self.first.index } else { self.then.index }
    }

    /// The column of the first and of the later event, each in its own side.
    pub(crate) fn columns(&self) -> [&ColumnIndex; 2] {
        [&self.first, &self.then]
    }

    /// Which of `times` (ascending, of side `of`) stand with a row of the other side at `t`.
    ///
    /// ```text
    ///   of the later event   (t, t + span]
    ///   of the first event   [t - span, t)
    /// ```
    pub(super) fn reach(&self, of: JoinSide, times: &[i64], t: i64) -> Range<usize> {
        let t = i128::from(t);
        let (begin, end) = if of == self.then.side {
            let begin = times.partition_point(|then| i128::from(*then) <= t);
            (begin, times.partition_point(|then| i128::from(*then) - t <= self.span))
        } else {
            let begin = times.partition_point(|first| t - i128::from(*first) > self.span);
            (begin, times.partition_point(|first| i128::from(*first) < t))
        };
        // A span below zero reaches nothing.
        begin..end.max(begin)
    }
}

/// The span, as in `1m`.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.span) {
            Ok(nanos) => Timespan::from_nanos(nanos).fmt(f),
            Err(_) => write!(f, "{}ns", self.span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(span: i128) -> Sequence {
        let column = |side| ColumnIndex { index: 0, side };
        Sequence::try_new(column(JoinSide::Left), column(JoinSide::Right), span).unwrap()
    }

    #[test]
    fn the_near_edge_is_open_and_the_far_edge_closed() {
        let times = [0, 10, 10, 11, 20, 21, 30];
        assert_eq!(sequence(10).reach(JoinSide::Right, &times, 10), 3..5);
        assert_eq!(sequence(10).reach(JoinSide::Left, &times, 20), 1..4);
        assert_eq!(sequence(10).reach(JoinSide::Left, &times, 21), 3..5);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX];
        for span in [0, 1, i128::from(i64::MAX), i128::from(u64::MAX), i128::MAX, -1, i128::MIN + (1 << 70)] {
            for side in [JoinSide::Left, JoinSide::Right] {
                for t in times {
                    let found = sequence(span).reach(side, &times, t);
                    let expected: Vec<_> = (0..times.len())
                        .filter(|row| {
                            let other = i128::from(times[*row]);
                            let later =
                                if side == JoinSide::Right { other - i128::from(t) } else { i128::from(t) - other };
                            later > 0 && later <= span
                        })
                        .collect();
                    assert_eq!(found.collect::<Vec<_>>(), expected, "{span} {side} {t}");
                }
            }
        }
    }
}
