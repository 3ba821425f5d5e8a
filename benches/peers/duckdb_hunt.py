"""The sign-in hunt on DuckDB, tuned by hand, to be timed as a whole process.

    python duckdb_hunt.py FORM LAKE OUT FROM TO THREADS

FORM is `buckets`, the fastest form found, or `naive`, what a person writes first. LAKE holds date=YYYY-MM-DD/*.parquet,
OUT is the Parquet file to write, FROM and TO are UTC dates, half-open. Every day is a window of its own that owns the
pairs whose failure lies in it. One JSON line, {"rows": N}, goes to standard output. Needs the package duckdb only.

Tried for `buckets` (1.5.5, two threads). Kept: failures forced to the build side, both sides streamed from Parquet, and
of a key's pairs only as many kept as the limit allows. Slower: the optimizer's own choice, which keeps the filtered
lake as a CTE and builds on the successes (1.8 times, several times the memory); a temporary table of failures or UNION
ALL to explode them (1.2 times); user and address as ENUM (1.8 times). As fast, but more memory where one account is
heavy: the pairs as a CTE, or grouped into hits before they are counted. No difference: one 64-bit hash of user, address
and bucket as the key, the bucket as first key, BETWEEN as time test, buckets of 1 to 8 minutes, no external file cache.
"""

import datetime
import json
import pathlib
import sys

import duckdb

MINUTE = 60_000_000  # logon_diff in microseconds
# Two minutes, not one: only a failure in the first minute of its bucket is held twice, so the hash table has 1.5 rows a
# failure instead of 2 and takes less memory. Longer buckets add candidates, most of all where one account is heavy.
BUCKET = 2 * MINUTE
LIMIT = 5

# Predicates are on the columns as they are stored (coalesce would keep them out of the scan); NULL means "" throughout.
APPS = "('Office 365 Exchange Online', 'Skype for Business Online', 'Office 365 SharePoint Online')"
SIDES = f"""
success AS NOT MATERIALIZED (
  SELECT epoch_us(TimeGenerated) AS t, coalesce(UserPrincipalName, '') AS u, coalesce(IPAddress, '') AS ip,
    coalesce(AppDisplayName, '') AS app
  FROM lake
  WHERE TimeGenerated >= $start - INTERVAL 1 MINUTE AND TimeGenerated < $end
    AND ResultType = '0' AND (AppDisplayName IS NULL OR AppDisplayName NOT IN {APPS})
),
fail AS NOT MATERIALIZED (
  SELECT epoch_us(TimeGenerated) AS t, coalesce(UserPrincipalName, '') AS u, coalesce(IPAddress, '') AS ip,
    AppDisplayName AS app, coalesce(ResultType, '') AS rt, coalesce(ResultDescription, '') AS descr
  FROM lake
  WHERE TimeGenerated >= $start AND TimeGenerated < $end
    AND (ResultType IS NULL OR ResultType NOT IN ('0', '50140'))
    AND (ResultDescription IS NULL OR lower(ResultDescription) <> 'other')
    AND AppDisplayName <> '' AND AppDisplayName NOT IN {APPS}
)"""

# A success has one bucket and a failure is in every bucket that its last minute touches: each pair is met once.
BUCKETS = f"""
bucketed AS NOT MATERIALIZED (
  SELECT *, unnest(CASE WHEN t // {BUCKET} = (t - {MINUTE}) // {BUCKET} THEN [t // {BUCKET}]
                        ELSE [t // {BUCKET}, t // {BUCKET} - 1] END) AS bucket
  FROM fail
),
pairs AS NOT MATERIALIZED (
  SELECT s.u, s.ip, s.app AS s_app, s.t AS s_t, f.t AS f_t, f.app AS f_app, f.rt, f.descr, f.t // 86400000000 AS day
  FROM success s JOIN bucketed f ON s.u = f.u AND s.ip = f.ip AND s.t // {BUCKET} = f.bucket
    AND s.t < f.t AND f.t - s.t <= {MINUTE} AND s.app <> f.app
)"""

