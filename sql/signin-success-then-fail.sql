-- Same User - Successful logon for a given App and failure on another App within 1m and low distribution.
-- Clause by clause Microsoft Sentinel's KQL of that name; names are compared as written, as in KQL.
WITH success AS (
  SELECT
    TimeGenerated AS SuccessLogonTime,
    UserPrincipalName,
    IPAddress,
    AppDisplayName AS SuccessAppDisplayName
  FROM SigninLogs
  WHERE ResultType = '0'
    AND NOT array_has($excluded_apps, AppDisplayName)
),

fail AS (
  SELECT
    TimeGenerated AS FailedLogonTime,
    UserPrincipalName,
    IPAddress,
    AppDisplayName AS FailedAppDisplayName,
    ResultType,
    ResultDescription
  FROM SigninLogs
  WHERE TimeGenerated >= $range_start                          -- a pair belongs to the window of its failure
    AND NOT array_has($excluded_result_types, ResultType)
    AND NOT equals_ignore_case(ResultDescription, 'Other')     -- ResultDescription !~ "Other"
    AND NOT array_has($excluded_apps, AppDisplayName)
    AND AppDisplayName <> ''                                   -- isnotempty(FailedAppDisplayName)
),

initial_data_set AS (
  SELECT
    date_bin($window_size, fail.FailedLogonTime, $range_start) AS window_start,
    success.UserPrincipalName,
    success.SuccessLogonTime,
    success.IPAddress,
    success.SuccessAppDisplayName,
    fail.FailedLogonTime,
    fail.FailedAppDisplayName,
    fail.ResultType,
    fail.ResultDescription
  FROM success
  JOIN fail
    ON success.UserPrincipalName = fail.UserPrincipalName
   AND success.IPAddress = fail.IPAddress
   AND followed_within(success.SuccessLogonTime, fail.FailedLogonTime, $logon_diff)
   AND success.SuccessAppDisplayName <> fail.FailedAppDisplayName
),

-- KQL counts the pairs of a (success app, failure code) over all users, not its distinct apps. A rare key brings all of
-- its pairs along; one over the limit brings its count, and one pair as an example.
distribution AS (
  SELECT
    count(*) AS distribution_count,
    all_or_one(
      named_struct(
        'window_start', window_start,
        'UserPrincipalName', UserPrincipalName,
        'SuccessLogonTime', SuccessLogonTime,
        'IPAddress', IPAddress,
        'SuccessAppDisplayName', SuccessAppDisplayName,
        'FailedLogonTime', FailedLogonTime,
        'FailedAppDisplayName', FailedAppDisplayName,
        'ResultType', ResultType,
        'ResultDescription', ResultDescription
      ),
      $max_distribution
    ) AS pairs
  FROM initial_data_set
  WHERE $scope = 'overlap' OR SuccessLogonTime >= window_start   -- strict: both sides inside the window
  GROUP BY window_start, SuccessAppDisplayName, ResultType
),

kept AS (
  SELECT distribution_count, unnest(pairs) AS pair FROM distribution
),

-- KQL's InitialHits, already joined with its Distribution. The key's columns come out of the pairs as well: beside an
-- unnested list, the planner would take them for unique.
initial_hits AS (
  SELECT
    pair['window_start']          AS window_start,
    pair['UserPrincipalName']     AS UserPrincipalName,
    pair['SuccessAppDisplayName'] AS SuccessAppDisplayName,
    pair['FailedAppDisplayName']  AS FailedAppDisplayName,
    pair['IPAddress']             AS IPAddress,
    pair['ResultType']            AS ResultType,
    pair['ResultDescription']     AS ResultDescription,
    min(pair['FailedLogonTime'])  AS FailedLogonTime,
    min(pair['SuccessLogonTime']) AS SuccessLogonTime,
    count(*)                      AS pair_count,
    distribution_count
  FROM kept
  GROUP BY window_start, UserPrincipalName, SuccessAppDisplayName, FailedAppDisplayName, IPAddress, ResultType, ResultDescription,
    distribution_count
),

-- The last join of the KQL is innerunique, which keeps one row of a key. All rows are written; kql_rank = 1 is that one.
ranked AS (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY window_start, SuccessAppDisplayName, ResultType
      ORDER BY SuccessLogonTime, FailedLogonTime, UserPrincipalName, IPAddress, FailedAppDisplayName, ResultDescription
    ) AS kql_rank
  FROM initial_hits
)

SELECT
  UserPrincipalName,
  SuccessLogonTime,
  IPAddress,
  SuccessAppDisplayName,
  FailedLogonTime,
  FailedAppDisplayName,
  ResultType,
  ResultDescription,
  SuccessLogonTime  AS timestamp,
  UserPrincipalName AS AccountCustomEntity,
  IPAddress         AS IPCustomEntity,
  window_start,
  window_start + $window_size           AS window_end,
  kql_rank,
  distribution_count,
  pair_count,
  distribution_count > $max_distribution AS over_limit
FROM ranked
