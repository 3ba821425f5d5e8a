//! Pairs counted by group as they are found, instead of given as rows: the first phase of an aggregation above the join.
//!
//! A common group has millions of pairs, and all that is asked of most of them is that they were there.

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray, UInt32Array};
use datafusion::arrow::compute::{cast, concat, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, UInt32Type};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_plan::repartition::BatchPartitioner;
use hashbrown::HashTable;

use super::codes::Codes;
use super::gather::{Pairs, Place, SideColumns};
use super::index::{Index, Match};
use super::pairs::{Apart, by_event, codes, passing};
use super::rows::Rows;
use super::spec::{Side, Spec, alone};
use crate::functions::Lists;

/// Pairs that are turned into values at once.
const BATCH: usize = 8192;

/// Pairs that are worth turning into values, and rows that may be held until there are as many. The pairs of a slice alone
/// are few, as a rule, and each turn costs as much as some hundred of them.
const WORTH: usize = 1024;
const HELD: usize = 1 << 16;

/// What a side's rows are grouped by.
#[derive(Debug, Clone)]
pub(super) enum Grouping {
    /// A text, by position in the spec.
    Text(usize),
    /// A time that follows from the row's, over a batch of the time alone.
    Time(PhysicalExprRef),
}

/// What is asked of a group.
#[derive(Debug, Clone)]
pub(super) enum Aggregate {
    /// How many pairs it has.
    Count,
    /// All of its values, or one; over the join's output.
    AllOrOne { value: PhysicalExprRef, item: FieldRef, limit: usize },
}

/// An aggregation of the pairs.
#[derive(Debug, Clone)]
pub(super) struct CountSpec {
    /// By side: first, then.
    pub(super) groupings: [Vec<Grouping>; 2],
    /// The group's columns over the join's output.
    pub(super) groups: Vec<PhysicalExprRef>,
    pub(super) aggregates: Vec<Aggregate>,
    /// The states of a first phase: the group's columns, then each aggregate's.
    pub(super) schema: SchemaRef,
    /// Of the groups' columns, for people.
    pub(super) names: Vec<String>,
}

/// The later events of a slice as the counter sees them.
pub(super) struct Events<'a> {
    index: &'a Index<'a>,
    apart: Apart<'a>,
    groups: Vec<u32>,
}

/// The groups that one task has found.
pub(super) struct Counter {
    spec: Arc<Spec>,
    count: Arc<CountSpec>,
    codes: Arc<Codes>,
    /// Group by the codes of both sides: by that of the later one, and in it by that of the first. Neighbours in time are
    /// of one window, so a few of these tables are in use at a time, and stay in the cache.
    tables: Vec<HashTable<(u32, u32)>>,
    /// Bytes that they have.
    table_bytes: usize,
    counts: Vec<i64>,
    lists: Vec<Lists>,
    /// By column of the group, values in the order of the groups.
    values: Vec<Vec<ArrayRef>>,
    value_bytes: usize,
    valued: usize,
    /// Pairs that lists may keep, and the groups that they belong to.
    pending: Pairs,
    pending_groups: Vec<u32>,
    /// The batches in which they stand: of the slice that is joined, after those of slices before it.
    held: Vec<Arc<Rows>>,
    /// Where those of the slice begin.
    slice: usize,
    /// Pairs of a group beyond it change nothing but its count.
    enough: i64,
    memory: MemoryReservation,
}

impl Counter {
    pub(super) fn new(spec: Arc<Spec>, count: Arc<CountSpec>, codes: Arc<Codes>, memory: MemoryReservation) -> Self {
        let lists = count.aggregates.iter().filter_map(|aggregate| match aggregate {
            Aggregate::Count => None,
            Aggregate::AllOrOne { item, limit, .. } => Some((Lists::new(Arc::clone(item), *limit), *limit)),
        });
        let (lists, limits): (Vec<_>, Vec<_>) = lists.unzip();
        // One more than the limit tells a list that its group is over.
        let enough = limits.into_iter().max().unwrap_or_default().saturating_add(1);
        Self {
            values: vec![Vec::new(); count.groups.len()],
            tables: Vec::new(),
            table_bytes: 0,
            value_bytes: 0,
            counts: Vec::new(),
            lists,
            valued: 0,
            pending: Pairs::default(),
            pending_groups: Vec::new(),
            held: Vec::new(),
            slice: 0,
            enough: i64::try_from(enough).unwrap_or(i64::MAX),
            spec,
            count,
            codes,
            memory,
        }
    }

