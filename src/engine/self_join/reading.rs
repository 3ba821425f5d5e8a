//! How text is read that has no dictionary in the scan.

use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::{CaseExpr, Column, IsNotNullExpr, Literal};
use datafusion::physical_expr::utils::collect_columns;

use super::spec::{Side, Spec};

/// How a text column is read that has no dictionary in the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The sides that ask for it, as bits.
    pub(super) sides: u8,
    /// Nothing is asked of its values that a dictionary of them would save: hashes at most.
    pub(super) as_it_stands: bool,
}

impl Reading {
    /// How a column of the scan is read.
    pub(super) fn of(spec: &Spec, column: usize) -> Self {
        let of = |e: &PhysicalExprRef| collect_columns(e).iter().any(|of| of.index() == column);
        let (mut sides, mut as_it_stands) = (0, true);
        for role in Side::BOTH {
            let side = spec.side(role);
            let lifted = side.lifted.iter().any(|lifted| lifted.column == column);
            if lifted || side.columns.iter().chain(&side.rest).any(of) {
                sides |= role.bit();
            }
            as_it_stands &= !lifted;
        }
        for text in spec.texts.iter().filter(|text| text.lifted.column == column) {
            as_it_stands &= !text.coded && text.as_it_stands;
        }
        Self { sides, as_it_stands }
    }

    /// Columns with more of it are better read after others: they keep no rows from a side, or from one only.
    pub(super) fn cost(self) -> impl Ord {
        (self.as_it_stands, self.sides.count_zeros())
    }
}

/// Whether `expression` over one text column leaves texts as they are, whatever it has for nulls. That is how a view of
/// the lake turns nulls into empty texts.
pub(super) fn leaves_texts(expression: &PhysicalExprRef) -> bool {
    if expression.is::<Column>() {
        return true;
    }
    let Some(case) = expression.downcast_ref::<CaseExpr>() else { return false };
    let asks =
        |when: &PhysicalExprRef| when.downcast_ref::<IsNotNullExpr>().is_some_and(|when| when.arg().is::<Column>());
    let leaves = |(when, then): &(PhysicalExprRef, PhysicalExprRef)| asks(when) && then.is::<Column>();
    let otherwise = |e: &PhysicalExprRef| e.is::<Literal>() || e.is::<Column>();
    let cases = case.when_then_expr();
    case.expr().is_none() && cases.len() == 1 && cases.iter().all(leaves) && case.else_expr().is_none_or(otherwise)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::physical_expr::expressions::{IsNullExpr, case, lit};

    use super::*;

    #[test]
    fn texts_are_left_where_only_nulls_become_others() {
        let column = || Arc::new(Column::new("user", 0)) as PhysicalExprRef;
        let is_not_null = || Arc::new(IsNotNullExpr::new(column())) as PhysicalExprRef;
        let or = |when: PhysicalExprRef, then: PhysicalExprRef, otherwise: Option<PhysicalExprRef>| {
            case(None, vec![(when, then)], otherwise).unwrap()
        };
        assert!(leaves_texts(&column()));
        assert!(leaves_texts(&or(is_not_null(), column(), Some(lit("")))));
        assert!(leaves_texts(&or(is_not_null(), column(), None)));
        assert!(!leaves_texts(&or(is_not_null(), lit("a"), Some(column()))));
        assert!(!leaves_texts(&or(Arc::new(IsNullExpr::new(column())), column(), Some(lit("")))));
        assert!(!leaves_texts(&lit("a")));
    }
}
