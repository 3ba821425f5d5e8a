//! What is joined, worked out once for all batches.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{JoinSide, Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExprRef, ScalarFunctionExpr, conjunction_opt, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};

use super::reading::leaves_texts;
use super::view::{View, substitute};
use crate::engine::interval_join::{IntervalJoinExec, narrow};

/// The role of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The earlier event.
    First,
    /// The later event.
    Then,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::First, Self::Then];

    /// Its bit in a mask of sides.
    pub(super) fn bit(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Then => 2,
        }
    }
}

/// An expression over one text column, worked out once for each value of a dictionary.
#[derive(Debug, Clone)]
pub(super) struct Lifted {
    /// Of the scan.
    pub(super) column: usize,
    /// Over a batch of that column alone.
    pub(super) expression: PhysicalExprRef,
}

impl Lifted {
    fn is(&self, other: &Self) -> bool {
        self.column == other.column && self.expression.as_ref() == other.expression.as_ref()
    }
}

/// A text that rows are told apart by.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) lifted: Lifted,
    /// It is part of a key: values have hashes.
    pub(super) hashed: bool,
    /// It is compared or grouped by: values have codes.
    pub(super) coded: bool,
    /// The column's texts as they stand; it may have one for nulls.
    pub(super) as_it_stands: bool,
}

/// One side.
#[derive(Debug, Clone)]
pub(super) struct SideSpec {
    /// Its columns over those of the scan, text plain.
    pub(super) columns: Vec<PhysicalExprRef>,
    /// The least and the greatest time that its conditions allow.
    pub(super) times: (i64, i64),
    pub(super) lifted: Vec<Lifted>,
    /// What else its rows have to pass, row by row.
    pub(super) rest: Option<PhysicalExprRef>,
    /// Its key, by position in `Spec::texts`.
    pub(super) keys: Vec<usize>,
    /// By column: the text that it is, if it is one of `Spec::texts`.
    pub(super) shown: Vec<Option<usize>>,
    /// Which columns of the scan make all other columns of a pair, and of the filter of pairs.
    pub(super) needed: Vec<bool>,
}

/// The join of a scan with itself.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    /// The scan's columns as SQL sees them: text plain.
    pub(super) schema: SchemaRef,
    /// The scan's column of time.
    pub(super) time: usize,
    sides: [SideSpec; 2],
    pub(super) texts: Vec<Text>,
    /// In nanoseconds, of the later event after the first: above zero, and at most this.
    pub(super) span: i64,
    /// Texts of the first and of the later event that must differ.
    pub(super) apart: Vec<(usize, usize)>,
    /// What pairs have to pass besides. Its sides are left for the first event, right for the later one.
    pub(super) filter: Option<JoinFilter>,
    /// Where the columns of a pair come from.
    pub(super) output: Vec<(Side, usize)>,
    /// Of these columns.
    pub(super) output_schema: SchemaRef,
}

impl Spec {
    pub(super) fn side(&self, side: Side) -> &SideSpec {
        match side {
            Side::First => &self.sides[0],
            Side::Then => &self.sides[1],
        }
    }

