//! `all_or_one(value, limit)`: what a rare group holds, and an example of a common one.

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt32Array, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{concat, interleave, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

/// A list of all values of a group if there are at most `limit`, else of one of them, whichever; in no order. `limit` is
/// a constant, and nulls are values like others.
///
/// So a distribution keeps the rows of its rare keys while it counts what is common, in one pass, and a common key takes
/// no more memory than a rare one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct AllOrOne {
    signature: Signature,
}

impl AllOrOne {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The limit of a call of `all_or_one` with these arguments; below zero is as zero.
pub(crate) fn limit_of(arguments: &[Arc<dyn PhysicalExpr>]) -> Result<usize> {
    let literal = arguments.get(1).and_then(|limit| limit.downcast_ref::<Literal>());
    match literal.map(Literal::value) {
        Some(ScalarValue::Int64(Some(limit))) => Ok(usize::try_from(*limit).unwrap_or_default()),
        _ => plan_err!("all_or_one takes a constant whole number as limit"),
    }
}

impl AggregateUDFImpl for AllOrOne {
    fn name(&self) -> &str {
        "all_or_one"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, limit] if limit.is_integer() => Ok(vec![value.clone(), DataType::Int64]),
            [_, limit] => plan_err!("all_or_one takes a whole number as limit, not {limit}"),
            _ => plan_err!("all_or_one takes (value, limit), not {} arguments", types.len()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [value, _] = types else { return plan_err!("all_or_one takes (value, limit)") };
        Ok(DataType::List(item(value)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let state = |name, data_type: &DataType| {
            Arc::new(Field::new(format_state_name(args.name, name), data_type.clone(), true))
        };
        Ok(vec![state("values", args.return_field.data_type()), state("over", &DataType::Boolean)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(lists(&args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(lists(&args)?))
    }
}

fn item(value: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(value.clone(), true))
}

fn lists(args: &AccumulatorArgs) -> Result<Lists> {
    if args.is_distinct || !args.order_bys.is_empty() {
        return plan_err!("all_or_one knows neither DISTINCT nor ORDER BY");
    }
    match args.return_field.data_type() {
        DataType::List(item) => Ok(Lists::new(Arc::clone(item), limit_of(args.exprs)?)),
        other => internal_err!("all_or_one gives lists, not {other}"),
    }
}

/// Where a value stands: the chunk, and the row in it.
type Place = (usize, usize);

/// What is known of a group.
#[derive(Debug, Clone, Default)]
struct Group {
    places: Vec<Place>,
    /// It has more values than the limit, and `places` is one of them.
    over: bool,
}

/// The lists of all groups.
#[derive(Debug)]
pub(crate) struct Lists {
    item: FieldRef,
    limit: usize,
    groups: Vec<Group>,
    /// The values that groups point to, and those of groups that have come over the limit since.
    chunks: Vec<ArrayRef>,
    bytes: usize,
    rows: usize,
    /// How many of `rows` a group points to.
    live: usize,
}

impl Lists {
    /// Without any group. `item` is the field of the lists.
    pub(crate) fn new(item: FieldRef, limit: usize) -> Self {
        Self { item, limit, groups: Vec::new(), chunks: Vec::new(), bytes: 0, rows: 0, live: 0 }
    }

    fn grow(&mut self, groups: usize) {
        if self.groups.len() < groups {
            self.groups.resize(groups, Group::default());
        }
    }

    /// Gives a value that will stand at `place` to a group; whether it is kept.
    fn push(&mut self, group: usize, place: Place) -> bool {
        self.grow(group + 1);
        let group = &mut self.groups[group];
        if group.over {
            return false;
        }
        if group.places.len() < self.limit {
            group.places.push(place);
            self.live += 1;
            return true;
        }
        group.over = true;
        let keeps = group.places.is_empty();
        if keeps {
            group.places.push(place);
            self.live += 1;
        } else {
            self.live -= group.places.len() - 1;
            group.places = vec![group.places[0]];
        }
        keeps
    }

    /// The group has more values than the limit.
    pub(crate) fn overflow(&mut self, group: usize) {
        self.grow(group + 1);
        let group = &mut self.groups[group];
        group.over = true;
        self.live -= group.places.len().saturating_sub(1);
        group.places.truncate(1);
    }

    /// Gives the values at some rows, `(group, row)`, to groups.
    pub(crate) fn extend(&mut self, values: &ArrayRef, given: impl Iterator<Item = (usize, usize)>) -> Result<()> {
        let chunk = self.chunks.len();
        let mut kept: Vec<u32> = Vec::new();
        for (group, row) in given {
            if self.push(group, (chunk, kept.len())) {
                // Rows of an array are counted in 32 bits by `take`.
                kept.push(row as u32);
            }
        }
        if kept.iter().copied().eq(0..values.len() as u32) {
            self.add_chunk(Arc::clone(values));
        } else if !kept.is_empty() {
            self.add_chunk(take(values, &UInt32Array::from(kept), None)?);
        }
        self.compact()
    }

    fn add_chunk(&mut self, chunk: ArrayRef) {
        self.bytes += chunk.get_array_memory_size();
        self.rows += chunk.len();
        self.chunks.push(chunk);
    }

    /// Frees what no group points to, once it is most of what is held, and keeps chunks few.
    fn compact(&mut self) -> Result<()> {
        const SMALL: usize = 8192;
        if self.rows <= 2 * self.live + SMALL && self.chunks.len() <= 64 + self.live / 64 {
            return Ok(());
        }
        let places: Vec<Place> = self.groups.iter().flat_map(|group| &group.places).copied().collect();
        let values = self.gather(&places)?;
        for (row, place) in self.groups.iter_mut().flat_map(|group| &mut group.places).enumerate() {
            *place = (0, row);
        }
        self.clear_chunks();
        self.add_chunk(values);
        Ok(())
    }

    fn clear_chunks(&mut self) {
        self.chunks.clear();
        (self.bytes, self.rows) = (0, 0);
    }

    fn gather(&self, places: &[Place]) -> Result<ArrayRef> {
        if places.is_empty() {
            return Ok(new_empty_array(self.item.data_type()));
        }
        let chunks: Vec<&dyn Array> = self.chunks.iter().map(AsRef::as_ref).collect();
        // As they came, where each group came at once: in a second phase, as a rule.
        let all = chunks.iter().enumerate().flat_map(|(chunk, values)| (0..values.len()).map(move |row| (chunk, row)));
        match all.eq(places.iter().copied()) {
            true => Ok(concat(&chunks)?),
            false => Ok(interleave(&chunks, places)?),
        }
    }

    /// The lists of some groups, and whether each is over the limit.
    fn lists<'a>(&self, groups: impl Iterator<Item = &'a Group> + Clone) -> Result<(ListArray, BooleanArray)> {
        let places: Vec<Place> = groups.clone().flat_map(|group| &group.places).copied().collect();
        let values = self.gather(&places)?;
        let offsets = OffsetBuffer::from_lengths(groups.clone().map(|group| group.places.len()));
        let over: Vec<bool> = groups.map(|group| group.over).collect();
        Ok((ListArray::try_new(Arc::clone(&self.item), offsets, values, None)?, over.into()))
    }

    /// The state of some groups, by number.
    pub(crate) fn state_of(&self, groups: impl Iterator<Item = usize> + Clone) -> Result<[ArrayRef; 2]> {
        // A group that never was given anything has no number yet.
        let none = Group::default();
        let (lists, over) = self.lists(groups.map(|group| self.groups.get(group).unwrap_or(&none)))?;
        Ok([Arc::new(lists), Arc::new(over)])
    }

    /// The lists of groups that are done with, and whether each is over the limit.
    fn emit(&mut self, emit_to: EmitTo) -> Result<(ListArray, BooleanArray)> {
        let groups = emit_to.take_needed(&mut self.groups);
        let lists = self.lists(groups.iter())?;
        self.live -= lists.0.values().len();
        if self.groups.is_empty() {
            self.clear_chunks();
        }
        Ok(lists)
    }
}

impl GroupsAccumulator for Lists {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let passes = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let given = groups.iter().enumerate().filter(|(row, _)| passes(*row)).map(|(row, group)| (*group, row));
        self.extend(&values[0], given)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(self.emit(emit_to)?.0))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (lists, over) = self.emit(emit_to)?;
        Ok(vec![Arc::new(lists), Arc::new(over)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let (lists, over) = (values[0].as_list::<i32>(), values[1].as_boolean());
        let offsets = lists.value_offsets();
        let rows = groups.iter().enumerate().filter(|(row, _)| lists.is_valid(*row));
        let given =
            rows.flat_map(|(row, group)| (offsets[row]..offsets[row + 1]).map(|place| (*group, place as usize)));
        self.extend(lists.values(), given)?;
        for (row, group) in groups.iter().enumerate() {
            if over.is_valid(row) && over.value(row) {
                self.overflow(*group);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each = Self::new(Arc::clone(&self.item), self.limit);
        let rows = values[0].len();
        each.update_batch(&values[..1], &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        GroupsAccumulator::state(&mut each, EmitTo::All)
    }

    fn size(&self) -> usize {
        self.bytes + self.groups.capacity() * size_of::<Group>() + 2 * self.live * size_of::<Place>()
    }
}

/// The list of all rows, where there are no groups.
#[derive(Debug)]
struct OneGroup(Lists);

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.grow(1);
        ScalarValue::try_from_array(&GroupsAccumulator::evaluate(&mut self.0, EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + GroupsAccumulator::size(&self.0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1);
        let state = GroupsAccumulator::state(&mut self.0, EmitTo::All)?;
        state.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        GroupsAccumulator::merge_batch(&mut self.0, states, &vec![0; states[0].len()], 1)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;

    use super::*;

    fn lists(limit: usize) -> Lists {
        Lists::new(item(&DataType::Int64), limit)
    }

    fn values(lists: &ArrayRef) -> Vec<Option<Vec<Option<i64>>>> {
        let list = |list: ArrayRef| list.as_primitive::<datafusion::arrow::datatypes::Int64Type>().iter().collect();
        lists.as_list::<i32>().iter().map(|each| each.map(list)).collect()
    }

    fn array(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn a_group_over_the_limit_keeps_one() {
        let mut lists = lists(2);
        lists.update_batch(&[array(&[1, 2, 3, 4, 5])], &[0, 1, 1, 1, 0], None, 3).unwrap();
        let given = GroupsAccumulator::evaluate(&mut lists, EmitTo::All).unwrap();
        assert_eq!(values(&given), [Some(vec![Some(1), Some(5)]), Some(vec![Some(2)]), Some(vec![])]);
    }

    #[test]
    fn states_merge_to_what_one_pass_gives() {
        let mut left = lists(3);
        left.update_batch(&[array(&[1, 2, 3, 4, 5, 6])], &[0, 0, 1, 1, 1, 1], None, 3).unwrap();
        let mut right = lists(3);
        right.update_batch(&[array(&[7, 8, 9])], &[0, 2, 2], None, 3).unwrap();
        let mut merged = lists(3);
        for side in [&mut left, &mut right] {
            let state = GroupsAccumulator::state(side, EmitTo::All).unwrap();
            GroupsAccumulator::merge_batch(&mut merged, &state, &[0, 1, 2], 3).unwrap();
        }
        let first = GroupsAccumulator::evaluate(&mut merged, EmitTo::First(1)).unwrap();
        assert_eq!(values(&first), [Some(vec![Some(1), Some(2), Some(7)])]);
        let rest = GroupsAccumulator::evaluate(&mut merged, EmitTo::All).unwrap();
        assert_eq!(values(&rest), [Some(vec![Some(3)]), Some(vec![Some(8), Some(9)])]);
    }

    #[test]
    fn groups_over_the_limit_take_no_memory() {
        let mut lists = lists(5);
        for _ in 0..1000 {
            lists.update_batch(&[array(&[1; 100])], &[0; 100], None, 1).unwrap();
        }
        assert!(GroupsAccumulator::size(&lists) < 100_000, "{}", GroupsAccumulator::size(&lists));
        let rows: Vec<usize> = (0..1000).collect();
        for _ in 0..6 {
            lists.update_batch(&[array(&[1; 1000])], &rows, None, 1000).unwrap();
        }
        let all = GroupsAccumulator::evaluate(&mut lists, EmitTo::All).unwrap();
        assert!(values(&all).iter().all(|list| list == &Some(vec![Some(1)])));
    }

    #[test]
    fn a_limit_of_zero_leaves_an_example() {
        let mut lists = lists(0);
        lists.update_batch(&[array(&[1])], &[0], None, 1).unwrap();
        assert_eq!(values(&GroupsAccumulator::evaluate(&mut lists, EmitTo::All).unwrap()), [Some(vec![Some(1)])]);
    }
}
