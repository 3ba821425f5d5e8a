//! The floor: what it takes merely to decode the columns that the hunt reads.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::Result;

/// The columns of the hunt.
const COLUMNS: [&str; 6] =
    ["TimeGenerated", "UserPrincipalName", "IPAddress", "AppDisplayName", "ResultType", "ResultDescription"];

/// Decodes the row groups of `files` with so many threads, text as dictionaries where a file has them; the rows.
pub(crate) fn decode(files: &[PathBuf], threads: usize) -> Result<u64> {
    let mut groups = Vec::new();
    for path in files {
        let metadata = ArrowReaderMetadata::load(&File::open(path)?, ArrowReaderOptions::new())?;
        // Dictionaries of plain text would have to be made.
        let encoded = metadata
            .metadata()
            .row_groups()
            .iter()
            .all(|group| group.columns().iter().any(|column| column.dictionary_page_offset().is_some()));
        let fields: Vec<Field> = metadata
            .schema()
            .fields()
            .iter()
            .map(|field| match field.data_type() {
                DataType::Utf8 | DataType::Dictionary(..) if encoded => field
                    .as_ref()
                    .clone()
                    .with_data_type(DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))),
                DataType::Dictionary(..) => field.as_ref().clone().with_data_type(DataType::Utf8),
                _ => field.as_ref().clone(),
            })
            .collect();
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?;
        groups.extend((0..metadata.metadata().num_row_groups()).map(|group| (path.clone(), metadata.clone(), group)));
    }
    groups.reverse();
    let queue = Mutex::new(groups);
    let rows = AtomicU64::new(0);
    let work = || -> Result<(), String> {
        // The lock must not outlive the taking.
        let next = || Ok::<_, String>(queue.lock().map_err(|e| e.to_string())?.pop());
        while let Some((path, metadata, group)) = next()? {
            let descriptor = metadata.metadata().file_metadata().schema_descr();
            let mask = ProjectionMask::columns(descriptor, COLUMNS);
            let file = File::open(path).map_err(|e| e.to_string())?;
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
                .with_projection(mask)
                .with_row_groups(vec![group])
                .with_batch_size(8192)
                .build()
                .map_err(|e| e.to_string())?;
            for batch in reader {
                rows.fetch_add(batch.map_err(|e| e.to_string())?.num_rows() as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread failed".to_owned())?)
    })?;
    Ok(rows.into_inner())
}