NAIVE = f"""
pairs AS (
  SELECT s.u, s.ip, s.app AS s_app, s.t AS s_t, f.t AS f_t, f.app AS f_app, f.rt, f.descr, f.t // 86400000000 AS day
  FROM success s JOIN fail f ON s.u = f.u AND s.ip = f.ip
    AND s.t < f.t AND f.t - s.t <= {MINUTE} AND s.app <> f.app
)"""

# One pass over the pairs. A key within the limit has all of its pairs in the list; the list of any other is not used.
DISTRIBUTION = f"""
distribution AS (
  SELECT day, s_app, rt, count(*) AS n,
    arg_min({{'u': u, 'ip': ip, 'f_app': f_app, 'descr': descr, 's_t': s_t, 'f_t': f_t}}, f_t, {LIMIT}) AS kept
  FROM pairs
  GROUP BY ALL
),
rare AS (
  SELECT day, s_app, rt, n, unnest(kept, recursive := true) FROM distribution WHERE n <= {LIMIT}
)"""

NAIVE_DISTRIBUTION = f"""
distribution AS (
  SELECT day, s_app, rt, count(*) AS n FROM pairs GROUP BY ALL HAVING n <= {LIMIT}
),
rare AS (
  SELECT * FROM pairs JOIN distribution USING (day, s_app, rt)
)"""

HITS = """
hits AS (
  SELECT day, u, ip, s_app, f_app, rt, descr, min(s_t) AS s_t, min(f_t) AS f_t, any_value(n) AS n,
    count(*) AS pair_count
  FROM rare
  GROUP BY ALL
)
SELECT
  u AS UserPrincipalName,
  make_timestamptz(s_t) AS SuccessLogonTime,
  ip AS IPAddress,
  s_app AS SuccessAppDisplayName,
  make_timestamptz(f_t) AS FailedLogonTime,
  f_app AS FailedAppDisplayName,
  rt AS ResultType,
  descr AS ResultDescription,
  make_timestamptz(day * 86400000000) AS window_start,
  row_number() OVER (PARTITION BY day, s_app, rt ORDER BY s_t, f_t, u, ip, f_app, descr) AS kql_rank,
  n AS distribution_count,
  pair_count
FROM hits
ORDER BY day, s_t, f_t, u, ip, s_app, f_app, rt, descr, kql_rank, distribution_count, pair_count"""


def lit(text):
    return "'" + text.replace("'", "''") + "'"


def main():
    if len(sys.argv) != 7 or sys.argv[1] not in ("buckets", "naive"):
        sys.exit("usage: duckdb_hunt.py buckets|naive LAKE OUT FROM TO THREADS")
    form, lake, out = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    try:
        start, end = (datetime.date.fromisoformat(day) for day in sys.argv[4:6])
        threads = int(sys.argv[6])
    except ValueError as e:
        sys.exit(f"FROM and TO are dates (YYYY-MM-DD), THREADS is a number: {e}")
    if start >= end or threads < 1:
        sys.exit("FROM must be before TO, THREADS at least 1")
    # The day before holds the successes of the last minute before FROM.
    days = [start + datetime.timedelta(days=n) for n in range(-1, (end - start).days)]
    files = [str(f) for day in days for f in sorted(lake.glob(f"date={day}/*.parquet"))]
    if not files:
        sys.exit(f"{lake}: no date=YYYY-MM-DD/*.parquet from {days[0]} to {days[-1]}")

    db = duckdb.connect()
    db.execute(f"SET threads = {threads}; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    rest = f"{NAIVE}, {NAIVE_DISTRIBUTION}"
    if form == "buckets":
        rest = f"{BUCKETS}, {DISTRIBUTION}"
        # Joins as written, built on their right side: the estimates would build on the successes, the larger side.
        db.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    query = f"""WITH lake AS NOT MATERIALIZED (
      SELECT * FROM read_parquet([{", ".join(map(lit, files))}], hive_partitioning = false)
    ), {SIDES}, {rest}, {HITS}"""
    for name, day in (("$start", start), ("$end", end)):
        query = query.replace(name, f"TIMESTAMPTZ '{day} 00:00:00+00'")
    rows = db.execute(f"COPY ({query}) TO {lit(out)} (FORMAT parquet, COMPRESSION zstd)").fetchone()[0]
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
