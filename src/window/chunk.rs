//! Which windows are read together.

use super::Window;

/// Groups windows into chunks that one pass over their rows evaluates: neighbours in time, while what they cost stays within
/// `budget`: the first one its `cost`, each further one what it `adds`, since what lies before it is read already. A window that
/// alone is over it makes a chunk of its own.
///
/// A gap between two windows ends a chunk, because a chunk's rows are those of one range of time.
pub(crate) fn chunks<'a, T>(
    windows: Vec<T>,
    window: impl Fn(&T) -> &'a Window,
    cost: impl Fn(&T) -> u64,
    adds: impl Fn(&T) -> u64,
    budget: u64,
) -> Vec<Vec<T>> {
    let mut chunks: Vec<Vec<T>> = Vec::new();
    let mut spent = 0_u64;
    for item in windows {
        let price = adds(&item);
        let fits = chunks
            .last()
            .and_then(|chunk| chunk.last())
            .is_some_and(|last| window(last).end() == window(&item).start() && spent.saturating_add(price) <= budget);
        if fits {
            spent += price;
            if let Some(chunk) = chunks.last_mut() {
                chunk.push(item);
            }
        } else {
            spent = cost(&item);
            chunks.push(vec![item]);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{Span, parse_instant};

    #[test]
    fn chunks_end_at_gaps_and_at_the_budget() {
        let span = Span::try_new(parse_instant("2024-05-01").unwrap(), parse_instant("2024-05-09").unwrap()).unwrap();
        let mut windows = span.windows("1d".parse().unwrap()).unwrap();
        windows.remove(4);
        let sizes: Vec<_> =
            chunks((0..7).collect(), |i: &usize| &windows[*i], |_| 2, |_| 2, 6).iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 1, 3]);
    }

    #[test]
    fn a_window_over_the_budget_is_read_alone() {
        let span = Span::try_new(parse_instant("2024-05-01").unwrap(), parse_instant("2024-05-04").unwrap()).unwrap();
        let windows = span.windows("1d".parse().unwrap()).unwrap();
        let sizes: Vec<_> =
            chunks((0..3).collect(), |i: &usize| &windows[*i], |_| 9, |_| 9, 6).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[test]
    fn what_lies_before_a_chunk_is_paid_for_once() {
        let span = Span::try_new(parse_instant("2024-05-01").unwrap(), parse_instant("2024-05-09").unwrap()).unwrap();
        let windows = span.windows("1d".parse().unwrap()).unwrap();
        let sizes: Vec<_> =
            chunks((0..8).collect(), |i: &usize| &windows[*i], |_| 5, |_| 1, 7).iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 3, 2]);
    }
}
