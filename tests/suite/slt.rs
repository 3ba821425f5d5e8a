//! Functions and the view, tested in SQL: `tests/slt/*.slt`.

use std::path::Path;

use async_trait::async_trait;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// A session as hunts have it, with `SigninLogs` as the view over a table `raw` that the file makes.
struct Session {
    context: SessionContext,
}

impl Session {
    fn new() -> Self {
        let config = SessionConfig::new()
            .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
            .set_str("datafusion.execution.time_zone", "UTC");
        let context = SessionContext::new_with_config(config);
        for function in lakehunt::functions() {
            context.register_udf(function);
        }
        Self { context }
    }
}

/// The view's SELECT for the day 2024-05-01 and a lookback of a minute. (A run binds values; text will do for a test.)
fn view() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/views/signin-logs.sql");
    std::fs::read_to_string(path)
        .unwrap()
        .replace("$range_start", "arrow_cast('2024-05-01T00:00:00Z', 'Timestamp(Nanosecond, Some(\"UTC\"))')")
        .replace("$range_end", "arrow_cast('2024-05-02T00:00:00Z', 'Timestamp(Nanosecond, Some(\"UTC\"))')")
        .replace("$lookback", "INTERVAL '1 minute'")
}

#[async_trait]
impl AsyncDB for Session {
    type Error = DataFusionError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, DataFusionError> {
        let sql = sql.replace("{{view}}", &view());
        let batches = self.context.sql(&sql).await?.collect().await?;
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = Vec::new();
        let mut types = Vec::new();
        for batch in batches.iter().filter(|batch| batch.num_columns() > 0) {
            types = vec![DefaultColumnType::Any; batch.num_columns()];
            let columns = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let text = |column: &ArrayFormatter<'_>| {
                    let text = column.value(row).to_string();
                    // Empty and blank text would vanish in a line of columns.
                    if text.trim().is_empty() { format!("({})", text.replace(' ', "_")) } else { text }
                };
                rows.push(columns.iter().map(text).collect());
            }
        }
        if types.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "lakehunt"
    }
}

#[tokio::test]
async fn slt_files_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let mut runner = Runner::new(|| async { Ok(Session::new()) });
        runner.run_file_async(&file).await.unwrap_or_else(|e| panic!("{}", e.display(false)));
    }
}
