//! Hits as a multiset: how many, and a sum of their hashes, which no order changes.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::Result;

/// The columns that all contenders write.
const COLUMNS: [&str; 12] = [
    "UserPrincipalName",
    "SuccessLogonTime",
    "IPAddress",
    "SuccessAppDisplayName",
    "FailedLogonTime",
    "FailedAppDisplayName",
    "ResultType",
    "ResultDescription",
    "window_start",
    "kql_rank",
    "distribution_count",
    "pair_count",
];

/// Of all hit files below a folder; all contenders name theirs alike.
pub(crate) fn of(folder: &Path) -> Result<(u64, u64)> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    let (mut count, mut sum) = (0, 0_u64);
    for file in files {
        for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.build()? {
            let batch = batch?;
            let columns = COLUMNS
                .iter()
                .map(|name| plain(batch.column_by_name(name).ok_or(format!("no column {name}"))?))
                .collect::<Result<Vec<_>>>()?;
            let options = FormatOptions::default();
            let texts = columns.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
            let texts = texts.collect::<std::result::Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let mut hash = DefaultHasher::new();
                texts.iter().for_each(|text| text.value(row).to_string().hash(&mut hash));
                sum = sum.wrapping_add(hash.finish());
                count += 1;
            }
        }
    }
    Ok((count, sum))
}

/// The types that engines choose differ.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    let data_type = match column.data_type() {
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Date32 => {
            let times = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            return Ok(cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?);
        }
        number if number.is_integer() || number.is_decimal() => DataType::Int64,
        _ => DataType::Utf8,
    };
    Ok(cast(column, &data_type)?)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.file_name().is_some_and(|name| name == "hits.parquet") {
            files.push(path);
        }
    }
    Ok(())
}
