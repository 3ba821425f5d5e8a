-- Many failed sign-ins of one user from one address. One SELECT; its columns before window_start are the hit's own, and
-- window_start says which window a row belongs to. Names are compared as written, and need no quotes.
-- Every hunt has $range_start, $range_end, $lookback, $window_size and $scope beside the parameters of its job.
SELECT
  UserPrincipalName,
  IPAddress,
  min(TimeGenerated)             AS StartTime,
  max(TimeGenerated)             AS EndTime,
  count(*)                       AS Failures,
  count(DISTINCT AppDisplayName) AS Apps,
  date_bin($window_size, TimeGenerated, $range_start) AS window_start,
  date_bin($window_size, TimeGenerated, $range_start) + $window_size AS window_end
FROM SigninLogs
WHERE TimeGenerated >= $range_start               -- without this, rows of the lookback would make windows of their own
  AND array_has($failure_codes, ResultType)
  AND UserPrincipalName <> ''
GROUP BY
  date_bin($window_size, TimeGenerated, $range_start),
  UserPrincipalName,
  IPAddress
HAVING count(*) >= $threshold