    /// What `join` joins, whose inputs are the views `left` and `right` of a table with the schema `raw`, as a join of
    /// one scan of some columns of that table. None where it cannot be said so.
    pub(super) fn try_new(
        join: &IntervalJoinExec,
        left: View,
        right: View,
        raw: &SchemaRef,
    ) -> Result<Option<(Self, Vec<usize>)>> {
        let (scanned, [left, right]) = narrowed([left, right], raw)?;
        let schema = Arc::new(raw.project(&scanned)?);
        let sequence = join.join().sequence.clone();
        let [first, then] = sequence.columns();
        let view = |side: JoinSide| if side == JoinSide::Left { &left } else { &right };
        let role = |side: JoinSide| if side == first.side { Side::First } else { Side::Then };
        let time = |column: &ColumnIndex| view(column.side).columns[column.index].downcast_ref::<Column>();
        let (Some(time), Some(other)) = (time(first), time(then)) else { return Ok(None) };
        if time.index() != other.index() {
            return Ok(None);
        }
        let time = time.index();
        let mut texts = Texts { schema: &schema, texts: Vec::new() };

        let mut sides = Vec::new();
        for (role, column) in Side::BOTH.into_iter().zip([first, then]) {
            let view = view(column.side);
            let mut side = SideSpec {
                columns: view.columns.clone(),
                times: (i64::MIN, i64::MAX),
                lifted: Vec::new(),
                rest: None,
                keys: Vec::new(),
                shown: Vec::new(),
                needed: Vec::new(),
            };
            let mut rest = Vec::new();
            for condition in &view.conditions {
                if let Some(bounds) = bounds(condition, time) {
                    side.times = (side.times.0.max(bounds.0), side.times.1.min(bounds.1));
                } else if let Some(lifted) = lift(condition, &schema)? {
                    side.lifted.push(lifted);
                } else {
                    rest.push(Arc::clone(condition));
                }
            }
            side.rest = conjunction_opt(rest);
            for (left, right) in &join.join().on {
                let key = if column.side == JoinSide::Left { left } else { right };
                let Some(text) = texts.of(&substitute(key, &view.columns)?)? else { return Ok(None) };
                texts.texts[text].hashed = true;
                side.keys.push(text);
            }
            debug_assert_eq!(role.bit() as usize, sides.len() + 1);
            sides.push(side);
        }
        let Ok(sides) = <[SideSpec; 2]>::try_from(sides) else { return Ok(None) };

        let (apart, filter) = match &join.join().filter {
            Some(filter) => split(filter, first.side, &sides, &mut texts)?,
            None => (Vec::new(), None),
        };
        let output: Vec<_> = join.output_columns().iter().map(|column| (role(column.side), column.index)).collect();
        let span = i64::try_from(sequence.span().max(0)).unwrap_or(i64::MAX);
        let texts = texts.texts;
        let output_schema = join.schema();
        let mut spec = Self { schema, time, sides, texts, span, apart, filter, output, output_schema };
        spec.show()?;
        Ok(Some((spec, scanned)))
    }

    /// The text that `expression` over a side's columns of a pair is, with codes.
    pub(super) fn coded(&mut self, expression: &PhysicalExprRef) -> Result<Option<usize>> {
        let schema = Arc::clone(&self.schema);
        let mut texts = Texts { schema: &schema, texts: std::mem::take(&mut self.texts) };
        let text = texts.of(expression);
        self.texts = texts.texts;
        let text = text?.inspect(|text| self.texts[*text].coded = true);
        self.show()?;
        Ok(text)
    }

    /// Finds out how columns of pairs are made.
    fn show(&mut self) -> Result<()> {
        let of_filter = self.filter.iter().flat_map(|filter| filter.column_indices());
        let of_filter = of_filter.map(|column| (filter_role(column.side), column.index));
        let asked: Vec<(Side, usize)> = self.output.iter().copied().chain(of_filter).collect();
        for (role, side) in Side::BOTH.into_iter().zip(&mut self.sides) {
            side.shown = vec![None; side.columns.len()];
            side.needed = vec![false; self.schema.fields().len()];
            for (_, index) in asked.iter().filter(|(side, _)| *side == role) {
                let expression = &side.columns[*index];
                let lifted = lift(expression, &self.schema)?;
                side.shown[*index] =
                    lifted.and_then(|lifted| self.texts.iter().position(|text| text.lifted.is(&lifted)));
                if side.shown[*index].is_none() {
                    collect_columns(expression).iter().for_each(|column| side.needed[column.index()] = true);
                }
            }
        }
        Ok(())
    }
}

/// The role of a side of `Spec::filter`.
pub(super) fn filter_role(side: JoinSide) -> Side {
    if side == JoinSide::Left { Side::First } else { Side::Then }
}

/// The columns of `expression`, among so many.
pub(super) fn needed(expression: &PhysicalExprRef, columns: usize) -> Vec<bool> {
    let mut needed = vec![false; columns];
    collect_columns(expression).iter().for_each(|column| needed[column.index()] = true);
    needed
}

