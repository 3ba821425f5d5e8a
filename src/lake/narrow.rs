//! Footers of some columns: a wide file's is large, and a run over a year keeps those of all files.

use std::sync::Arc;

use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{FileMetaData, ParquetMetaData, RowGroupMetaData};
use datafusion::parquet::schema::types::{SchemaDescriptor, Type};

/// A footer as that of a file which has some root columns alone, in ascending order; chunks and pages lie where they are.
/// Nothing is left of the index of what is in pages, nor of the notes of the writer, such as Arrow's schema: who
/// reads by it has to say as what.
///
/// # Errors
/// When the footer does not fit itself.
pub(super) fn narrowed(footer: &ParquetMetaData, roots: &[usize]) -> Result<ParquetMetaData> {
    let (file, descriptor) = (footer.file_metadata(), footer.file_metadata().schema_descr());
    let is_kept = |leaf: &usize| roots.binary_search(&descriptor.get_column_root_idx(*leaf)).is_ok();
    let leaves: Vec<usize> = (0..descriptor.num_columns()).filter(is_kept).collect();

    let root = descriptor.root_schema();
    let fields = roots.iter().map(|root_column| Arc::clone(&root.get_fields()[*root_column])).collect();
    let root = Type::group_type_builder(root.name()).with_fields(fields).build()?;
    let descriptor = Arc::new(SchemaDescriptor::new(Arc::new(root)));
    let groups = footer.row_groups().iter().map(|group| {
        RowGroupMetaData::builder(Arc::clone(&descriptor))
            .set_num_rows(group.num_rows())
            .set_total_byte_size(group.total_byte_size())
            .set_column_metadata(leaves.iter().map(|leaf| group.column(*leaf).clone()).collect())
            .build()
    });
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let orders = file.column_orders().and_then(|orders| leaves.iter().map(|leaf| orders.get(*leaf).copied()).collect());
    let created_by = file.created_by().map(str::to_owned);
    let file = FileMetaData::new(file.version(), file.num_rows(), created_by, None, descriptor, orders);
    let places = footer.offset_index().map(|groups| {
        // A row group that lacks some has none.
        let of_group = |places: &Vec<_>| {
            let kept = leaves.iter().map(|leaf| places.get(*leaf).cloned());
            kept.collect::<Option<Vec<_>>>().unwrap_or_default()
        };
        groups.iter().map(of_group).collect()
    });
    Ok(ParquetMetaData::new(file, groups).into_builder().set_offset_index(places).build())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StructArray};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    };
    use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
    use datafusion::parquet::file::properties::WriterProperties;

    use super::*;

    /// Columns in two row groups of five rows, pages of two.
    fn file(columns: &[(String, ArrayRef)]) -> Bytes {
        let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, array)| (name, Arc::clone(array)))).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(5))
            .set_data_page_row_count_limit(2)
            .set_write_batch_size(2)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        Bytes::from(writer.into_inner().unwrap())
    }

    fn footer(file: &Bytes) -> ParquetMetaData {
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        reader.parse_and_finish(file).unwrap()
    }

    fn numbers(from: i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(from..from + 10))
    }

    #[test]
    fn columns_are_read_by_it_as_by_all_of_the_footer() {
        let of = |name: &str, from| (name.to_owned(), numbers(from));
        let field = |name, from| {
            (Arc::new(arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Int64, false)), numbers(from))
        };
        let nested = Arc::new(StructArray::from(vec![field("city", 100), field("country", 200)])) as ArrayRef;
        let file = file(&[of("a", 0), ("place".to_owned(), nested), of("b", 20), of("c", 30)]);
        let whole = footer(&file);
        let narrow = narrowed(&whole, &[1, 3]).unwrap();
        let read = |footer: &ParquetMetaData, columns: &[&str]| {
            let options = ArrowReaderOptions::new();
            let metadata = ArrowReaderMetadata::try_new(Arc::new(footer.clone()), options).unwrap();
            let rows = RowSelection::from_consecutive_ranges([1..3, 6..9].into_iter(), 10);
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata)
                .with_row_selection(rows)
                .build()
                .unwrap();
            let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
            let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
            columns.iter().map(|name| Arc::clone(batch.column_by_name(name).unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(read(&narrow, &["place", "c"]), read(&whole, &["place", "c"]));
        assert_eq!(read(&narrow, &["c"])[0].len(), 5);
        let names = narrow.file_metadata().schema_descr().columns().iter().map(|column| column.path().string());
        assert_eq!(names.collect::<Vec<_>>(), ["place.city", "place.country", "c"]);
        assert!(narrow.offset_index().unwrap().iter().all(|places| places.len() == 3));
    }

    #[test]
    fn it_is_as_small_as_that_of_a_file_with_no_other_columns() {
        let few = [("a".to_owned(), numbers(0)), ("b".to_owned(), numbers(10))];
        let many: Vec<_> =
            few.iter().cloned().chain((0..150).map(|extra| (format!("extra_{extra}"), numbers(extra)))).collect();
        let [few, many] = [&few[..], &many].map(|columns| footer(&file(columns)));
        let [few, narrow] = [&few, &many].map(|footer| narrowed(footer, &[0, 1]).unwrap().memory_size());
        assert_eq!(few, narrow);
        assert!(20 * narrow < many.memory_size(), "{narrow} of {}", many.memory_size());
    }
}