    /// Begins with a slice, of which these later events are `reached`.
    pub(super) fn begin<'a>(&mut self, spec: &'a Spec, index: &'a Index<'a>, reached: &[u32]) -> Result<Events<'a>> {
        self.slice = self.held.len();
        self.held.extend(index.rows().iter().map(Arc::clone));
        let apart = Apart::new(spec, index, reached)?;
        let places: Vec<Place> = reached.iter().map(|event| index.places()[*event as usize]).collect();
        let groups = by_event(index, reached, &self.groups(index.rows(), Side::Then, &places)?);
        Ok(Events { index, apart, groups })
    }

    /// The codes of the groups of some rows of a side.
    fn groups(&self, rows: &[Arc<Rows>], side: Side, places: &[Place]) -> Result<Vec<u32>> {
        let mut groups: Option<Vec<u32>> = None;
        for grouping in &self.count.groupings[usize::from(side == Side::Then)] {
            let codes = match grouping {
                Grouping::Text(text) => codes(&self.spec, rows, *text, places.iter().copied())?,
                Grouping::Time(expression) => {
                    let times = places.iter().map(|place| rows[place.batch as usize].times[place.row as usize]);
                    self.codes.of_numbers(self.times(expression, times.collect())?.iter())?
                }
            };
            groups = Some(match groups {
                None => codes,
                Some(groups) => self.codes.of_pairs(&groups, &codes)?,
            });
        }
        Ok(groups.unwrap_or_else(|| vec![0; places.len()]))
    }

    fn times(&self, expression: &PhysicalExprRef, times: Vec<i64>) -> Result<Int64Array> {
        let schema = alone(&self.spec.schema, self.spec.time);
        let times = TimestampNanosecondArray::from(times).with_data_type(schema.field(0).data_type().clone());
        let batch = RecordBatch::try_new(schema, vec![Arc::new(times)])?;
        let times = expression.evaluate(&batch)?.into_array(batch.num_rows())?;
        Ok(cast(&times, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    /// Counts the pairs of some matches. Ends early, with the number of matches done, when there was much to do.
    pub(super) fn add(&mut self, events: &Events<'_>, matches: &[Match], much: usize) -> Result<(usize, u64)> {
        let places: Vec<Place> = matches.iter().map(|found| found.first).collect();
        let groups = self.groups(events.index.rows(), Side::First, &places)?;
        let firsts = events.apart.firsts(events.index, matches)?;
        let (mut work, mut pairs) = (0, 0);
        for (number, found) in matches.iter().enumerate() {
            if self.spec.filter.is_some() {
                pairs += self.add_filtered(events, matches, number, groups[number], &firsts)?;
            } else {
                // Neighbours are often of one group.
                let mut last: Option<(u32, u32)> = None;
                for event in events.index.later(found) {
                    let event = *event as usize;
                    if !events.apart.differ(&firsts, number, event) {
                        continue;
                    }
                    pairs += 1;
                    let then = events.groups[event];
                    let group = match last {
                        Some((same, group)) if same == then => group,
                        _ => self.group(groups[number], then),
                    };
                    last = Some((then, group));
                    self.count(group, found.first, events.index.places()[event]);
                }
            }
            if self.pending.len() >= BATCH {
                self.flush()?;
                self.held.drain(..std::mem::take(&mut self.slice));
            }
            work += found.len();
            if work >= much {
                return Ok((number + 1, pairs));
            }
        }
        Ok((matches.len(), pairs))
    }

    /// Counts the pairs of a match that pass the filter.
    fn add_filtered(
        &mut self,
        events: &Events<'_>,
        matches: &[Match],
        number: usize,
        group: u32,
        firsts: &super::pairs::Firsts,
    ) -> Result<u64> {
        let found = matches[number];
        let mut counted = 0;
        let all = events.index.later(&found).iter().map(|event| *event as usize);
        let all: Vec<usize> = all.filter(|event| events.apart.differ(firsts, number, *event)).collect();
        for some in all.chunks(BATCH) {
            let mut pairs = Pairs::default();
            some.iter().for_each(|event| pairs.push(found.first, events.index.places()[*event]));
            let passes = passing(&self.spec, &SideColumns::new(&self.spec, events.index.rows(), &pairs)?)?;
            for (at, event) in some.iter().enumerate() {
                if passes.as_ref().is_none_or(|passes| passes.is_valid(at) && passes.value(at)) {
                    let group = self.group(group, events.groups[*event]);
                    self.count(group, found.first, events.index.places()[*event]);
                    counted += 1;
                }
            }
        }
        Ok(counted)
    }

    /// The number of a group, new if need be.
    fn group(&mut self, first: u32, then: u32) -> u32 {
        // The table's place follows from the low bits, its tags from the high ones.
        let hash = |first: u32| u64::from(first).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        // Codes are small numbers, but for that of null.
        let then = then.wrapping_add(1) as usize;
        if self.tables.len() <= then {
            self.tables.resize_with(then + 1, HashTable::new);
        }
        let table = &mut self.tables[then];
        if let Some((_, group)) = table.find(hash(first), |(other, _)| *other == first) {
            return *group;
        }
        let group = self.counts.len() as u32;
        self.table_bytes -= table.allocation_size();
        table.insert_unique(hash(first), (first, group), |(first, _)| hash(*first));
        self.table_bytes += table.allocation_size();
        self.counts.push(0);
        group
    }

    fn count(&mut self, group: u32, first: Place, then: Place) {
        let count = &mut self.counts[group as usize];
        *count += 1;
        if *count <= self.enough {
            let held = |place: Place| Place { batch: place.batch + self.slice as u32, ..place };
            self.pending.push(held(first), held(then));
            self.pending_groups.push(group);
        }
    }

    /// Ends with a slice: its rows may be held for a while.
    pub(super) fn end(&mut self) -> Result<()> {
        let held = || self.held.iter().map(|rows| rows.times.len()).sum::<usize>();
        if self.pending.len() == 0 || self.pending.len() >= WORTH || held() >= HELD { self.let_go() } else { Ok(()) }
    }

    /// Holds no rows from here on.
    pub(super) fn let_go(&mut self) -> Result<()> {
        self.flush()?;
        self.held.clear();
        Ok(())
    }

    /// Turns pairs into values.
    fn flush(&mut self) -> Result<()> {
        let all = std::mem::take(&mut self.pending);
        let mut pairs = Pairs::default();
        let mut groups = Vec::new();
        let mut over = Vec::new();
        // The first pair of each new group, in the order of the groups' numbers.
        let mut new: Vec<u32> = Vec::new();
        for (at, group) in std::mem::take(&mut self.pending_groups).into_iter().enumerate() {
            let is_new = group as usize == self.valued + new.len();
            let is_over = self.counts[group as usize] >= self.enough;
            if is_over {
                over.push(group as usize);
            }
            if is_new {
                new.push(groups.len() as u32);
            }
            // Of a group that is over, one is enough.
            if is_new || !is_over {
                pairs.push(all.first[at], all.then[at]);
                groups.push(group);
            }
        }
        if groups.is_empty() && over.is_empty() {
            return Ok(());
        }
        let batch = SideColumns::new(&self.spec, &self.held, &pairs)?.output()?;
        let value = |expression: &PhysicalExprRef| expression.evaluate(&batch)?.into_array(batch.num_rows());
        let new = UInt32Array::from(new);
        for (values, expression) in self.values.iter_mut().zip(&self.count.groups) {
            let value = take(&value(expression)?, &new, None)?;
            self.value_bytes += value.get_array_memory_size();
            values.push(value);
        }
        self.valued += new.len();
        let values = self.count.aggregates.iter().filter_map(|aggregate| match aggregate {
            Aggregate::Count => None,
            Aggregate::AllOrOne { value, .. } => Some(value),
        });
        for (lists, expression) in self.lists.iter_mut().zip(values) {
            let given = groups.iter().enumerate().map(|(row, group)| (*group as usize, row));
            lists.extend(&value(expression)?, given)?;
            over.iter().for_each(|group| lists.overflow(*group));
        }
        self.memory.try_resize(self.size())
    }

    fn size(&self) -> usize {
        let tables = self.tables.capacity() * size_of::<HashTable<(u32, u32)>>() + self.table_bytes;
        let lists = self.lists.iter().map(GroupsAccumulator::size).sum::<usize>();
        tables + self.counts.capacity() * size_of::<i64>() + self.value_bytes + lists
    }

    /// The states of all groups, by the number of the output that `partitioner` gives them; without one, of output 0. Nothing
    /// is left.
    pub(super) fn finish(&mut self, partitioner: Option<BatchPartitioner>) -> Result<Vec<(usize, RecordBatch)>> {
        self.let_go()?;
        let fields = &self.count.schema.fields()[..self.values.len()];
        let mut columns = Vec::with_capacity(fields.len() + 1);
        for (values, field) in self.values.iter_mut().zip(fields) {
            let values = std::mem::take(values);
            let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
            columns.push(match values.is_empty() {
                true => datafusion::arrow::array::new_empty_array(field.data_type()),
                false => concat(&values)?,
            });
        }
        columns.push(Arc::new(UInt32Array::from_iter_values(0..self.counts.len() as u32)));
        let number: FieldRef = Arc::new(Field::new("number", DataType::UInt32, false));
        let schema = Schema::new(fields.iter().cloned().chain([number]).collect::<Vec<_>>());
        let groups = RecordBatch::try_new(Arc::new(schema), columns)?;
        let mut parts = Vec::new();
        match partitioner {
            None => parts.push((0, groups)),
            Some(mut partitioner) => partitioner.partition(groups, |output, groups| {
                parts.push((output, groups));
                Ok(())
            })?,
        }
        let states = parts.into_iter().map(|(output, groups)| Ok((output, self.states(&groups)?)));
        let states = states.collect::<Result<_>>()?;
        self.tables = Vec::new();
        self.lists = Vec::new();
        self.counts = Vec::new();
        self.memory.free();
        Ok(states)
    }

    /// The states of some groups: their columns, and last their numbers.
    fn states(&self, groups: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = groups.columns().to_vec();
        let numbers = columns.pop();
        let numbers = numbers.as_ref().map_or(&[][..], |numbers| numbers.as_primitive::<UInt32Type>().values());
        let numbers = || numbers.iter().map(|number| *number as usize);
        let mut lists = self.lists.iter();
        for aggregate in &self.count.aggregates {
            match aggregate {
                Aggregate::Count => {
                    columns.push(Arc::new(Int64Array::from_iter_values(numbers().map(|group| self.counts[group]))));
                }
                Aggregate::AllOrOne { .. } => {
                    if let Some(lists) = lists.next() {
                        columns.extend(lists.state_of(numbers())?);
                    }
                }
            }
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.count.schema), columns)?)
    }
}