/// The columns of the table that both views need, and the views over these alone.
fn narrowed(views: [View; 2], raw: &SchemaRef) -> Result<(Vec<usize>, [View; 2])> {
    let all = views.iter().flat_map(|view| view.columns.iter().chain(&view.conditions));
    let scanned: Vec<usize> =
        all.flat_map(collect_columns).map(|column| column.index()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut places: Vec<PhysicalExprRef> =
        (0..raw.fields().len()).map(|_| Arc::new(Literal::new(ScalarValue::Null)) as _).collect();
    for (place, column) in scanned.iter().enumerate() {
        places[*column] = Arc::new(Column::new(raw.field(*column).name(), place));
    }
    let mut narrowed = Vec::new();
    for view in views {
        let over = |all: Vec<PhysicalExprRef>| all.iter().map(|e| substitute(e, &places)).collect::<Result<Vec<_>>>();
        narrowed.push(View { columns: over(view.columns)?, conditions: over(view.conditions)? });
    }
    match <[View; 2]>::try_from(narrowed) {
        Ok(views) => Ok((scanned, views)),
        Err(_) => datafusion::common::internal_err!("a join has two sides"),
    }
}

/// Texts of the first event with texts of the later one.
type TextPairs = Vec<(usize, usize)>;

/// Splits a filter of pairs: texts that must differ, and the rest over sides named by their roles.
fn split(
    filter: &JoinFilter,
    first: JoinSide,
    sides: &[SideSpec; 2],
    texts: &mut Texts<'_>,
) -> Result<(TextPairs, Option<JoinFilter>)> {
    let mut apart = Vec::new();
    let mut rest = Vec::new();
    for condition in split_conjunction(filter.expression()) {
        match differing(condition, filter, first, sides, texts)? {
            Some(pair) => apart.push(pair),
            None => rest.push(Arc::clone(condition)),
        }
    }
    for (first, then) in &apart {
        texts.texts[*first].coded = true;
        texts.texts[*then].coded = true;
    }
    let rest = conjunction_opt(rest).map(|condition| narrow(condition, filter)).transpose()?;
    let rest = rest.map(|filter| {
        let role = |side| if side == first { JoinSide::Left } else { JoinSide::Right };
        let columns = filter.column_indices().iter();
        let columns = columns.map(|column| ColumnIndex { index: column.index, side: role(column.side) }).collect();
        JoinFilter::new(Arc::clone(filter.expression()), columns, Arc::clone(filter.schema()))
    });
    Ok((apart, rest))
}

/// The texts of `first <> then`, where they are texts of one side each.
fn differing(
    condition: &PhysicalExprRef,
    filter: &JoinFilter,
    first: JoinSide,
    sides: &[SideSpec; 2],
    texts: &mut Texts<'_>,
) -> Result<Option<(usize, usize)>> {
    let Some(binary) = condition.downcast_ref::<BinaryExpr>().filter(|e| *e.op() == Operator::NotEq) else {
        return Ok(None);
    };
    let column = |e: &PhysicalExprRef| Some(filter.column_indices()[e.downcast_ref::<Column>()?.index()].clone());
    let (Some(a), Some(b)) = (column(binary.left()), column(binary.right())) else { return Ok(None) };
    let (of_first, of_then) = match (a.side == first, b.side == first) {
        (true, false) => (a, b),
        (false, true) => (b, a),
        _ => return Ok(None),
    };
    let first = texts.of(&sides[0].columns[of_first.index])?;
    let then = texts.of(&sides[1].columns[of_then.index])?;
    Ok(first.zip(then))
}

/// The texts of a join, each once.
struct Texts<'a> {
    schema: &'a SchemaRef,
    texts: Vec<Text>,
}

impl Texts<'_> {
    /// The text that `expression` over the scan's columns is, if it is one.
    fn of(&mut self, expression: &PhysicalExprRef) -> Result<Option<usize>> {
        let Some(lifted) = lift(expression, self.schema)? else { return Ok(None) };
        if expression.data_type(self.schema)? != DataType::Utf8 {
            return Ok(None);
        }
        Ok(Some(self.texts.iter().position(|text| text.lifted.is(&lifted)).unwrap_or_else(|| {
            let as_it_stands = leaves_texts(&lifted.expression);
            self.texts.push(Text { lifted, hashed: false, coded: false, as_it_stands });
            self.texts.len() - 1
        })))
    }
}

