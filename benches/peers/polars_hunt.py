"""The sign-in hunt on Polars, tuned by hand, to be timed as a whole process.

    python polars_hunt.py FORM LAKE OUT FROM TO THREADS

FORM is `buckets`, the fastest form found, or `naive`, what a person writes first. LAKE holds date=YYYY-MM-DD/*.parquet,
OUT is the Parquet file to write, FROM and TO are UTC dates, half-open. Every day is a window of its own that owns the
pairs whose failure lies in it. One JSON line, {"rows": N}, goes to standard output. Needs the package polars only.

Tried for `buckets` (2.1.0, two threads). Kept: failures are collected first and built on, and the pairs are grouped
into hits as they stream. Within noise of it: the same in one lazy query, explode of a list, not concat, one 64-bit
hash of user, address and bucket as the key, user and address as Categorical, parallel="prefiltered" as the scan's
strategy, buckets of 1 to 8 minutes. As fast, but with more memory: build_side left to Polars, all pairs collected.
Slower: parallel="row_groups" or "columns", one cached scan for both sides.
"""

import datetime
import json
import os
import pathlib
import sys

MINUTE = 60_000_000  # logon_diff in microseconds
# Two minutes, not one: only a failure in the first minute of its bucket is held twice, so the hash table has 1.5 rows a
# failure instead of 2 and takes less memory. Longer buckets add candidates, most of all where one account is heavy.
BUCKET = 2 * MINUTE
DAY = 24 * 60 * MINUTE
LIMIT = 5
APPS = ["Office 365 Exchange Online", "Skype for Business Online", "Office 365 SharePoint Online"]


def sides(pl, files, start, end):
    """Successes and failures. The filters are on the columns as stored, so the scan can use them; NULL means ""."""
    at, app, code = pl.col("TimeGenerated"), pl.col("AppDisplayName"), pl.col("ResultType")
    text = pl.col("ResultDescription")
    begin, minute = pl.lit(start).cast(pl.Datetime("us", "UTC")), pl.duration(minutes=1)
    before = at < pl.lit(end).cast(pl.Datetime("us", "UTC"))
    who = [pl.col("UserPrincipalName").fill_null("").alias("u"), pl.col("IPAddress").fill_null("").alias("ip")]
    lake = pl.scan_parquet(files, hive_partitioning=False)
    success = lake.filter(
        at >= begin - minute, before, code == "0", app.is_null() | ~app.is_in(APPS)
    ).select(*who, at.dt.epoch("us").alias("s_t"), app.fill_null("").alias("s_app"))
    fail = lake.filter(
        at >= begin, before, code.is_null() | ~code.is_in(["0", "50140"]), app != "", ~app.is_in(APPS),
        text.is_null() | (text.str.to_lowercase() != "other"),
    ).select(
        *who, at.dt.epoch("us").alias("f_t"), app.alias("f_app"), code.fill_null("").alias("rt"),
        text.fill_null("").alias("descr"),
    )
    return success, fail


def buckets(pl, success, fail):
    """A success has one bucket and a failure is in every bucket that its last minute touches: each pair is met once."""
    own = pl.col("f_t") // BUCKET
    fail = fail.collect(engine="streaming").lazy()
    fail = pl.concat([
        fail.with_columns(bucket=own),
        fail.filter(own != (pl.col("f_t") - MINUTE) // BUCKET).with_columns(bucket=own - 1),
    ])
    success = success.with_columns(bucket=pl.col("s_t") // BUCKET)
    return fail.join(success, on=["u", "ip", "bucket"], build_side="force_left")


def naive(pl, success, fail):
    return success.join(fail, on=["u", "ip"])


def output(pl, hits):
    def time(name):
        return pl.col(name).cast(pl.Datetime("us", "UTC"))

    key = ["day", "s_app", "rt"]
    found = hits.with_columns(distribution_count=pl.sum("pair_count").over(key)).filter(
        pl.col("distribution_count") <= LIMIT
    )
    found = found.sort("s_t", "f_t", "u", "ip", "f_app", "descr").with_columns(
        kql_rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(key)
    )
    found = found.sort(
        "day", "s_t", "f_t", "u", "ip", "s_app", "f_app", "rt", "descr", "kql_rank", "distribution_count", "pair_count"
    )
    return found.select(
        UserPrincipalName="u",
        SuccessLogonTime=time("s_t"),
        IPAddress="ip",
        SuccessAppDisplayName="s_app",
        FailedLogonTime=time("f_t"),
        FailedAppDisplayName="f_app",
        ResultType="rt",
        ResultDescription="descr",
        window_start=(pl.col("day") * DAY).cast(pl.Datetime("us", "UTC")),
        kql_rank="kql_rank",
        distribution_count="distribution_count",
        pair_count="pair_count",
    )


def main():
    if len(sys.argv) != 7 or sys.argv[1] not in ("buckets", "naive"):
        sys.exit("usage: polars_hunt.py buckets|naive LAKE OUT FROM TO THREADS")
    lake, out = pathlib.Path(sys.argv[2]), sys.argv[3]
    try:
        start, end = (datetime.date.fromisoformat(day) for day in sys.argv[4:6])
        threads = int(sys.argv[6])
    except ValueError as e:
        sys.exit(f"FROM and TO are dates (YYYY-MM-DD), THREADS is a number: {e}")
    if start >= end or threads < 1:
        sys.exit("FROM must be before TO, THREADS at least 1")
    # The day before holds the successes of the last minute before FROM.
    days = [start + datetime.timedelta(days=n) for n in range(-1, (end - start).days)]
    files = [f for day in days for f in sorted(lake.glob(f"date={day}/*.parquet"))]
    if not files:
        sys.exit(f"{lake}: no date=YYYY-MM-DD/*.parquet from {days[0]} to {days[-1]}")

    os.environ["POLARS_MAX_THREADS"] = str(threads)  # read once, when polars is imported
    import polars as pl

    joined = {"buckets": buckets, "naive": naive}[sys.argv[1]](pl, *sides(pl, files, start, end))
    s_t, f_t = pl.col("s_t"), pl.col("f_t")
    pairs = joined.filter(s_t < f_t, f_t - s_t <= MINUTE, pl.col("s_app") != pl.col("f_app")).select(
        "u", "ip", "s_app", "s_t", "f_t", "f_app", "rt", "descr", day=f_t // DAY
    )
    # KQL's InitialHits. Each brings its number of pairs, so that the distribution is a sum over few rows.
    hits = pairs.group_by("day", "u", "ip", "s_app", "f_app", "rt", "descr").agg(
        pl.min("s_t", "f_t"), pair_count=pl.len().cast(pl.Int64)
    )
    found = output(pl, hits.collect(engine="streaming"))
    found.write_parquet(out, compression="zstd")
    print(json.dumps({"rows": found.height}))


if __name__ == "__main__":
    main()
