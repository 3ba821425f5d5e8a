//! Binds parameters: a hunt's `$name` becomes a typed value of the plan, never text of the SQL.

use std::collections::{BTreeMap, HashMap};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{ParamValues, ScalarValue, plan_err};
use datafusion::error::Result as EngineResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName};

use crate::functions;
use crate::job::{Job, Sql, Value, arguments_of, placeholders_mut};
use crate::lake::TEXT;
use crate::timespan::Timespan;
use crate::window::{Scope, Window, nanos};

/// The values of all parameters of one evaluation.
#[derive(Debug, Clone)]
pub(crate) struct Bindings {
    values: BTreeMap<String, ScalarValue>,
    shown: BTreeMap<String, String>,
}

impl Bindings {
    /// The job's parameters, and those of every run, for the windows from `first` to `last` (neighbours in time) whose
    /// rows are read from `reach` before the first.
    pub(crate) fn new(job: &Job, first: &Window, last: &Window, scope: Scope, reach: Timespan) -> Self {
        let run = [
            ("range_start", Value::Datetime(first.start())),
            ("range_end", Value::Datetime(last.end())),
            ("lookback", Value::Timespan(reach)),
            ("window_size", Value::Timespan(first.length())),
            ("scope", Value::String(scope.to_string())),
        ];
        let all = || run.iter().map(|(k, v)| (*k, v)).chain(job.parameters().iter().map(|(k, v)| (k.as_str(), v)));
        // The first column of a list, for functions that look a value up in it.
        let lists = job.lists().iter().map(|(name, list)| (name.clone(), scalar(&Value::Dynamic(list.values()))));
        Self {
            values: all().map(|(name, value)| (name.to_owned(), scalar(value))).chain(lists).collect(),
            shown: all().map(|(name, value)| (name.to_owned(), value.to_string())).collect(),
        }
    }

    /// The value of a parameter of every run, as an expression.
    pub(super) fn literal(&self, name: &str) -> datafusion::logical_expr::Expr {
        datafusion::logical_expr::lit(self.values.get(name).cloned().unwrap_or(ScalarValue::Null))
    }

    /// Name and value of each parameter, for reading.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shown.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The plan of `sql` with these values in place of its parameters.
    pub(super) async fn plan(&self, state: &SessionState, sql: &Sql) -> EngineResult<LogicalPlan> {
        self.check_networks(sql)?;
        let mut statement = sql.statement().clone();
        // A named placeholder has no type until its value is bound, and the planner refuses what it cannot type, such
        // as `date_bin($window_size, …)`. So each is planned as a cast to the type of its value; the cast of a value to
        // its own type is folded away.
        placeholders_mut(&mut statement, |name| {
            let value = self.values.get(name)?;
            Some(typed_placeholder(name, &value.data_type()))
        });
        let statement = EngineStatement::Statement(Box::new(statement));
        let plan = state.statement_to_plan(statement).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        let values: HashMap<String, ScalarValue> = self.values.clone().into_iter().collect();
        plan.with_param_values(ParamValues::from(values))
    }

    /// A network that is none is refused before anything is read, by the name of the list or parameter that holds it.
    fn check_networks(&self, sql: &Sql) -> EngineResult<()> {
        for name in arguments_of(sql.statement(), functions::IP_IN_ANY_RANGE) {
            let Some(ScalarValue::List(list)) = self.values.get(&name) else { continue };
            let networks = list.values().as_string::<i32>().iter().map(Option::unwrap_or_default);
            functions::check_networks(networks).or_else(|wrong| plan_err!("`${name}`: {wrong}"))?;
        }
        Ok(())
    }
}

fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Timespan(span) => ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, 0, span.nanos()))),
        Value::Long(n) => ScalarValue::Int64(Some(*n)),
        Value::Real(x) => ScalarValue::Float64(Some(*x)),
        Value::Bool(b) => ScalarValue::Boolean(Some(*b)),
        Value::String(s) => ScalarValue::Utf8(Some(s.clone())),
        Value::Datetime(t) => ScalarValue::TimestampNanosecond(Some(nanos(*t)), Some("UTC".into())),
        Value::Dynamic(items) => {
            let items: Vec<_> = items.iter().map(|s| ScalarValue::Utf8(Some(s.clone()))).collect();
            ScalarValue::List(ScalarValue::new_list_nullable(&items, &TEXT))
        }
    }
}

/// `arrow_cast($name, 'type')`
fn typed_placeholder(name: &str, data_type: &DataType) -> Expr {
    let argument = |value: ast::Value| FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value.into())));
    Expr::Function(ast::Function {
        name: ObjectName::from(vec![Ident::new("arrow_cast")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![
                argument(ast::Value::Placeholder(format!("${name}"))),
                argument(ast::Value::SingleQuotedString(data_type.to_string())),
            ],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
