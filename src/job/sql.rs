//! A hunt's SQL: one read-only SELECT with named parameters.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, SetExpr, Statement, Value, visit_expressions,
    visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Error, ErrorKind, Result, suggestion};

/// The text of one SELECT and where it was read from.
#[derive(Debug, Clone)]
pub(crate) struct HuntSql {
    path: PathBuf,
    text: String,
    statement: Statement,
}

impl HuntSql {
    pub(super) fn load(path: &Path) -> Result<Self> {
        Self::parse(path, super::load::read(path)?)
    }

    fn parse(path: &Path, text: String) -> Result<Self> {
        let invalid = |message: &str| Error::new(ErrorKind::InvalidJob, message).with("file", path.display());
        let mut statements = Parser::parse_sql(&GenericDialect {}, &text)
            .map_err(|e| invalid("the SQL cannot be parsed").caused_by(e))?;
        let statement = match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => statement,
            (None, _) => return Err(invalid("the file holds no SQL; a hunt is one SELECT")),
            (Some(_), false) => return Err(invalid("the file holds more than one statement; a hunt is one SELECT")),
        };
        match &statement {
            Statement::Query(query) if reads_only(query) => {}
            _ => return Err(invalid("the SQL is no SELECT; a hunt only reads")),
        }
        Ok(Self { path: path.to_owned(), text, statement })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Every `$name` of the text must be known.
    pub(super) fn check_parameters(&self, known: &[&str]) -> Result<()> {
        for name in placeholders(&self.statement) {
            if !known.contains(&name.as_str()) {
                return Err(Error::new(
                    ErrorKind::InvalidJob,
                    format!("the SQL has an unknown parameter `${name}`{}", suggestion(&name, known.iter().copied())),
                )
                .with("file", self.path.display()));
            }
        }
        Ok(())
    }
}

/// Whether a query and everything in it only reads. Data-changing statements can hide in a WITH or an INTO.
fn reads_only(query: &Query) -> bool {
    fn body(set: &SetExpr) -> bool {
        match set {
            SetExpr::Select(select) => select.into.is_none(),
            SetExpr::Query(query) => reads_only(query),
            SetExpr::SetOperation { left, right, .. } => body(left) && body(right),
            _ => false,
        }
    }
    let with = query.with.iter().flat_map(|with| &with.cte_tables).all(|cte| reads_only(&cte.query));
    with && query.locks.is_empty() && body(&query.body)
}

/// The names of the placeholders of a statement, without their `$`.
pub(crate) fn placeholders(statement: &Statement) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _: ControlFlow<()> = visit_expressions(statement, |expr| {
        if let Some(name) = placeholder(expr) {
            names.insert(name.to_owned());
        }
        ControlFlow::Continue(())
    });
    names
}

/// Replaces each placeholder by what `replace` makes of its name.
pub(crate) fn placeholders_mut(statement: &mut Statement, mut replace: impl FnMut(&str) -> Option<Expr>) {
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expr| {
        if let Some(replacement) = placeholder(expr).and_then(&mut replace) {
            *expr = replacement;
        }
        ControlFlow::Continue(())
    });
}

/// The names of the placeholders that are an argument of `function`, without their `$`.
pub(crate) fn arguments_of(statement: &Statement, function: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _: ControlFlow<()> = visit_expressions(statement, |expr| {
        if let Expr::Function(call) = expr
            && call.name.to_string().eq_ignore_ascii_case(function)
            && let FunctionArguments::List(list) = &call.args
        {
            for argument in &list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument {
                    names.extend(placeholder(argument).map(str::to_owned));
                }
            }
        }
        ControlFlow::Continue(())
    });
    names
}

fn placeholder(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(text) => Some(text.trim_start_matches(['$', ':', '?', '@'])),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HuntSql> {
        HuntSql::parse(Path::new("hunt.sql"), text.to_owned())
    }

    #[test]
    fn one_select_passes() {
        for text in ["SELECT 1", "-- why\nWITH a AS (SELECT 1 AS x) SELECT x FROM a;", "SELECT 1 UNION ALL (SELECT 2)"]
        {
            parse(text).unwrap();
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "-- nothing",
            "SELECT 1; SELECT 2",
            "DELETE FROM t",
            "CREATE TABLE t AS SELECT 1",
            "COPY t TO 'x.parquet'",
            "SELECT 1 INTO t",
            "EXPLAIN SELECT 1",
            "INSERT INTO t SELECT 1",
            "WITH a AS (DELETE FROM t RETURNING x) SELECT x FROM a",
            "VALUES (1)",
            "SELEC 1",
            "SET x = 1",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidJob, "{text}");
            assert_eq!(error.context("file"), Some("hunt.sql"), "{text}");
        }
    }

    #[test]
    fn unknown_parameters_are_named_with_the_nearest() {
        let sql = parse("SELECT $logon_dif, $limit FROM t WHERE x IN (SELECT $limit)").unwrap();
        let error = sql.check_parameters(&["logon_diff", "limit"]).unwrap_err();
        assert!(error.to_string().contains("`$logon_dif`; did you mean `logon_diff`?"), "{error}");
        assert_eq!(placeholders(sql.statement()).into_iter().collect::<Vec<_>>(), ["limit", "logon_dif"]);
    }

    #[test]
    fn parameters_of_a_function_are_found_wherever_it_is_called() {
        let text = "SELECT f(x, $a), g($b) FROM (SELECT * FROM t WHERE NOT F(x, $c)) AS t WHERE x = $d";
        let found = arguments_of(parse(text).unwrap().statement(), "f");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "c"]);
    }
}
