//! Parts of a scan by time, and what is known of their times before they are read.

use chrono::DateTime;
use datafusion::common::DataFusionError;
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;

use crate::error::{Error, ErrorKind};

/// The times of one part of a scan, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PartTimes {
    /// The earliest and the latest, both inclusive; `None` when footers do not tell.
    pub(crate) bounds: Option<(i64, i64)>,
    /// Stretches of its rows, in the order in which they are read.
    pub(crate) ahead: Vec<Ahead>,
    /// The files that it is of, for people.
    pub(crate) files: Vec<String>,
}

/// What is known of the rows from one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// How many rows of the part are read before.
    pub(crate) row: u64,
    /// No later row of the part is earlier.
    pub(crate) from: i64,
}

impl PartTimes {
    /// The times of what is read one after the other: of each piece its rows, and what is known of
    /// them.
    pub(super) fn of<'a>(
        files: Vec<String>,
        bounds: Option<(i64, i64)>,
        pieces: impl Iterator<Item = (u64, &'a [Ahead])>,
    ) -> Self {
        let mut ahead = Vec::new();
        let mut before = 0;
        for (rows, stretches) in pieces {
            ahead.extend(stretches.iter().map(|one| Ahead { row: before + one.row, from: one.from }));
            before += rows;
        }
        let mut least = i64::MAX;
        for one in ahead.iter_mut().rev() {
            least = least.min(one.from);
            one.from = least;
        }
        Self { bounds, ahead, files }
    }

    /// The earliest time that a row can have when so many rows have been read.
    pub(crate) fn from(&self, read: u64) -> i64 {
        // The stretch that the next row is in.
        let next = self.ahead.partition_point(|one| one.row <= read);
        next.checked_sub(1).map_or(i64::MIN, |stretch| self.ahead[stretch].from)
    }

    /// What a row says that is earlier than was told.
    pub(crate) fn broken(&self, told: i64, found: i64) -> DataFusionError {
        let [told, found] = [told, found].map(|nanos| DateTime::from_timestamp_nanos(nanos).to_rfc3339());
        let what =
            format!("by its statistics the file has no row before {told} there, but one is of {found}; write it again");
        let error = Error::new(ErrorKind::CorruptFile, what).with("file", self.files.join(", "));
        DataFusionError::External(Box::new(error))
    }
}

/// A stretch of a row group's rows: those of a page of its time column, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where it begins in the row group.
    pub(crate) row: u64,
    /// The earliest and the latest time, both inclusive; none where no row has one.
    pub(crate) times: Option<(i64, i64)>,
}

/// Rows of a row group that are read one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Where they begin in the row group, and end before.
    rows: (u64, u64),
    /// The earliest and the latest time, both inclusive; none where no row has one.
    times: Option<(i64, i64)>,
}

/// The rows of a row group that are read.
#[derive(Debug)]
pub(super) struct Selected {
    /// At least one.
    runs: Vec<Run>,
    /// How many rows the row group has.
    of: u64,
    /// The earliest and the latest time, both inclusive; none where they are not known.
    pub(super) times: Option<(i64, i64)>,
}

impl Selected {
    /// The rows of a row group, but for stretches without a time in the half-open range; none if that leaves none. `rows`
    /// and `times` are the row group's.
    pub(super) fn of(
        rows: u64,
        times: Option<(i64, i64)>,
        stretches: &[Stretch],
        (from, to): (i64, i64),
    ) -> Option<Self> {
        let holds = |times: (i64, i64)| times.0 < to && times.1 >= from;
        if rows == 0 || times.is_some_and(|times| !holds(times)) {
            return None;
        }
        let inside = times.is_none_or(|times| from <= times.0 && times.1 < to);
        let ends = stretches.iter().skip(1).map(|next| next.row).chain([rows]);
        let runs = stretches.iter().zip(ends).filter(|(stretch, _)| inside || stretch.times.is_some_and(holds));
        let runs: Vec<Run> =
            runs.map(|(one, end)| Run { rows: (one.row, end.max(one.row)), times: one.times }).collect();
        let selected = Self { runs, of: rows, times };
        match selected.rows() {
            0 => None,
            all if all == rows => Some(selected),
            _ => Some(Self { times: times_of(&selected.runs), ..selected }),
        }
    }

    /// How many.
    pub(super) fn rows(&self) -> u64 {
        self.runs.iter().map(|run| run.rows.1 - run.rows.0).sum()
    }

