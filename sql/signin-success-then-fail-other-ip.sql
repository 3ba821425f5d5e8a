-- Successful logon from IP and failure from a different IP: clause by clause Microsoft Sentinel's KQL of that name, up to its
-- enrichment by UEBA.
-- The KQL's function over each of the two tables, and their union: a pair is of one table.
WITH sign_ins AS (
  SELECT 'SigninLogs' AS Type, * FROM SigninLogs
  UNION ALL
  SELECT 'AADNonInteractiveUserSignInLogs', * FROM AADNonInteractiveUserSignInLogs
),

success AS (
  SELECT
    Type,
    TimeGenerated AS SuccessLogonTime,
    UserPrincipalName,
    IPAddress AS SuccessIPAddress,
    Location AS SuccessLocation,
    AppDisplayName,
    -- The first two numbers of an IPv4 address, the first two groups of an IPv6 one. There is no dot or colon after them, as
    -- there is none in the KQL: 10.1 is also the beginning of 10.12.
    CASE
      WHEN contains(IPAddress, ':') THEN split_part(IPAddress, ':', 1) || ':' || split_part(IPAddress, ':', 2)
      ELSE split_part(IPAddress, '.', 1) || '.' || split_part(IPAddress, '.', 2)
    END AS SuccessIPBlock
  FROM sign_ins
  WHERE ResultType = '0'
    AND NOT array_has($excluded_apps, AppDisplayName)
),

fail AS (
  SELECT
    Type,
    TimeGenerated AS FailedLogonTime,
    UserPrincipalName,
    IPAddress AS FailedIPAddress,
    Location AS FailedLocation,
    AppDisplayName,
    ResultType,
    ResultDescription
  FROM sign_ins
  WHERE TimeGenerated >= $range_start                          -- a pair belongs to the window of its failure
    AND NOT array_has($excluded_result_types, ResultType)
    AND NOT equals_ignore_case(ResultDescription, 'Other')     -- ResultDescription !~ "Other"
    AND NOT array_has($excluded_apps, AppDisplayName)
),

pairs AS (
  SELECT
    date_bin($window_size, fail.FailedLogonTime, $range_start) AS window_start,
    success.Type,
    success.UserPrincipalName,
    success.SuccessLogonTime,
    success.SuccessIPAddress,
    success.SuccessLocation,
    success.AppDisplayName,
    fail.FailedLogonTime,
    fail.FailedIPAddress,
    fail.FailedLocation,
    fail.ResultType,
    fail.ResultDescription
  FROM success
  JOIN fail
    ON success.Type = fail.Type
   AND success.UserPrincipalName = fail.UserPrincipalName
   AND success.AppDisplayName = fail.AppDisplayName
   AND followed_within(success.SuccessLogonTime, fail.FailedLogonTime, $logon_diff)
   AND NOT starts_with_ignore_case(fail.FailedIPAddress, success.SuccessIPBlock)    -- FailedIPAddress !startswith SuccessIPBlock
),

hits AS (
  SELECT
    window_start,
    UserPrincipalName,
    SuccessIPAddress,
    SuccessLocation,
    AppDisplayName,
    FailedIPAddress,
    FailedLocation,
    ResultType,
    ResultDescription,
    Type,
    max(FailedLogonTime)  AS FailedLogonTime,
    max(SuccessLogonTime) AS SuccessLogonTime,
    count(*)              AS pair_count
  FROM pairs
  WHERE $scope = 'overlap' OR SuccessLogonTime >= window_start     -- strict: both sides inside the window
  GROUP BY window_start, UserPrincipalName, SuccessIPAddress, SuccessLocation, AppDisplayName, FailedIPAddress, FailedLocation,
    ResultType, ResultDescription, Type
)

SELECT
  lower(UserPrincipalName) AS UserPrincipalName,
  SuccessIPAddress,
  SuccessLocation,
  AppDisplayName,
  FailedIPAddress,
  FailedLocation,
  ResultType,
  ResultDescription,
  Type,
  FailedLogonTime,
  SuccessLogonTime,
  SuccessLogonTime         AS timestamp,
  split_part(lower(UserPrincipalName), '@', 1) AS Name,
  split_part(lower(UserPrincipalName), '@', 2) AS UPNSuffix,
  UserPrincipalName        AS UserAsWritten,                      -- rows that differ in the case of the user stay two rows
  window_start,
  window_start + $window_size AS window_end,
  pair_count
FROM hits
