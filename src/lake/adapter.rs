//! Tells each file's scan how its own columns become those of `raw`.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};

use super::columns::{Columns, Conversion, TextForms};
use super::convert::{LakeString, LakeTime, Notices};
use super::footer::sight;
use super::values::LakeValue;
use crate::job::ColumnType;

/// Rewrites expressions over `raw` into expressions over a file.
#[derive(Debug)]
pub(super) struct LakeAdapterFactory {
    columns: Arc<Columns>,
    forms: TextForms,
    notices: Arc<Notices>,
}

impl LakeAdapterFactory {
    pub(super) fn new(columns: Arc<Columns>, forms: TextForms, notices: Arc<Notices>) -> Self {
        Self { columns, forms, notices }
    }
}

impl PhysicalExprAdapterFactory for LakeAdapterFactory {
    fn create(&self, _logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let mut replacements = Vec::with_capacity(self.columns.len());
        for column in 0..self.columns.len() {
            replacements.push(self.replacement(column, &physical)?);
        }
        Ok(Arc::new(LakeAdapter { columns: Arc::clone(&self.columns), replacements }))
    }
}

impl LakeAdapterFactory {
    /// The expression over a file that gives a column of `raw`; null where the file does not hold it.
    fn replacement(&self, column: usize, physical: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
        let external = |e| DataFusionError::External(Box::new(e));
        let Some(index) = self.columns.find(column, physical).map_err(external)? else {
            let schema = self.columns.schema_in(&self.forms);
            return Ok(lit(ScalarValue::try_from(schema.field(column).data_type())?));
        };
        let (field, form) = (physical.field(index), self.forms[column]);
        let stored: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        let sight = if column == self.columns.time() { sight(physical) } else { None };
        let function = match self.columns.conversion(column, field.data_type(), form).map_err(external)? {
            Conversion::None if sight.is_none() => return Ok(stored),
            Conversion::None | Conversion::Function => {
                let spec = self.columns.spec(column);
                match spec.kind {
                    ColumnType::Datetime => {
                        ScalarUDF::from(LakeTime::new(spec.epoch, Arc::clone(&self.notices)).within(sight))
                    }
                    ColumnType::String => ScalarUDF::from(LakeString::new(form)),
                    kind => {
                        let name = self.columns.name(column);
                        ScalarUDF::from(LakeValue::new(kind, form, name, Arc::clone(&self.notices)))
                    }
                }
            }
        };
        let options = Arc::new(ConfigOptions::default());
        Ok(Arc::new(ScalarFunctionExpr::try_new(Arc::new(function), vec![stored], physical, options)?))
    }
}

#[derive(Debug)]
struct LakeAdapter {
    columns: Arc<Columns>,
    replacements: Vec<Arc<dyn PhysicalExpr>>,
}

impl PhysicalExprAdapter for LakeAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // Top down and no further: what stands in a replacement is a column of the file already.
        expr.transform_down(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            match self.columns.schema().index_of(column.name()) {
                Ok(index) => {
                    let replacement = Arc::clone(&self.replacements[index]);
                    Ok(Transformed::new(replacement, true, datafusion::common::tree_node::TreeNodeRecursion::Jump))
                }
                Err(_) => internal_err!("column {} is none of raw", column.name()),
            }
        })
        .data()
    }
}
