//! Which expected rows are there, which are not, and what is there instead.

use serde_json::Value;

use crate::job::Fields;

/// One row that is missing, not expected, or otherwise than expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What the row is: `hit` or `key over the limit`.
    pub what: &'static str,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// A column of a row that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What the test expects; `None` where it expects no such row.
    pub expected: Option<Value>,
    /// What is there; `None` where there is no such row.
    pub found: Option<Value>,
}

impl Difference {
    /// Whether a row is expected that is not there, and none is there in its place.
    pub fn is_missing(&self) -> bool {
        self.columns.iter().all(|column| column.found.is_none())
    }

    /// Whether a row is there that is not expected, and none is missing in its place.
    pub fn is_unexpected(&self) -> bool {
        self.columns.iter().all(|column| column.expected.is_none())
    }
}

/// Compares rows in any order, by the columns that each expected one names. Where they differ, those that are most alike
/// are taken for one another.
pub(super) fn compare(what: &'static str, expected: &[Fields], found: &[Fields]) -> Vec<Difference> {
    let partner = partners(expected, found);
    let mut free: Vec<usize> = (0..found.len()).filter(|index| !partner.contains(&Some(*index))).collect();
    let mut differences = Vec::new();
    for (row, _) in expected.iter().zip(&partner).filter(|(_, partner)| partner.is_none()) {
        let alike = |index: &usize| row.iter().filter(|(name, value)| same(value, found[*index].get(*name))).count();
        let nearest =
            free.iter().copied().enumerate().max_by_key(|(position, index)| (alike(index), usize::MAX - position));
        let other = nearest.filter(|(_, index)| alike(index) > 0).map(|(position, _)| &found[free.remove(position)]);
        let column = |(name, value): (&String, &Value)| Column {
            name: name.clone(),
            expected: Some(value.clone()),
            found: other.map(|other| other.get(name).cloned().unwrap_or_default()),
        };
        differences.push(Difference { what, columns: row.iter().map(column).collect() });
    }
    for index in free {
        // What the test never names says little of why the row should not be there.
        let named = |name: &String| expected.is_empty() || expected.iter().any(|row| row.contains_key(name));
        let column = |(name, value): (&String, &Value)| Column {
            name: name.clone(),
            expected: None,
            found: Some(value.clone()),
        };
        let columns = found[index].iter().filter(|(name, _)| named(name)).map(column).collect();
        differences.push(Difference { what, columns });
    }
    differences
}

/// For each expected row one that is found, none of them twice, so that as many as possible have one.
fn partners(expected: &[Fields], found: &[Fields]) -> Vec<Option<usize>> {
    let fits = |row: &Fields, other: &Fields| row.iter().all(|(name, value)| same(value, other.get(name)));
    let mut holder: Vec<Option<usize>> = vec![None; found.len()];
    /// Finds a place for `row`, where need be by moving those that have one to another (Kuhn's augmenting path).
    fn place(
        row: usize,
        fits: &dyn Fn(usize, usize) -> bool,
        holder: &mut [Option<usize>],
        tried: &mut [bool],
    ) -> bool {
        for index in 0..holder.len() {
            if tried[index] || !fits(row, index) {
                continue;
            }
            tried[index] = true;
            if holder[index].is_none_or(|other| place(other, fits, holder, tried)) {
                holder[index] = Some(row);
                return true;
            }
        }
        false
    }
    for row in 0..expected.len() {
        let fits = |row: usize, index: usize| fits(&expected[row], &found[index]);
        place(row, &fits, &mut holder, &mut vec![false; found.len()]);
    }
    (0..expected.len()).map(|row| holder.iter().position(|holder| *holder == Some(row))).collect()
}

/// Whether two values are the same; floating-point numbers to nine digits, since sums depend on their order.
fn same(expected: &Value, found: Option<&Value>) -> bool {
    match (expected, found) {
        (Value::Number(a), Some(Value::Number(b))) if a.is_f64() || b.is_f64() => {
            let [Some(a), Some(b)] = [a.as_f64(), b.as_f64()] else { return false };
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        (expected, found) => found == Some(expected),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(rows: Value) -> Vec<Fields> {
        serde_json::from_value(rows).unwrap()
    }

    fn differences(expected: Value, found: Value) -> Vec<Difference> {
        compare("hit", &rows(expected), &rows(found))
    }

    #[test]
    fn order_and_columns_that_are_not_named_do_not_count() {
        let found = json!([{ "user": "a", "n": 1, "x": 0.3 }, { "user": "b", "n": 2, "x": 0.5 }]);
        assert_eq!(differences(json!([{ "user": "b" }, { "n": 1, "x": 0.1 + 0.2 }]), found), []);
        // The first one would take the row that the second one needs.
        let found = json!([{ "user": "a", "n": 1 }, { "user": "a", "n": 2 }]);
        assert_eq!(differences(json!([{ "user": "a" }, { "n": 1 }]), found.clone()), []);
        assert_eq!(differences(json!([{ "user": "a" }, { "user": "a" }, { "n": 1 }]), found).len(), 1);
    }

    #[test]
    fn rows_that_differ_are_shown_beside_what_is_most_like_them() {
        let found = json!([{ "user": "b", "n": 2 }, { "user": "a", "n": 2 }, { "user": "c", "n": 7 }]);
        let [changed, unexpected] = &differences(json!([{ "user": "a", "n": 1 }, { "user": "b", "n": 2 }]), found)[..]
        else {
            panic!("two rows differ")
        };
        let column = |name: &str, expected, found| Column { name: name.into(), expected, found };
        assert_eq!(
            changed.columns,
            [column("user", Some(json!("a")), Some(json!("a"))), column("n", Some(json!(1)), Some(json!(2)))]
        );
        assert!(!changed.is_missing() && !changed.is_unexpected());
        assert!(unexpected.is_unexpected());
        assert_eq!(unexpected.columns[0], column("user", None, Some(json!("c"))));

        let missing = &differences(json!([{ "user": "a" }]), json!([{ "user": "b" }]));
        assert!(missing[0].is_missing() && missing[1].is_unexpected(), "{missing:?}");
        assert_eq!(differences(json!([]), json!([{ "user": "b" }]))[0].columns.len(), 1);
    }
}