/// `expression` over the one text column that it is about, if it may be worked out for values that no row has: it must
/// not fail for any.
fn lift(expression: &PhysicalExprRef, schema: &SchemaRef) -> Result<Option<Lifted>> {
    let columns: BTreeSet<usize> = collect_columns(expression).iter().map(Column::index).collect();
    let mut columns = columns.into_iter();
    let (Some(column), None) = (columns.next(), columns.next()) else { return Ok(None) };
    let field = schema.field(column);
    if *field.data_type() != DataType::Utf8 || !cannot_fail(expression) {
        return Ok(None);
    }
    let place: PhysicalExprRef = Arc::new(Column::new(field.name(), 0));
    let places = vec![place; column + 1];
    Ok(Some(Lifted { column, expression: substitute(expression, &places)? }))
}

/// The schema of a batch of one column.
pub(super) fn alone(schema: &Schema, column: usize) -> SchemaRef {
    let field: Field = schema.field(column).clone();
    Arc::new(Schema::new(vec![field]))
}

/// Whether no text makes `expression` fail.
fn cannot_fail(expression: &PhysicalExprRef) -> bool {
    const FUNCTIONS: [&str; 20] = [
        "array_has",
        "ascii",
        "btrim",
        "character_length",
        "coalesce",
        "concat",
        "contains",
        "ends_with",
        "equals_ignore_case",
        "json_text",
        "lower",
        "ltrim",
        "nvl",
        "octet_length",
        "regexp_like",
        "rtrim",
        "starts_with",
        "starts_with_ignore_case",
        "strpos",
        "upper",
    ];
    let e = expression;
    let known = e.is::<Column>()
        || e.is::<Literal>()
        || e.is::<CaseExpr>()
        || e.is::<InListExpr>()
        || e.is::<IsNotNullExpr>()
        || e.is::<IsNullExpr>()
        || e.is::<LikeExpr>()
        || e.is::<NotExpr>()
        || e.downcast_ref::<BinaryExpr>().is_some_and(|e| compares(*e.op()))
        || e.downcast_ref::<ScalarFunctionExpr>().is_some_and(|e| FUNCTIONS.contains(&e.fun().name()));
    known && e.children().into_iter().all(cannot_fail)
}

fn compares(op: Operator) -> bool {
    use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or, StringConcat};
    matches!(op, And | Eq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom | Lt | LtEq | NotEq | Or | StringConcat)
}

/// The times that `condition` allows, if it compares the column `time` with an instant.
fn bounds(condition: &PhysicalExprRef, time: usize) -> Option<(i64, i64)> {
    let binary = condition.downcast_ref::<BinaryExpr>()?;
    let is_time = |e: &PhysicalExprRef| e.downcast_ref::<Column>().is_some_and(|column| column.index() == time);
    let instant = |e: &PhysicalExprRef| match e.downcast_ref::<Literal>()?.value() {
        ScalarValue::TimestampNanosecond(Some(instant), _) => Some(*instant),
        _ => None,
    };
    let (op, instant) = match (is_time(binary.left()), is_time(binary.right())) {
        (true, false) => (*binary.op(), instant(binary.right())?),
        (false, true) => (binary.op().swap()?, instant(binary.left())?),
        _ => return None,
    };
    // No time is less than the least one, and none greater than the greatest.
    let nothing = (i64::MAX, i64::MIN);
    Some(match op {
        Operator::GtEq => (instant, i64::MAX),
        Operator::Gt => instant.checked_add(1).map_or(nothing, |next| (next, i64::MAX)),
        Operator::LtEq => (i64::MIN, instant),
        Operator::Lt => instant.checked_sub(1).map_or(nothing, |last| (i64::MIN, last)),
        Operator::Eq => (instant, instant),
        _ => return None,
    })
}
