//! Opens files for the engine's scan. Their footers are known, so none is read again.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet};
use futures::future::{BoxFuture, FutureExt, TryFutureExt, ready};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::footer::FileFacts;

/// Opens the files of a scan, each of which brings what its footer tells.
#[derive(Debug)]
pub(super) struct Readers {
    store: Arc<dyn ObjectStore>,
    /// Bytes that were asked for.
    scanned: Count,
}

impl Readers {
    pub(super) fn new(store: Arc<dyn ObjectStore>, scanned: Count) -> Self {
        Self { store, scanned }
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _footer_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let Some(facts) = file.extension::<Arc<FileFacts>>() else {
            return internal_err!("the footer of {} is not known", file.path());
        };
        let (store, scanned) = (Arc::clone(&self.store), self.scanned.clone());
        Ok(Box::new(Reader { store, location: file.path().clone(), facts: Arc::clone(facts), scanned }))
    }
}

struct Reader {
    store: Arc<dyn ObjectStore>,
    location: Path,
    facts: Arc<FileFacts>,
    scanned: Count,
}

impl Reader {
    fn scans(&self, range: &Range<u64>) {
        self.scanned.add(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.scans(&range);
        self.store.get_range(&self.location, range).map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        ranges.iter().for_each(|range| self.scans(range));
        async move { self.store.get_ranges(&self.location, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        ready(self.facts.footer().map(Arc::new)).boxed()
    }
}
