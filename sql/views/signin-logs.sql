-- SigninLogs as KQL sees it, from the rows of the lake (`raw`): a KQL string is never null, a missing one is "".
-- A run shows a hunt the rows from lookback before its first window to the end of its last one, half-open and UTC,
-- whatever else the partitions hold; so a window's answer does not depend on the windows that are read beside it.
SELECT
  TimeGenerated,
  coalesce(UserPrincipalName, '') AS UserPrincipalName,
  coalesce(IPAddress, '')         AS IPAddress,
  coalesce(AppDisplayName, '')    AS AppDisplayName,
  coalesce(ResultType, '')        AS ResultType,
  coalesce(ResultDescription, '') AS ResultDescription
FROM raw
WHERE TimeGenerated >= $range_start - $lookback
  AND TimeGenerated < $range_end
