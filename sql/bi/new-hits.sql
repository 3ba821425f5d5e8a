-- Hits of the windows that were evaluated within the last day, newest first; also of old windows that were done again.
-- kql_rank = 1 is KQL's own answer; without that line there are all hits of each rare key.
SELECT
    runs.evaluated_at,
    hits.window_start,
    hits.UserPrincipalName,
    hits.IPAddress,
    hits.SuccessLogonTime,
    hits.SuccessAppDisplayName,
    hits.FailedLogonTime,
    hits.FailedAppDisplayName,
    hits.ResultType,
    hits.ResultDescription,
    hits.hit_id
FROM hits
JOIN runs
  ON runs.job_id = hits.job_id
 AND runs.window_start = hits.window_start
WHERE runs.evaluated_at >= current_timestamp - INTERVAL '1' DAY
  AND hits.kql_rank = 1
ORDER BY runs.evaluated_at DESC, hits.SuccessLogonTime DESC, hits.hit_id;