    /// What is known of them, by how many of them are read before.
    pub(super) fn ahead(&self) -> Vec<Ahead> {
        let mut row = 0;
        let ahead = |run: &Run| {
            // Without a value there is no time.
            let ahead = Ahead { row, from: run.times.map_or(i64::MAX, |(from, _)| from) };
            row += run.rows.1 - run.rows.0;
            ahead
        };
        self.runs.iter().map(ahead).collect()
    }

    /// Which of the row group's rows they are; none if all.
    pub(super) fn selection(&self) -> Option<RowSelection> {
        // A row group is of memory's size.
        let ranges = self.runs.iter().map(|run| run.rows.0 as usize..run.rows.1 as usize);
        (self.rows() < self.of).then(|| RowSelection::from_consecutive_ranges(ranges, self.of as usize))
    }

    /// The first rows, about as many as asked for, and the others, if these are later and so many at least.
    pub(super) fn split(self, rows: u64, others: u64) -> (Self, Option<Self>) {
        let all = self.rows();
        if self.times.is_none() || all < rows.saturating_add(others) {
            return (self, None);
        }
        let mut earliest = Vec::with_capacity(self.runs.len());
        let mut least = None;
        for run in self.runs.iter().rev() {
            let from = run.times.map(|(from, _)| from);
            least = from.into_iter().chain(least).min();
            earliest.push(least);
        }
        let (mut before, mut latest) = (0, None);
        for (at, run) in self.runs.iter().enumerate() {
            before += run.rows.1 - run.rows.0;
            latest = latest.max(run.times.map(|(_, to)| to));
            // What the runs after this one have.
            let next = earliest.len().checked_sub(at + 2).and_then(|next| earliest[next]);
            let is_later = latest.zip(next).is_some_and(|(latest, next)| latest <= next);
            if before >= rows && all - before >= others && is_later {
                let (head, tail) = self.runs.split_at(at + 1);
                let part = |runs: &[Run]| Self { runs: runs.to_vec(), of: self.of, times: times_of(runs) };
                return (part(head), Some(part(tail)));
            }
        }
        (self, None)
    }
}

