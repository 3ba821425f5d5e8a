//! What has been read and is not joined yet, along the line of time.

use std::sync::Arc;

/// What is kept of a part, with the times of its rows.
pub(super) trait Kept {
    /// The least and the greatest time of its rows.
    fn bounds(&self) -> (i64, i64);
    /// How much it is.
    fn len(&self) -> usize;
}

/// A stretch of time all of whose rows have been read: later events in `from..=to`, and the first events that they may
/// follow.
#[derive(Debug)]
pub(super) struct Slice<R> {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) rows: Vec<Arc<R>>,
}

/// Rows by time, and up to where they are joined.
#[derive(Debug)]
pub(super) struct Line<R> {
    /// How long a first event is waited for.
    span: i64,
    kept: Vec<Arc<R>>,
    /// Later events before it are done, or somebody else's.
    from: i64,
}

impl<R: Kept> Line<R> {
    pub(super) fn new(from: i64, span: i64) -> Self {
        Self { span, kept: Vec::new(), from }
    }

    pub(super) fn keep(&mut self, rows: impl IntoIterator<Item = Arc<R>>) {
        self.kept.extend(rows);
    }

    /// All rows up to `to` have been read. What is complete by that is given to be joined, if there is any.
    pub(super) fn finish(&mut self, to: i64) -> Option<Slice<R>> {
        if to < self.from {
            return None;
        }
        let from = std::mem::replace(&mut self.from, to.saturating_add(1));
        let reach = from.saturating_sub(self.span);
        let rows = self.kept.iter().filter(|rows| rows.bounds().0 <= to && rows.bounds().1 >= reach);
        let mut rows: Vec<_> = rows.map(Arc::clone).collect();
        // What lies near each other in time is looked up in the same piece of an index.
        rows.sort_by_key(|rows| rows.bounds());
        // A first event can stand before the slice that comes next by as much as the span.
        let reach = self.from.saturating_sub(self.span);
        self.kept.retain(|rows| rows.bounds().1 >= reach);
        Some(Slice { from, to, rows })
    }

    /// Whether about half of what a pass up to `to` looks at would be done with.
    pub(super) fn is_worth_it(&self, to: i64) -> bool {
        let next = to.saturating_add(1).saturating_sub(self.span);
        let (mut seen, mut done) = (0, 0);
        for rows in self.kept.iter().filter(|rows| rows.bounds().0 <= to) {
            seen += rows.len();
            if rows.bounds().1 < next {
                done += rows.len();
            }
        }
        seen > 0 && 2 * done >= seen
    }
}
