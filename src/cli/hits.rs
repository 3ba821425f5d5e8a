//! `lakehunt hits`

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray};
use datafusion::arrow::compute::{cast, concat_batches, filter_record_batch};
use datafusion::arrow::csv::WriterBuilder as CsvWriterBuilder;
use datafusion::arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::arrow::util::display::{DurationFormat, FormatOptions};
use datafusion::arrow::util::pretty::pretty_format_batches_with_options;

use super::args::{HitsArgs, HitsFormat};
use super::{output, settings};
use crate::error::{Error, ErrorKind, Result, suggestion};
use crate::report::markdown;
use crate::sink::HitReader;
use crate::window::parse_instant;

/// Repeats of other columns that KQL's answer has for Sentinel's entity mapping; a table leaves them out.
const REPEATED: [&str; 3] = ["timestamp", "AccountCustomEntity", "IPCustomEntity"];

/// Characters of a text that a table shows.
const WIDEST: usize = 26;

pub(super) async fn hits(args: HitsArgs) -> Result<()> {
    let from = args.from.as_deref().map(parse_instant).transpose()?;
    let to = args.to.as_deref().map(parse_instant).transpose()?;
    let stores = settings::stores(&args.stores, None)?;
    let spec = settings::output_store(args.job.as_deref());
    let reader = HitReader::open(&stores, &args.output, &spec).await?;
    let mut batches = Vec::new();
    for file in reader.files(args.job.as_deref()).await? {
        for batch in reader.read(&file, from, to).await? {
            let batch = if args.kql { kql_rows(&batch)? } else { batch };
            let batch = select(&batch, &args.columns, args.format)?;
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
    }
    output::write(&encode(&batches, args.format)?)
}

/// The rows in the form that was asked for.
pub(super) fn encode(batches: &[RecordBatch], format: HitsFormat) -> Result<Vec<u8>> {
    // Jobs have columns of their own; only lines of JSON can mix them.
    let tables: Vec<&[RecordBatch]> = batches.chunk_by(|a, b| a.schema_ref() == b.schema_ref()).collect();
    Ok(match format {
        HitsFormat::Table if tables.is_empty() => b"no hits\n".to_vec(),
        HitsFormat::Table => {
            let texts = tables.iter().map(|rows| table(rows)).collect::<Result<Vec<_>>>()?;
            format!("{}\n", texts.join("\n\n")).into_bytes()
        }
        HitsFormat::Markdown if tables.is_empty() => b"no hits\n".to_vec(),
        HitsFormat::Markdown => {
            let texts = tables.iter().map(|rows| markdown(rows).map_err(failed)).collect::<Result<Vec<_>>>()?;
            texts.join("\n").into_bytes()
        }
        HitsFormat::Csv if tables.len() > 1 => {
            return Err(Error::new(
                ErrorKind::Usage,
                "the output holds jobs with different columns; choose one with --job",
            ));
        }
        HitsFormat::Jsonl => {
            let mut writer = LineDelimitedWriter::new(Vec::new());
            writer.write_batches(&batches.iter().collect::<Vec<_>>()).and_then(|()| writer.finish()).map_err(failed)?;
            writer.into_inner()
        }
        HitsFormat::Csv => {
            let mut writer = CsvWriterBuilder::new().with_header(true).build(Vec::new());
            for batch in batches {
                writer.write(batch).map_err(failed)?;
            }
            writer.into_inner()
        }
    })
}

/// The rows as a table; times are UTC, cut to milliseconds for the eye.
pub(super) fn table(batches: &[RecordBatch]) -> Result<String> {
    if batches.is_empty() {
        return Ok("no hits".to_owned());
    }
    let options = FormatOptions::default()
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.3f"))
        .with_duration_format(DurationFormat::Pretty);
    pretty_format_batches_with_options(batches, &options).map(|table| table.to_string()).map_err(failed)
}

/// The rows that KQL's own answer has: `kql_rank = 1`.
fn kql_rows(batch: &RecordBatch) -> Result<RecordBatch> {
    let Some(rank) = batch.column_by_name("kql_rank") else { return Ok(batch.clone()) };
    let rank = cast(rank, &DataType::Int64).map_err(failed)?;
    let first: BooleanArray = rank.as_primitive::<Int64Type>().iter().map(|rank| Some(rank == Some(1))).collect();
    filter_record_batch(batch, &first).map_err(failed)
}

/// The columns to print: those that were asked for; for a person, else the hit's own values and its rarity.
pub(super) fn select(batch: &RecordBatch, asked: &[String], format: HitsFormat) -> Result<RecordBatch> {
    let for_people = matches!(format, HitsFormat::Table | HitsFormat::Markdown);
    let schema: &Arc<Schema> = batch.schema_ref();
    let position = |name: &str| schema.index_of(name).ok();
    let columns: Vec<usize> = if !asked.is_empty() {
        asked
            .iter()
            .map(|name| {
                position(name).ok_or_else(|| {
                    let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                    Error::new(ErrorKind::Usage, format!("the hits have no column `{name}`{}", suggestion(name, known)))
                })
            })
            .collect::<Result<_>>()?
    } else if for_people {
        let values = position("window_start").unwrap_or(schema.fields().len());
        let own = (0..values).filter(|index| !REPEATED.contains(&schema.field(*index).name().as_str()));
        own.chain(position("distribution_count")).collect()
    } else {
        (0..schema.fields().len()).collect()
    };
    let chosen = batch.project(&columns).map_err(failed)?;
    if matches!(format, HitsFormat::Table) { shorten(&chosen) } else { Ok(chosen) }
}

/// Cuts long texts, so that a table's lines stay lines.
fn shorten(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.as_string_opt::<i32>() {
            None => Arc::clone(column),
            Some(texts) => {
                let cut = texts.iter().map(|text| {
                    text.map(|text| match text.char_indices().nth(WIDEST) {
                        Some((end, _)) => format!("{}…", text[..end].trim_end()),
                        None => text.to_owned(),
                    })
                });
                Arc::new(cut.collect::<StringArray>())
            }
        })
        .collect();
    RecordBatch::try_new(batch.schema(), columns).map_err(failed)
}

/// Joins the batches of several windows.
pub(super) fn concat(batches: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    batches.first().map(|first| concat_batches(&first.schema(), batches).map_err(failed)).transpose()
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Engine, "the hits cannot be shown").caused_by(error)
}
