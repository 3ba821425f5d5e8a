-- The keys that were too common to be hits, with their pairs, from the run records; for DuckDB, of either format.
SELECT
    record.job ->> 'slug' AS job,
    record."window" ->> 'label' AS window_label,
    key AS suppressed_key,
    CAST(key ->> 'pairs' AS BIGINT) AS pairs
FROM (
    SELECT job, "window", unnest(over_limit) AS key
    FROM read_json(
        getvariable('output') || '/runs/*/*/run.json',
        columns = {job: 'JSON', "window": 'JSON', over_limit: 'JSON[]'},
        hive_partitioning = false
    )
) AS record
ORDER BY pairs DESC, job, window_label;
