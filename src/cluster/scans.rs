//! The scans of a plan that are dealt out.

use std::collections::BTreeMap;

use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::DistributedLeafExec;

use crate::lake::LakeScanExec;

/// How many scans there are of each table. A plan that joins a table with itself reads it twice, and what a run says of the
/// rows that it has read means each row once.
#[derive(Debug, Clone, Default)]
pub(super) struct Scans(BTreeMap<usize, u64>);

impl Scans {
    pub(super) fn of(plan: &dyn ExecutionPlan) -> Self {
        let mut scans = Self::default();
        scans.visit(plan);
        scans
    }

    fn visit(&mut self, plan: &dyn ExecutionPlan) {
        let leaf = plan.downcast_ref::<DistributedLeafExec>();
        if let Some(scan) = leaf.and_then(|leaf| leaf.original().downcast_ref::<LakeScanExec>()) {
            *self.0.entry(scan.table_number()).or_default() += 1;
        }
        plan.children().into_iter().for_each(|child| self.visit(child.as_ref()));
    }

    /// So many `rows` of all scans together, each row once; exact where tables are scanned equally often.
    pub(super) fn once(&self, rows: u64) -> u64 {
        let scans: u64 = self.0.values().sum();
        rows * self.0.len() as u64 / scans.max(1)
    }

    /// So many `rows` of all scans of a table, each row once.
    pub(super) fn once_of(&self, table: usize, rows: u64) -> u64 {
        rows / self.0.get(&table).copied().unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_read_twice_counts_once() {
        let twice = Scans(BTreeMap::from([(0, 2)]));
        assert_eq!((twice.once(10), twice.once_of(0, 10), twice.once_of(1, 10)), (5, 5, 10));
        let some = Scans(BTreeMap::from([(0, 3), (1, 1)]));
        assert_eq!((some.once(100), some.once_of(0, 90), some.once_of(1, 10)), (50, 30, 10));
        assert_eq!(Scans::default().once(0), 0);
    }
}
