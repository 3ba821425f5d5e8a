-- One line a job: how far it has come, when it last did something, and what its hits leave out.
SELECT
    job,
    count(*) AS windows,
    min(window_start) AS covered_from,
    max(window_end) AS covered_to,
    max(evaluated_at) AS last_evaluated_at,
    max(newest_file_at) AS newest_file_at,
    sum(hits) AS hits,
    sum(CASE WHEN over_limit_keys > 0 THEN 1 ELSE 0 END) AS windows_with_suppressed_keys,
    sum(over_limit_keys) AS suppressed_keys,
    sum(over_limit_pairs) AS suppressed_pairs
FROM runs
GROUP BY job
ORDER BY job;
