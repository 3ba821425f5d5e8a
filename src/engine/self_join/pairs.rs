//! Pairs out of matches: which differ where they must, which pass the filter; and pairs as rows.

use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::compute::{BatchCoalescer, filter_record_batch};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{Result, exec_datafusion_err};

use super::codes::NULL;
use super::gather::{Pairs, Place, SideColumns};
use super::index::{Index, Match};
use super::rows::Rows;
use super::spec::Spec;

/// The codes of a text at some rows.
pub(super) fn codes(
    spec: &Spec,
    rows: &[Arc<Rows>],
    text: usize,
    places: impl Iterator<Item = Place>,
) -> Result<Vec<u32>> {
    let column = spec.texts[text].lifted.column;
    let columns = rows.iter().map(|rows| {
        let column = rows.text(column)?;
        Ok((column.places(), column.dictionary.text(text)?.codes.as_slice()))
    });
    let columns = columns.collect::<Result<Vec<(&[i32], &[u32])>>>()?;
    Ok(places
        .map(|place| {
            let (keys, codes) = columns[place.batch as usize];
            codes[keys[place.row as usize] as usize]
        })
        .collect())
}

/// Codes of the events that are `reached`, by the number of the event.
pub(super) fn by_event(index: &Index<'_>, reached: &[u32], codes: &[u32]) -> Vec<u32> {
    let mut all = vec![NULL; index.places().len()];
    reached.iter().zip(codes).for_each(|(event, code)| all[*event as usize] = *code);
    all
}

/// The texts of the later events that those of their first events must differ from.
pub(super) struct Apart<'a> {
    spec: &'a Spec,
    then: Vec<Vec<u32>>,
}

/// The texts of the first events of some matches.
pub(super) struct Firsts(Vec<Vec<u32>>);

impl<'a> Apart<'a> {
    /// Of the events that are `reached`.
    pub(super) fn new(spec: &'a Spec, index: &Index<'_>, reached: &[u32]) -> Result<Self> {
        let then = spec.apart.iter().map(|(_, text)| {
            let places = reached.iter().map(|event| index.places()[*event as usize]);
            Ok(by_event(index, reached, &codes(spec, index.rows(), *text, places)?))
        });
        Ok(Self { spec, then: then.collect::<Result<_>>()? })
    }

    pub(super) fn firsts(&self, index: &Index<'_>, matches: &[Match]) -> Result<Firsts> {
        let first = self.spec.apart.iter();
        let first = first.map(|(text, _)| codes(self.spec, index.rows(), *text, matches.iter().map(|m| m.first)));
        Ok(Firsts(first.collect::<Result<_>>()?))
    }

    /// Whether a match and one of its later events differ. Null differs from nothing.
    pub(super) fn differ(&self, firsts: &Firsts, found: usize, event: usize) -> bool {
        firsts.0.iter().zip(&self.then).all(|(first, then)| {
            let (first, then) = (first[found], then[event]);
            first != then && first != NULL && then != NULL
        })
    }
}

/// Which of some pairs pass the filter; all of them where there is none.
pub(super) fn passing(spec: &Spec, columns: &SideColumns<'_, Arc<Rows>>) -> Result<Option<BooleanArray>> {
    let Some(filter) = &spec.filter else { return Ok(None) };
    let batch = columns.of_filter(filter)?;
    let passes = filter.expression().evaluate(&batch)?.into_array(batch.num_rows())?;
    let passes = as_boolean_array(&passes)
        .map_err(|_| exec_datafusion_err!("a filter gives {} instead of a boolean", passes.data_type()))?;
    Ok(Some(passes.clone()))
}

/// Pairs as rows of the join.
pub(super) struct Output {
    spec: Arc<Spec>,
    batches: BatchCoalescer,
}

impl Output {
    pub(super) fn new(spec: Arc<Spec>, batch_size: usize) -> Self {
        let batches = BatchCoalescer::new(Arc::clone(&spec.output_schema), batch_size);
        Self { spec, batches }
    }

    pub(super) fn push(&mut self, rows: &[Arc<Rows>], pairs: &Pairs) -> Result<()> {
        if pairs.len() == 0 {
            return Ok(());
        }
        let columns = SideColumns::new(&self.spec, rows, pairs)?;
        let mut batch = columns.output()?;
        if let Some(passes) = passing(&self.spec, &columns)? {
            batch = filter_record_batch(&batch, &passes)?;
        }
        Ok(self.batches.push_batch(batch)?)
    }

    /// The next full batch.
    pub(super) fn next(&mut self) -> Option<RecordBatch> {
        self.batches.next_completed_batch()
    }

    /// Makes a batch of what is left.
    pub(super) fn finish(&mut self) -> Result<()> {
        Ok(self.batches.finish_buffered_batch()?)
    }
}
