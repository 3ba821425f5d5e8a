//! Footers as they are kept: a wide file's is large, and a run over a year keeps those of all files.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::{
    FileMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use datafusion::parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type, TypePtr};

/// Which columns of files of one schema are kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// The columns, in Parquet's terms.
    schema: SchemaDescPtr,
    /// Their leaves, by position in the file: roots are counted, leaves are stored.
    leaves: Vec<usize>,
}

impl Kept {
    /// Some root columns of files of a schema, in ascending order.
    ///
    /// # Errors
    /// When they make no schema.
    pub(super) fn new(whole: &TypePtr, roots: &[usize]) -> Result<Self> {
        let fields = roots.iter().map(|root| Arc::clone(&whole.get_fields()[*root])).collect();
        let schema = Type::group_type_builder(whole.name()).with_fields(fields).build()?;
        let whole = SchemaDescriptor::new(Arc::clone(whole));
        let is_kept = |leaf: &usize| roots.binary_search(&whole.get_column_root_idx(*leaf)).is_ok();
        let leaves = (0..whole.num_columns()).filter(is_kept).collect();
        Ok(Self { schema: Arc::new(SchemaDescriptor::new(Arc::new(schema))), leaves })
    }

    /// The leaves under one of the columns: by position in a footer that is kept, and in the file.
    pub(super) fn leaves_of(&self, root: usize) -> impl Iterator<Item = (usize, usize)> {
        let leaves = self.leaves.iter().copied().enumerate();
        leaves.filter(move |(leaf, _)| self.schema.get_column_root_idx(*leaf) == root)
    }
}

/// A footer, written again with what a scan needs: where the chunks and the pages of the columns that are kept lie in the file. Of two
/// columns in two row groups it takes 381 bytes, and 3,323 in memory as the engine has it; the schema is kept once for many files.
#[derive(Debug, Clone)]
pub(super) struct Footer {
    bytes: Bytes,
    /// Whether it tells where pages lie.
    pages: bool,
}

impl Footer {
    /// Of a footer, what is said of the columns that are kept.
    ///
    /// # Errors
    /// When the footer does not fit itself.
    pub(super) fn new(footer: &ParquetMetaData, kept: &Kept) -> Result<Self> {
        let few = of_few(footer, kept)?;
        let mut bytes = Vec::new();
        ParquetMetaDataWriter::new(&mut bytes, &few).with_write_path_in_schema(false).finish()?;
        Ok(Self { bytes: bytes.into_boxed_slice().into(), pages: few.offset_index().is_some() })
    }

    /// The footer. Nothing is left in it of statistics, nor of the notes of the writer, such as Arrow's schema: who reads by it
    /// has to say as what.
    ///
    /// # Errors
    /// When other columns were kept.
    pub(super) fn read(&self, kept: &Kept) -> Result<ParquetMetaData> {
        // Where no index was read, its place is that in the file.
        let pages = if self.pages { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        ParquetMetaDataReader::new()
            .with_metadata_options(Some(ParquetMetaDataOptions::new().with_schema(Arc::clone(&kept.schema))))
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(pages)
            .parse_and_finish(&self.bytes)
    }
}

/// A footer as that of a file with few columns; chunks and pages lie where they are.
fn of_few(footer: &ParquetMetaData, kept: &Kept) -> Result<ParquetMetaData> {
    let groups = footer.row_groups().iter().map(|group| {
        let chunk = |leaf: &usize| {
            group.column(*leaf).clone().into_builder().clear_statistics().clear_page_encoding_stats().build()
        };
        RowGroupMetaData::builder(Arc::clone(&kept.schema))
            .set_num_rows(group.num_rows())
            .set_total_byte_size(group.total_byte_size())
            .set_column_metadata(kept.leaves.iter().map(chunk).collect::<Result<_>>()?)
            .build()
    });
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let file = footer.file_metadata();
    let created_by = file.created_by().map(str::to_owned);
    let file = FileMetaData::new(file.version(), file.num_rows(), created_by, None, Arc::clone(&kept.schema), None);
    // If one chunk's pages are not told, none are.
    let pages = footer.offset_index().and_then(|groups| {
        let of_group = |pages: &Vec<_>| kept.leaves.iter().map(|leaf| pages.get(*leaf).cloned()).collect();
        groups.iter().map(of_group).collect()
    });
    Ok(ParquetMetaData::new(file, groups).into_builder().set_offset_index(pages).build())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StructArray};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    };
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

    /// The footer as it comes back with some of its columns.
    fn again(footer: &ParquetMetaData, roots: &[usize]) -> ParquetMetaData {
        let kept = Kept::new(&footer.file_metadata().schema_descr().root_schema_ptr(), roots).unwrap();
        Footer::new(footer, &kept).unwrap().read(&kept).unwrap()
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
        let few = again(&whole, &[1, 3]);
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
        assert_eq!(read(&few, &["place", "c"]), read(&whole, &["place", "c"]));
        assert_eq!(read(&few, &["c"])[0].len(), 5);
        let names = few.file_metadata().schema_descr().columns().iter().map(|column| column.path().string());
        assert_eq!(names.collect::<Vec<_>>(), ["place.city", "place.country", "c"]);
        for (group, pages) in few.offset_index().unwrap().iter().enumerate() {
            let of_file = &whole.offset_index().unwrap()[group];
            assert_eq!(pages, &[1, 2, 4].map(|leaf| of_file[leaf].clone()));
        }
    }

    #[test]
    fn without_an_index_of_pages_there_is_none() {
        let file = file(&[("a".to_owned(), numbers(0)), ("b".to_owned(), numbers(10))]);
        let unread = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
        assert!(unread.row_group(0).column(0).offset_index_offset().is_some(), "the file has one");
        let few = again(&unread, &[1]);
        assert_eq!((few.num_row_groups(), few.offset_index()), (2, None));
        // Of one row group only.
        let whole = footer(&file);
        let pages = vec![whole.offset_index().unwrap()[0].clone(), Vec::new()];
        let half = whole.into_builder().set_offset_index(Some(pages)).build();
        assert_eq!(again(&half, &[1]).offset_index(), None);
    }

    #[test]
    fn it_is_as_small_as_that_of_a_file_with_no_other_columns() {
        let few = [("a".to_owned(), numbers(0)), ("b".to_owned(), numbers(10))];
        let many: Vec<_> =
            few.iter().cloned().chain((0..150).map(|extra| (format!("extra_{extra}"), numbers(extra)))).collect();
        let [few, many] = [&few[..], &many].map(|columns| footer(&file(columns)));
        let [few, kept] = [&few, &many].map(|whole| {
            let kept = Kept::new(&whole.file_metadata().schema_descr().root_schema_ptr(), &[0, 1]).unwrap();
            Footer::new(whole, &kept).unwrap().bytes.len()
        });
        // Where something lies in a longer file is a longer number.
        assert!(few.abs_diff(kept) <= 64, "{kept} and {few}");
        assert!(8 * kept < again(&many, &[0, 1]).memory_size(), "{kept}");
    }

    #[test]
    fn a_file_without_row_groups_is_kept() {
        let file = file(&[("a".to_owned(), Arc::new(Int64Array::from_iter_values(0..0)))]);
        assert_eq!(again(&footer(&file), &[0]).num_row_groups(), 0);
    }
}
