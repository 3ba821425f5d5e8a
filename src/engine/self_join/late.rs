//! What first events are asked once they have matches: texts without dictionaries, most of which nobody needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;

use super::codes::Codes;
use super::index::Match;
use super::rows::{Column, Rows, TextColumn};
use super::seen::Seen;
use super::spec::{Side, Spec};

/// The values that first events with matches have had, by column of the scan.
#[derive(Debug, Default)]
pub(super) struct Late(BTreeMap<usize, Seen>);

impl Late {
    /// The rows of a slice with all columns of the first events that are `found`, by batch. Matches of those that do not
    /// pass their side's conditions are dropped.
    pub(super) fn ask(
        &mut self,
        spec: &Spec,
        codes: &Codes,
        memory: &MemoryReservation,
        rows: &[Arc<Rows>],
        found: &mut [Vec<Match>],
    ) -> Result<Vec<Arc<Rows>>> {
        let mut rows = rows.to_vec();
        for column in 0..spec.schema.fields().len() {
            let is_late =
                |rows: &Arc<Rows>| matches!(&rows.columns[column], Column::Text(text) if text.late().is_some());
            if rows.iter().any(is_late) {
                self.ask_for(column, spec, codes, memory, &mut rows, found)?;
            }
        }
        Ok(rows)
    }

    fn ask_for(
        &mut self,
        column: usize,
        spec: &Spec,
        codes: &Codes,
        memory: &MemoryReservation,
        rows: &mut [Arc<Rows>],
        found: &mut [Vec<Match>],
    ) -> Result<()> {
        let seen = self.0.entry(column).or_default();
        seen.forget_many();
        let mut places = Vec::with_capacity(rows.len());
        for (rows, found) in rows.iter().zip(&*found) {
            let Some(texts) = rows.text(column)?.late() else {
                places.push(None);
                continue;
            };
            let mut of_batch = vec![0; texts.len()];
            for row in found.iter().map(|found| found.first.row as usize).filter(|row| texts.is_valid(*row)) {
                of_batch[row] = seen.number_of(texts, row);
            }
            places.push(Some(of_batch));
        }
        let dictionary = seen.dictionary(spec, codes, column, memory.new_empty())?;
        for ((rows, found), places) in rows.iter_mut().zip(found).zip(places) {
            let Some(mut places) = places else { continue };
            if let Some(nulls) = rows.text(column)?.late().and_then(|texts| texts.nulls()) {
                (!nulls.inner()).set_indices().for_each(|row| places[row] = dictionary.null());
            }
            if let Some(sides) = dictionary.sides() {
                let passes = |row: u32| sides.of[places[row as usize] as usize] & Side::First.bit() != 0;
                found.retain(|found| passes(found.first.row));
            }
            let text = TextColumn::of_places(places, Arc::clone(&dictionary));
            *rows = Arc::new(rows.as_ref().clone().with_firsts(column, text, memory.new_empty())?);
        }
        Ok(())
    }
}
