//! A source that is a Delta table: its files at one version, from its log, with the times that they hold.
//!
//! Only the log tells which files make up the table: a folder also holds files that were deleted or never committed.
//! What a plain reading of those files would get wrong is refused by name.

use chrono::{DateTime, TimeDelta, Utc};
use delta_kernel::expressions::{Scalar, StructData};
use deltalake_core::kernel::{EagerSnapshot, LogicalFileView, StructDataExt};
use object_store::ObjectMeta;

use super::columns::Columns;
use super::listing::LakeFile;
use crate::error::{Error, ErrorKind, Result};
use crate::job::EpochUnit;
use crate::secrets::redact;
use crate::store::{Root, delta_table, find_cause, unreadable_log};

/// Features of tables that change nothing for one who reads whole data files by the log's list.
const HARMLESS: [&str; 7] = [
    "timestampNtz",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "typeWidening",
    "typeWidening-preview",
    // Looked for in the files and in the properties: a table may allow them and have none.
    "deletionVectors",
    "columnMapping",
];

/// Statistics hold whole milliseconds: what they call the latest may be anywhere in its millisecond.
const BLUR: TimeDelta = TimeDelta::milliseconds(1);

/// The table's files at `version` (the newest unless given), ordered by path, and the version.
///
/// # Errors
/// `SourceMissing` when there is no such version; `SchemaMismatch` when the table has something that this reader does not
/// honour: deletion vectors, column mapping, an unknown feature, a column of the job that is a partition column, files of
/// another table.
pub(super) async fn files(root: &Root, version: Option<u64>, columns: &Columns) -> Result<(u64, Vec<LakeFile>)> {
    let mut builder = delta_table(root)?;
    if let Some(version) = version {
        builder = builder.with_version(version);
    }
    let table = builder.load().await.map_err(|e| match version {
        Some(version) if find_cause::<object_store::Error>(&e).is_none() => {
            Error::new(ErrorKind::SourceMissing, format!("the Delta table has no version {version} that can be read"))
                .with("url", &root.display)
                .caused_by(redact(&e.to_string()).into_owned())
        }
        _ => unreadable_log(root, e),
    })?;
    let state = table.snapshot().map_err(|e| unreadable_log(root, e))?;
    let snapshot = state.snapshot();
    refuse_unknown(root, snapshot, columns)?;

    let schema = snapshot.arrow_schema();
    let time = columns.find(columns.time(), &schema)?.map(|index| schema.field(index).name().clone());
    let epoch = columns.spec(columns.time()).epoch;
    let log = snapshot.try_log_data().map_err(|e| unreadable_log(root, e))?;
    let mut files = Vec::with_capacity(log.num_files());
    for view in log.iter() {
        files.push(file(root, &view, time.as_deref(), epoch)?);
    }
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    Ok((snapshot.version(), files))
}

fn file(root: &Root, view: &LogicalFileView, time: Option<&str>, epoch: EpochUnit) -> Result<LakeFile> {
    let path = view.path();
    if view.deletion_vector_descriptor().is_some() {
        return Err(refused(
            root,
            "deletion vectors: rows that are deleted but still in the file",
            "purge them (REORG TABLE ... APPLY (PURGE)) or read a version before them with --source-version",
        )
        .with("file", path));
    }
    if path.contains("://") {
        return Err(refused(root, "files of another table (a shallow clone)", "clone it deep").with("file", path));
    }
    let location = view.object_store_path();
    let modified = DateTime::from_timestamp_millis(view.modification_time()).unwrap_or_default();
    let meta = ObjectMeta {
        location,
        last_modified: modified,
        size: u64::try_from(view.size()).unwrap_or_default(),
        e_tag: None,
        version: None,
    };
    let bound = |values: Option<Scalar>| nanos(values?, time?, epoch);
    let times = bound(view.min_values()).zip(bound(view.max_values()));
    let blur = BLUR.num_nanoseconds().unwrap_or_default();
    // A writer that got them wrong must not lose rows.
    let times = times.filter(|(min, max)| min <= max).map(|(min, max)| (min, max.saturating_add(blur)));
    Ok(LakeFile { meta, partition: None, times })
}

/// A bound of the column `time` in nanoseconds; `None` when the log does not tell.
fn nanos(values: Scalar, time: &str, epoch: EpochUnit) -> Option<i64> {
    let Scalar::Struct(values) = values else { return None };
    let values: &StructData = &values;
    let unit = match values.value(values.index_of(time)?)? {
        Scalar::Timestamp(micros) | Scalar::TimestampNtz(micros) => return micros.checked_mul(1_000),
        Scalar::Long(number) => (*number, epoch.nanos()),
        _ => return None,
    };
    unit.0.checked_mul(unit.1)
}

/// Refuses what the plain files do not show.
fn refuse_unknown(root: &Root, snapshot: &EagerSnapshot, columns: &Columns) -> Result<()> {
    let mapping = snapshot.table_properties().column_mapping_mode;
    if mapping.is_some_and(|mode| format!("{mode:?}") != "None") {
        return Err(refused(
            root,
            "column mapping: its files have other column names than the table",
            "write it to a table without (delta.columnMapping.mode = none)",
        ));
    }
    // As the log writes them; the types of the library are its own matter.
    let protocol = serde_json::to_value(snapshot.protocol()).unwrap_or_default();
    let features = protocol["readerFeatures"].as_array().cloned().unwrap_or_default();
    if let Some(feature) = features.iter().filter_map(|f| f.as_str()).find(|feature| !HARMLESS.contains(feature)) {
        return Err(refused(root, &format!("the feature {feature}"), "write it to a table without"));
    }
    let metadata = serde_json::to_value(snapshot.metadata()).unwrap_or_default();
    let partitioned = metadata["partitionColumns"].as_array().cloned().unwrap_or_default();
    for name in partitioned.iter().filter_map(|name| name.as_str()) {
        for column in 0..columns.len() {
            if columns.names(column).iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(refused(
                    root,
                    &format!("the partition column {name}, which the job reads and the files do not hold"),
                    "partition it by a column that the job does not read",
                )
                .with("column", columns.name(column)));
            }
        }
    }
    Ok(())
}

fn refused(root: &Root, what: &str, instead: &str) -> Error {
    Error::new(ErrorKind::SchemaMismatch, format!("the Delta table has {what}, which is not supported; {instead}"))
        .with("url", &root.display)
}

/// Whether a file of these times can hold a row of the half-open range; one that does not tell can.
pub(crate) fn may_hold(times: Option<(i64, i64)>, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
    let (from, to) = (crate::window::nanos(from), crate::window::nanos(to));
    times.is_none_or(|(earliest, latest)| earliest < to && latest >= from)
}
