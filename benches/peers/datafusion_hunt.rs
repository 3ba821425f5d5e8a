//! The hunt on the engine alone, without anything of ours: its default session, plain SQL.

use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use crate::Result;

const APPS: &str = "('Office 365 Exchange Online', 'Skype for Business Online', 'Office 365 SharePoint Online')";

/// `buckets` or `naive`; one file of hits.
pub(crate) fn run(form: &str, lake: &str, out: &str, from: &str, to: &str, threads: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        // Batches of this size were the fastest of those tried, as were failures as the left, built side.
        let config = SessionConfig::new()
            .with_target_partitions(threads)
            .with_batch_size(32_768)
            .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
            .set_bool("datafusion.optimizer.prefer_hash_join", true)
            .set_str("datafusion.execution.time_zone", "UTC");
        let context = SessionContext::new_with_config(config);
        let options = ParquetReadOptions::default();
        context.register_parquet("lake", lake, options).await?;
        let hits = context.sql(&sql(form, from, to)?).await?;
        hits.write_parquet(out, DataFrameWriteOptions::new().with_single_file_output(true), None).await?;
        Ok(())
    })
}

fn sql(form: &str, from: &str, to: &str) -> Result<String> {
    let minute = |time: &str| format!("date_bin(INTERVAL '1 minute', {time})");
    let (fail, bucket) = match form {
        "buckets" => (
            format!(
                "SELECT *, {} AS b FROM f UNION ALL SELECT *, {} - INTERVAL '1 minute' AS b FROM f",
                minute("ft"),
                minute("ft")
            ),
            format!("AND fail.b = {}", minute("s.st")),
        ),
        "naive" => ("SELECT * FROM f".to_owned(), String::new()),
        other => return Err(format!("no form {other}").into()),
    };
    let instant = |day: &str| format!("arrow_cast('{day}T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')");
    let (from, to) = (instant(from), instant(to));
    Ok(format!(
        "WITH s AS (
           SELECT TimeGenerated AS st, coalesce(UserPrincipalName, '') AS u, coalesce(IPAddress, '') AS ip,
             coalesce(AppDisplayName, '') AS sa
           FROM lake
           WHERE TimeGenerated >= {from} - INTERVAL '1 minute' AND TimeGenerated < {to}
             AND ResultType = '0' AND coalesce(AppDisplayName, '') NOT IN {APPS}
         ),
         f AS (
           SELECT TimeGenerated AS ft, coalesce(UserPrincipalName, '') AS u, coalesce(IPAddress, '') AS ip,
             AppDisplayName AS fa, coalesce(ResultType, '') AS rt, coalesce(ResultDescription, '') AS descr
           FROM lake
           WHERE TimeGenerated >= {from} AND TimeGenerated < {to}
             AND coalesce(ResultType, '') NOT IN ('0', '50140') AND lower(coalesce(ResultDescription, '')) <> 'other'
             AND AppDisplayName <> '' AND AppDisplayName NOT IN {APPS}
         ),
         fail AS ({fail}),
         pairs AS (
           SELECT date_bin(INTERVAL '1 day', fail.ft) AS window_start, s.u, s.st, s.ip, s.sa, fail.ft, fail.fa, fail.rt,
             fail.descr
           FROM fail JOIN s ON s.u = fail.u AND s.ip = fail.ip {bucket}
             AND fail.ft > s.st AND fail.ft <= s.st + INTERVAL '1 minute' AND s.sa <> fail.fa
         ),
         hits AS (
           SELECT window_start, u, sa, fa, ip, rt, descr, min(ft) AS ft, min(st) AS st, count(*) AS pair_count
           FROM pairs GROUP BY window_start, u, sa, fa, ip, rt, descr
         ),
         counted AS (
           SELECT *, sum(pair_count) OVER (PARTITION BY window_start, sa, rt) AS distribution_count FROM hits
         )
         SELECT u AS UserPrincipalName, st AS SuccessLogonTime, ip AS IPAddress, sa AS SuccessAppDisplayName,
           ft AS FailedLogonTime, fa AS FailedAppDisplayName, rt AS ResultType, descr AS ResultDescription, window_start,
           row_number() OVER (PARTITION BY window_start, sa, rt ORDER BY st, ft, u, ip, fa, descr) AS kql_rank,
           distribution_count, pair_count
         FROM counted WHERE distribution_count <= 5
         ORDER BY window_start, st, ft, u, ip, sa, fa, rt, descr"
    ))
}
