//! All that a table holds, for those who show it as a whole.

use std::collections::BTreeSet;

use datafusion::arrow::array::RecordBatch;
use object_store::path::Path;

use super::read::decode;
use super::table::Table;
use crate::error::Result;
use crate::store::{Action, failed, is_absent};

impl Table {
    /// The labels of the windows that have hits, a record, or both; in order.
    pub(crate) async fn labels(&self) -> Result<BTreeSet<String>> {
        let mut labels = BTreeSet::new();
        for folder in [self.hits_folder(), self.path("")] {
            let listed = match self.store().list_with_delimiter(Some(&folder)).await {
                Ok(listed) => listed,
                Err(e) if is_absent(&e) => continue,
                Err(e) => return Err(failed(self.root(), &folder, Action::List, e)),
            };
            let label = |path: &Path| Some(path.filename()?.strip_prefix("window=")?.to_owned());
            labels.extend(listed.common_prefixes.iter().filter_map(label));
        }
        Ok(labels)
    }

    /// The rows of a window's hit file, whether or not a record goes with it.
    pub(crate) async fn rows(&self, label: &str) -> Result<Option<Vec<RecordBatch>>> {
        match self.hits(label).await? {
            Some((bytes, _)) => decode(bytes, &self.hits_name(label)).map(Some),
            None => Ok(None),
        }
    }
}
