-- SigninLogs as KQL sees it (a missing string is ""), with the name that a user is shown by.
SELECT
  TimeGenerated,
  coalesce(UserPrincipalName, '') AS UserPrincipalName,
  coalesce(UserDisplayName, '')   AS UserDisplayName,
  coalesce(IPAddress, '')         AS IPAddress,
  coalesce(ResultType, '')        AS ResultType
FROM raw
WHERE TimeGenerated >= $range_start - $lookback
  AND TimeGenerated < $range_end