/// The earliest and the latest time, both inclusive.
fn times_of(runs: &[Run]) -> Option<(i64, i64)> {
    runs.iter().filter_map(|run| run.times).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// The pages of a row group's times, which are in units of so many nanoseconds each; nothing where the file has no index of
/// its pages.
pub(super) fn pages(metadata: &ParquetMetaData, group: usize, leaf: usize, nanos: i64) -> Option<Vec<Stretch>> {
    let ColumnIndexMetaData::INT64(index) = metadata.column_index()?.get(group)?.get(leaf)? else { return None };
    let places = metadata.offset_index()?.get(group)?.get(leaf)?.page_locations();
    if places.len() as u64 != index.num_pages() {
        return None;
    }
    let bounds = index.min_values_iter().zip(index.max_values_iter());
    let pages = places.iter().zip(bounds).map(|(place, (least, greatest))| {
        let row = u64::try_from(place.first_row_index).ok()?;
        let times = least.zip(greatest).map(|(least, greatest)| {
            let [least, greatest] = [least, greatest].map(|time| time.saturating_mul(nanos));
            // A writer that got them wrong must not lose rows.
            if least <= greatest { (least, greatest) } else { (i64::MIN, i64::MAX) }
        });
        Some(Stretch { row, times })
    });
    pages.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use datafusion::arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
    use datafusion::parquet::file::properties::WriterProperties;

    use super::*;

    #[test]
    fn pages_tell_their_earliest_times() {
        let times = [Some(5), Some(9), Some(7), None, None, None, Some(6), Some(20), Some(-3)];
        let column = Arc::new(times.into_iter().collect::<TimestampMillisecondArray>()) as ArrayRef;
        let batch = RecordBatch::try_from_iter_with_nullable([("time", column, true)]).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(7))
            .set_data_page_row_count_limit(2)
            .set_write_batch_size(2)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let file = Bytes::from(writer.into_inner().unwrap());
        let read = |policy| {
            let reader = ParquetMetaDataReader::new().with_page_index_policy(policy);
            reader.parse_and_finish(&file).unwrap()
        };
        let known = read(PageIndexPolicy::Required);
        let of = |group| pages(&known, group, 0, 1_000_000).unwrap().into_iter().map(|one| (one.row, one.times));
        let millis = |from: i64, to: i64| Some((from * 1_000_000, to * 1_000_000));
        assert_eq!(of(0).collect::<Vec<_>>(), [(0, millis(5, 9)), (2, millis(7, 7)), (4, None), (6, millis(6, 6))]);
        assert_eq!(of(1).collect::<Vec<_>>(), [(0, millis(-3, 20))]);
        assert_eq!(pages(&known, 0, 0, i64::MAX).unwrap()[0].times, Some((i64::MAX, i64::MAX)));
        assert_eq!(pages(&read(PageIndexPolicy::Skip), 0, 0, 1), None);
    }

    #[test]
    fn what_is_ahead_is_the_least_of_all_that_follows() {
        let ahead = |row, from| Ahead { row, from };
        let (first, second) = ([ahead(0, 5), ahead(10, 30), ahead(20, 20)], [ahead(0, 25), ahead(4, i64::MAX)]);
        let times =
            PartTimes::of(Vec::new(), Some((5, 90)), [(25, first.as_slice()), (8, second.as_slice())].into_iter());
        let known = [0, 1, 9, 10, 19, 20, 24, 25, 28, 29, 1_000].map(|read| times.from(read));
        let most = i64::MAX;
        assert_eq!(known, [5, 5, 5, 20, 20, 20, 20, 25, 25, most, most]);
    }

    #[test]
    fn stretches_outside_of_the_range_are_not_read() {
        let stretch = |row, times| Stretch { row, times };
        let stretches =
            [stretch(0, Some((5, 9))), stretch(10, Some((9, 20))), stretch(25, None), stretch(30, Some((18, 40)))];
        let of = |range| {
            let selected = Selected::of(40, Some((5, 40)), &stretches, range)?;
            let skipped = selected.selection().map(|selection| 40 - selection.row_count());
            Some((selected.rows(), selected.times, selected.ahead(), skipped))
        };
        let ahead = |row, from| Ahead { row, from };
        assert_eq!(of((10, 15)), Some((15, Some((9, 20)), vec![ahead(0, 9)], Some(25))));
        assert_eq!(of((20, 90)), Some((25, Some((9, 40)), vec![ahead(0, 9), ahead(15, 18)], Some(15))));
        let all = vec![ahead(0, 5), ahead(10, 9), ahead(25, i64::MAX), ahead(30, 18)];
        assert_eq!(of((5, 41)), Some((40, Some((5, 40)), all, None)));
        assert_eq!(of((41, 90)), None);
        let between = [stretch(0, Some((5, 9))), stretch(10, Some((30, 40)))];
        assert!(Selected::of(40, Some((5, 40)), &between, (10, 30)).is_none());
        // Where no times are known, all rows are read.
        let unknown = Selected::of(40, None, &[stretch(0, Some((i64::MIN, i64::MAX)))], (10, 30)).unwrap();
        assert_eq!((unknown.rows(), unknown.times, unknown.selection()), (40, None, None));
        assert!(unknown.split(1, 1).1.is_none());
    }

    #[test]
    fn rows_are_split_between_pages_of_which_one_is_later() {
        let stretch = |row, times| Stretch { row, times };
        let pages = [(0, 0, 9), (10, 8, 12), (20, 12, 20), (30, 25, 30)];
        let pages = pages.map(|(row, from, to)| stretch(row, Some((from, to))));
        let selected = |range| Selected::of(40, Some((0, 30)), &pages, range).unwrap();
        let told = |selected: &Selected| {
            let rows =
                selected.selection().map(|rows| rows.iter().map(|one| (one.skip, one.row_count)).collect::<Vec<_>>());
            (selected.rows(), selected.times, selected.ahead(), rows)
        };
        let ahead = |row, from| Ahead { row, from };

        // Not after the first page: the second one has an earlier time than it.
        let (head, tail) = selected((0, 100)).split(10, 20);
        let tail = tail.unwrap();
        let expected = (20, Some((0, 12)), vec![ahead(0, 0), ahead(10, 8)], Some(vec![(false, 20), (true, 20)]));
        assert_eq!(told(&head), expected);
        let expected = (20, Some((12, 30)), vec![ahead(0, 12), ahead(10, 25)], Some(vec![(true, 20), (false, 20)]));
        assert_eq!(told(&tail), expected);
        let (last, none) = tail.split(10, 11);
        assert_eq!((last.rows(), none.is_none()), (20, true));

        // Of pages that are not read nothing comes back.
        let (head, tail) = selected((20, 26)).split(5, 1);
        let expected = (10, Some((12, 20)), vec![ahead(0, 12)], Some(vec![(true, 20), (false, 10), (true, 10)]));
        assert_eq!(told(&head), expected);
        assert_eq!(told(&tail.unwrap()), (10, Some((25, 30)), vec![ahead(0, 25)], Some(vec![(true, 30), (false, 10)])));

        assert!(selected((0, 100)).split(21, 11).1.is_none());
    }

    #[test]
    fn nothing_is_known_without_stretches() {
        assert_eq!(PartTimes::default().from(0), i64::MIN);
    }
}
