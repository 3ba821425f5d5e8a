-- User Login IP Address Teleportation: clause by clause Microsoft Sentinel's KQL of that name, up to its enrichment by UEBA.
WITH logins AS (
  SELECT TimeGenerated, UserPrincipalName, IPAddress, Country
  FROM SigninLogs
  WHERE equals_ignore_case(ConditionalAccessStatus, 'success')
),

-- A login counts for its own window and for all that follow within $baseline: the KQL counts over its whole time range.
counted AS (
  SELECT
    greatest(date_bin($window_size, TimeGenerated, $range_start), $range_start)                       AS first_window,
    least(date_bin($window_size, TimeGenerated + $baseline, $range_start), $range_end - $window_size) AS last_window,
    Country,
    count(*) AS login_count
  FROM logins
  WHERE Country <> ''
  GROUP BY 1, 2, 3
),

countries AS (
  SELECT window_start, Country, sum(login_count) AS login_count
  FROM (
    SELECT unnest(generate_series(first_window, last_window, $window_size)) AS window_start, Country, login_count
    FROM counted
  )
  GROUP BY window_start, Country
),

rare AS (
  SELECT window_start, Country
  FROM (SELECT *, sum(login_count) OVER (PARTITION BY window_start) AS all_logins FROM countries)
  WHERE CAST(login_count AS DOUBLE) / CAST(all_logins AS DOUBLE) * 100 < $max_prevalence
),

-- Logins from a country that is rare in some window of the run; in which one is looked at below.
anomalous AS (
  SELECT logins.*
  FROM logins
  LEFT SEMI JOIN rare ON rare.Country = logins.Country
  WHERE IPAddress <> ''
    AND TimeGenerated >= $range_start - $window_time
    AND NOT array_has($excluded_ips, IPAddress)
),

-- The other logins, with the instant after which an anomalous one is near: just before WindowStart, which is inclusive.
others AS (
  SELECT *, TimeGenerated - $window_time - INTERVAL '1 nanosecond' AS before_window
  FROM logins
  WHERE NOT array_has($excluded_ips, IPAddress)
    AND TimeGenerated >= $range_start - $window_time
),

pairs AS (
  SELECT DISTINCT
    date_bin($window_size, greatest(anomalous.TimeGenerated, other.TimeGenerated), $range_start) AS window_start,
    least(anomalous.TimeGenerated, other.TimeGenerated) AS first_time,
    anomalous.UserPrincipalName AS Account,
    anomalous.IPAddress         AS AnomalousIP,
    anomalous.TimeGenerated     AS AnomalousLoginTime,
    anomalous.Country           AS AnomalousCountry,
    other.IPAddress             AS OtherLoginIP,
    other.Country               AS OtherLoginCountry,
    other.TimeGenerated         AS OtherLoginTime
  FROM anomalous
  JOIN others AS other
    ON other.UserPrincipalName = anomalous.UserPrincipalName
   AND other.IPAddress <> anomalous.IPAddress
   AND other.Country <> anomalous.Country
   -- between (WindowStart .. WindowEnd)
   AND followed_within(other.before_window, anomalous.TimeGenerated, $window_time + $window_time + INTERVAL '1 nanosecond')
)

SELECT
  Account,
  AnomalousIP,
  AnomalousLoginTime,
  AnomalousCountry,
  OtherLoginIP,
  OtherLoginCountry,
  OtherLoginTime - $window_time AS OtherLoginWindowStart,
  OtherLoginTime + $window_time AS OtherLoginWindowEnd,
  AnomalousLoginTime            AS timestamp,
  Account                       AS AccountCustomEntity,
  AnomalousIP                   AS IPCustomEntity,
  pairs.window_start            AS window_start,
  pairs.window_start + $window_size AS window_end
FROM pairs
LEFT SEMI JOIN rare ON rare.window_start = pairs.window_start AND rare.Country = pairs.AnomalousCountry
WHERE pairs.window_start >= $range_start                                    -- a pair belongs to the window of its later login
  AND ($scope = 'overlap' OR first_time >= pairs.window_start)
