-- Login attempts using Legacy Auth: clause by clause Microsoft Sentinel's KQL of that name, up to its enrichment by UEBA.
WITH legacy AS (
  SELECT
    date_bin($window_size, TimeGenerated, $range_start) AS window_start,
    TimeGenerated,
    UserPrincipalName,
    CASE WHEN ClientAppUsed = '' THEN 'Unknown' ELSE ClientAppUsed END AS ClientAppUsed,
    AppDisplayName,
    IPAddress,
    OperatingSystem                        AS OS,
    Browser,
    Country || '/' || State || '/' || City AS LocationString
  FROM SigninLogs
  WHERE ResultType = '0'                                        -- success logons only
    AND array_has($legacy_auth_protocols, CASE WHEN ClientAppUsed = '' THEN 'Unknown' ELSE ClientAppUsed END)
),

attempts AS (
  SELECT
    window_start, UserPrincipalName, ClientAppUsed, AppDisplayName, IPAddress, OS, Browser, LocationString,
    min(TimeGenerated) AS StartTime,
    max(TimeGenerated) AS EndTime,
    count(*)           AS AttemptCount
  FROM legacy
  GROUP BY window_start, UserPrincipalName, ClientAppUsed, AppDisplayName, IPAddress, OS, Browser, LocationString
),

-- KQL's leftanti join with the sign-ins of the time before. A window's own are compared with the last one of the same user,
-- client, application and address before it, whichever windows are read together.
compared AS (
  SELECT
    *,
    max(EndTime) OVER (
      PARTITION BY UserPrincipalName, ClientAppUsed, AppDisplayName, IPAddress
      ORDER BY window_start
      GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS last_before,
    min(StartTime) OVER (
      PARTITION BY UserPrincipalName, ClientAppUsed, AppDisplayName, IPAddress, window_start
    ) AS first_inside
  FROM attempts
)

SELECT
  UserPrincipalName,
  ClientAppUsed,
  AppDisplayName,
  IPAddress,
  'Yes'             AS isLegacyAuth,
  OS,
  Browser,
  LocationString,
  StartTime,
  EndTime,
  AttemptCount,
  StartTime         AS timestamp,
  UserPrincipalName AS AccountCustomEntity,
  IPAddress         AS IPCustomEntity,
  window_start,
  window_start + $window_size AS window_end
FROM compared
WHERE window_start >= $range_start
  AND (last_before IS NULL OR last_before < window_start - $baseline)
  AND first_inside > window_start                               -- between(… .. starttime) holds the first instant, too
