//! Which part of the scan comes next, and what is complete.

use std::collections::VecDeque;
use std::sync::Arc;

/// What is kept of a part, with the times of its rows.
pub(super) trait Kept {
    /// The least and the greatest time of its rows.
    fn bounds(&self) -> (i64, i64);
    /// How much it is.
    fn len(&self) -> usize;
}

/// A part of the scan that is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) partition: usize,
    /// No row of it is earlier, as far as is known.
    pub(super) from: i64,
}

/// A stretch of time all of whose rows have been read: later events in `from..=to`, and the first events that they may
/// follow.
#[derive(Debug)]
pub(super) struct Slice<R> {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) rows: Vec<Arc<R>>,
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
    /// How long a first event is waited for.
    span: i64,
    queue: VecDeque<Part>,
    reading: Vec<Part>,
    kept: Vec<Arc<R>>,
    /// Later events before it are done.
    from: i64,
}

impl<R: Kept> Schedule<R> {
    /// `times` are those of each partition, both inclusive; a partition of unknown times can hold any.
    pub(super) fn new(times: &[Option<(i64, i64)>], span: i64) -> Self {
        let from = |times: &Option<(i64, i64)>| times.map_or(i64::MIN, |(from, _)| from);
        let mut parts: Vec<Part> =
            times.iter().enumerate().map(|(partition, times)| Part { partition, from: from(times) }).collect();
        parts.sort_by_key(|part| part.from);
        Self { span, queue: parts.into(), reading: Vec::new(), kept: Vec::new(), from: i64::MIN }
    }

    /// A part to read.
    pub(super) fn next(&mut self) -> Option<Part> {
        let part = self.queue.pop_front()?;
        self.reading.push(part);
        Some(part)
    }

    /// A part has been read. What is complete now is given to be joined, once it is worth a pass over what is kept.
    pub(super) fn finish(&mut self, part: Part, rows: Vec<Arc<R>>) -> Option<Slice<R>> {
        self.reading.retain(|other| *other != part);
        self.kept.extend(rows);
        let to_come = self.reading.iter().chain(self.queue.front()).map(|part| part.from).min();
        let to = match to_come {
            Some(from) => from.checked_sub(1)?,
            None => i64::MAX,
        };
        if to < self.from || !self.is_worth_it(to) {
            return None;
        }
        let from = std::mem::replace(&mut self.from, to.saturating_add(1));
        let reach = from.saturating_sub(self.span);
        let rows = self.kept.iter().filter(|rows| rows.bounds().0 <= to && rows.bounds().1 >= reach);
        let rows = rows.map(Arc::clone).collect();
        // A first event can stand before the slice that comes next by as much as the span.
        let reach = self.from.saturating_sub(self.span);
        self.kept.retain(|rows| rows.bounds().1 >= reach);
        Some(Slice { from, to, rows })
    }

    /// Whether about half of what a pass up to `to` looks at would be done with.
    fn is_worth_it(&self, to: i64) -> bool {
        let next = to.saturating_add(1).saturating_sub(self.span);
        let (mut seen, mut done) = (0, 0);
        for rows in self.kept.iter().filter(|rows| rows.bounds().0 <= to) {
            seen += rows.len();
            if rows.bounds().1 < next {
                done += rows.len();
            }
        }
        to == i64::MAX || (seen > 0 && 2 * done >= seen)
    }
}
