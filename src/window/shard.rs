//! Which windows of a range one of several machines does.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Blocks that each shard gets if there are enough windows: few, since each block reads the edge of its neighbour again;
/// but some, since no two blocks take equally long.
const BLOCKS_PER_SHARD: usize = 8;

/// One of `count` parts of a range. Neighbouring windows stay together in blocks, which are dealt out in turn:
///
/// ```text
/// windows   | 1 2 3 | 4 5 6 | 7 8 9 | 10 11 12 | 13 14 15 | ...
/// shard        1/3     2/3     3/3       1/3        2/3
/// ```
///
/// It follows from the range alone, so machines that were given the same range agree without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: usize,
    count: usize,
}

impl FromStr for Shard {
    type Err = Error;

    /// Reads `i/n` with i from 1 to n. `0/n` is `n/n`, for schedulers that count from 0.
    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            Some((index.trim().parse::<usize>().ok()?, count.trim().parse::<usize>().ok()?))
        });
        match numbers {
            Some((index, count)) if count > 0 && index <= count => {
                Ok(Self { index: index.checked_sub(1).unwrap_or(count - 1), count })
            }
            _ => Err(Error::new(
                ErrorKind::Usage,
                format!("`{text}` is no shard; write i/n with i from 1 to n, for example 2/4"),
            )),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

impl Shard {
    /// Whether the window at `position` of the `total` of a range is this shard's.
    pub(crate) fn takes(&self, position: usize, total: usize) -> bool {
        let block = (total / (self.count * BLOCKS_PER_SHARD)).max(1);
        position / block % self.count == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_is_taken_once_and_each_shard_has_its_share() {
        for (total, count) in [(1, 4), (7, 4), (365, 4), (365, 3), (730, 100), (100_000, 7)] {
            let shards: Vec<Shard> = (1..=count).map(|i| format!("{i}/{count}").parse().unwrap()).collect();
            let taken = |position: usize| shards.iter().filter(|shard| shard.takes(position, total)).count();
            assert!((0..total).all(|position| taken(position) == 1), "{total} windows in {count}");
            let share = |shard: &Shard| (0..total).filter(|position| shard.takes(*position, total)).count();
            let shares: Vec<usize> = shards.iter().map(share).collect();
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(most - least <= 1 + total / (count * BLOCKS_PER_SHARD), "{total} in {count}: {shares:?}");
        }
    }

    #[test]
    fn neighbours_stay_together() {
        let shard: Shard = "2/4".parse().unwrap();
        let taken: Vec<usize> = (0..365).filter(|position| shard.takes(*position, 365)).collect();
        assert_eq!(taken[..11], (11..22).collect::<Vec<_>>());
    }

    #[test]
    fn counting_from_0_works_too() {
        assert_eq!("0/4".parse::<Shard>().unwrap(), "4/4".parse().unwrap());
        assert_eq!("4/4".parse::<Shard>().unwrap().to_string(), "4/4");
        for text in ["", "1", "5/4", "1/0", "0/0", "-1/4", "a/b", "1/4/4"] {
            assert!(text.parse::<Shard>().unwrap_err().to_string().contains("is no shard"), "{text}");
        }
    }
}
