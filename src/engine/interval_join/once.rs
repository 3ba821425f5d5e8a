//! A table that is built once, by whoever asks first, and shared.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, TryFutureExt};

use super::table::Table;

/// A table in the making. Each holder can drive it; dropping one does not stop the others.
#[derive(Clone)]
pub(super) struct SharedTable(Shared<BoxFuture<'static, Result<Arc<Table>, Arc<DataFusionError>>>>);

impl SharedTable {
    pub(super) fn new(build: impl Future<Output = Result<Table>> + Send + 'static) -> Self {
        Self(build.map_ok(Arc::new).map_err(Arc::new).boxed().shared())
    }

    pub(super) async fn get(self) -> Result<Arc<Table>> {
        self.0.await.map_err(DataFusionError::Shared)
    }
}

/// Starts a build at most once.
#[derive(Default)]
pub(super) struct Once(Mutex<Option<SharedTable>>);

impl Once {
    pub(super) fn get_or_start(&self, start: impl FnOnce() -> Result<SharedTable>) -> Result<SharedTable> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*table {
            Some(table) => Ok(table.clone()),
            None => Ok(table.insert(start()?).clone()),
        }
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}
