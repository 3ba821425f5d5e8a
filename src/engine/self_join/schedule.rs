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
