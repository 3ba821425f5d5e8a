//! Parts of a scan by time, and what is known of their times before they are read.

use chrono::DateTime;
use datafusion::common::DataFusionError;
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
    /// The times of what is read one after the other: of each piece its rows, and its stretches as [`stretches`] gives
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

/// The earliest time of each page of a row group, in units of which each is so many nanoseconds; nothing where the file
/// has no index of its pages.
pub(super) fn pages(metadata: &ParquetMetaData, group: usize, leaf: usize, nanos: i64) -> Option<Vec<Ahead>> {
    let ColumnIndexMetaData::INT64(index) = metadata.column_index()?.get(group)?.get(leaf)? else { return None };
    let places = metadata.offset_index()?.get(group)?.get(leaf)?.page_locations();
    if places.len() as u64 != index.num_pages() {
        return None;
    }
    let pages = places.iter().zip(index.min_values_iter()).map(|(place, least)| {
        let row = u64::try_from(place.first_row_index).ok()?;
        // A page without a value has no time.
        Some(Ahead { row, from: least.map_or(i64::MAX, |least| least.saturating_mul(nanos)) })
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
        let of = |group| pages(&known, group, 0, 1_000_000).unwrap().into_iter().map(|one| (one.row, one.from));
        let none = i64::MAX;
        assert_eq!(of(0).collect::<Vec<_>>(), [(0, 5_000_000), (2, 7_000_000), (4, none), (6, 6_000_000)]);
        assert_eq!(of(1).collect::<Vec<_>>(), [(0, -3_000_000)]);
        assert_eq!(pages(&known, 0, 0, i64::MAX).unwrap()[0].from, i64::MAX);
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
    fn nothing_is_known_without_stretches() {
        assert_eq!(PartTimes::default().from(0), i64::MIN);
    }
}
