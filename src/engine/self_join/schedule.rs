//! Which part of the scan comes next, and what is complete.

use std::collections::VecDeque;
use std::sync::Arc;

use super::line::{Kept, Line, Slice};

/// A part of the scan that is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) partition: usize,
    /// No row of it is earlier, as far as is known.
    pub(super) from: i64,
    /// No other part has a row in this range, both inclusive; empty where the first is greater.
    pub(super) alone: (i64, i64),
}

/// The parts in the order of their earliest times.
///
/// ```text
///   given out      [----]   [------]
///   still to come                 [-----] [----]
///   complete      <-------->        before the earliest of what is being read or to come
/// ```
#[derive(Debug)]
pub(super) struct Schedule<R> {
    queue: VecDeque<Part>,
    reading: Vec<Part>,
    line: Line<R>,
}

impl<R: Kept> Schedule<R> {
    /// `times` are those of each partition, both inclusive; a partition of unknown times can hold any.
    pub(super) fn new(times: impl Iterator<Item = Option<(i64, i64)>>, span: i64) -> Self {
        let times = times.map(|times| times.unwrap_or((i64::MIN, i64::MAX)));
        let mut parts: Vec<(usize, (i64, i64))> = times.enumerate().collect();
        parts.sort_by_key(|(_, times)| *times);
        let ends = parts.iter().skip(1).map(|(_, next)| next.0.checked_sub(1)).chain([Some(i64::MAX)]);
        let mut begin = Some(i64::MIN);
        let queue = parts.iter().zip(ends).map(|((partition, (from, to)), end)| {
            // Nothing lies before the least time, or after the greatest.
            let alone = begin.zip(end).unwrap_or((i64::MAX, i64::MIN));
            begin = begin.and_then(|begin| Some(begin.max(to.checked_add(1)?)));
            Part { partition: *partition, from: *from, alone }
        });
        Self { queue: queue.collect(), reading: Vec::new(), line: Line::new(i64::MIN, span) }
    }

    /// A part to read.
    pub(super) fn next(&mut self) -> Option<Part> {
        let part = self.queue.pop_front()?;
        self.reading.push(part);
        Some(part)
    }

    /// A part has been read, and these rows of it are left. What is complete now is given to be joined, once it is worth
    /// a pass over what is kept.
    pub(super) fn finish(&mut self, part: Part, rows: Vec<Arc<R>>) -> Option<Slice<R>> {
        self.reading.retain(|other| *other != part);
        self.line.keep(rows);
        let to_come = self.reading.iter().chain(self.queue.front()).map(|part| part.from).min();
        let to = match to_come {
            Some(from) => from.checked_sub(1)?,
            None => i64::MAX,
        };
        if to == i64::MAX || self.line.is_worth_it(to) { self.line.finish(to) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Stretch(i64, i64);

    impl Kept for Stretch {
        fn bounds(&self) -> (i64, i64) {
            (self.0, self.1)
        }

        fn len(&self) -> usize {
            1
        }
    }

    #[test]
    fn what_lies_before_every_part_to_come_is_complete() {
        let mut schedule = Schedule::new([Some((10, 19)), Some((0, 9)), Some((20, 29))].into_iter(), 2);
        let [a, b] = [schedule.next().unwrap(), schedule.next().unwrap()];
        assert_eq!([a.partition, b.partition], [1, 0]);
        // The second part is read before the first.
        assert!(schedule.finish(b, vec![Arc::new(Stretch(10, 17)), Arc::new(Stretch(18, 19))]).is_none());
        let slice = schedule.finish(a, vec![Arc::new(Stretch(0, 9))]).unwrap();
        assert_eq!((slice.from, slice.to, slice.rows.len()), (i64::MIN, 19, 3));
        let c = schedule.next().unwrap();
        let slice = schedule.finish(c, vec![Arc::new(Stretch(20, 29))]).unwrap();
        // First events of the span before are seen again.
        let rows: Vec<&Stretch> = slice.rows.iter().map(AsRef::as_ref).collect();
        assert_eq!((slice.from, slice.to, rows), (20, i64::MAX, vec![&Stretch(18, 19), &Stretch(20, 29)]));
        assert!(schedule.next().is_none());
    }

    #[test]
    fn a_part_of_unknown_times_is_waited_for() {
        let mut schedule = Schedule::new([Some((0, 9)), None].into_iter(), 2);
        let unknown = schedule.next().unwrap();
        assert_eq!(unknown.partition, 1);
        let known = schedule.next().unwrap();
        assert!(schedule.finish(known, vec![Arc::new(Stretch(0, 9))]).is_none());
        assert_eq!(schedule.finish(unknown, Vec::new()).unwrap().rows.len(), 1);
    }

    #[test]
    fn a_part_is_alone_where_no_other_has_rows() {
        let times = [Some((10, 25)), Some((0, 12)), Some((20, 40)), Some((50, 60))];
        let mut schedule = Schedule::<Stretch>::new(times.into_iter(), 2);
        let alone = std::iter::from_fn(|| schedule.next()).map(|part| (part.partition, part.alone));
        let expected = [(1, (i64::MIN, 9)), (0, (13, 19)), (2, (26, 49)), (3, (41, i64::MAX))];
        assert_eq!(alone.collect::<Vec<_>>(), expected);

        let mut schedule = Schedule::<Stretch>::new([Some((10, 25)), None].into_iter(), 2);
        assert_eq!(schedule.next().map(|part| (part.partition, part.alone)), Some((1, (i64::MIN, 9))));
        let known = schedule.next().unwrap();
        assert!(known.alone.0 > known.alone.1, "{known:?}");
    }
}
