-- Stretches of time between the first and the last window of a job that no window covers: nobody has looked there.
SELECT
    job,
    window_end AS gap_start,
    next_start AS gap_end
FROM (
    SELECT
        job,
        window_end,
        lead(window_start) OVER (PARTITION BY job ORDER BY window_start) AS next_start
    FROM runs
) AS windows
WHERE next_start > window_end
ORDER BY job, gap_start;
