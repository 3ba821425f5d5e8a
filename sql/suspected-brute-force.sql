-- Suspected Brute force attack Investigation: clause by clause Microsoft Sentinel's KQL of that name.
-- The KQL's function over each of the two tables, and their union.
WITH sign_ins AS (
  SELECT 'SigninLogs' AS Type, TimeGenerated, UserPrincipalName, UserDisplayName, IPAddress, ResultType FROM SigninLogs
  UNION ALL
  SELECT 'AADNonInteractiveUserSignInLogs', TimeGenerated, UserPrincipalName, UserDisplayName, IPAddress, ResultType
  FROM AADNonInteractiveUserSignInLogs
),

attempts AS (
  SELECT
    date_bin($window_size, TimeGenerated, $range_start) AS window_start,
    bin(TimeGenerated, $attempts_within)                AS hour,
    UserPrincipalName,
    UserDisplayName,
    IPAddress,
    Type,
    count(*) FILTER (WHERE NOT array_has($success_codes, ResultType)) AS FailureCount,
    count(*) FILTER (WHERE array_has($success_codes, ResultType))     AS SuccessCount
  FROM sign_ins
  GROUP BY 1, 2, 3, 4, 5, 6
)

SELECT
  hour              AS TimeGenerated,
  UserPrincipalName,
  UserDisplayName,
  IPAddress,
  FailureCount,
  SuccessCount,
  UserPrincipalName AS AccountCustomEntity,
  IPAddress         AS IPCustomEntity,
  Type,
  window_start,
  window_start + $window_size AS window_end
FROM attempts
WHERE FailureCount > $max_failures
  AND SuccessCount > 0
