-- Azure Active Directory sign-in burst from multiple locations: clause by clause Microsoft Sentinel's KQL of that name.
WITH sign_ins AS (
  SELECT
    TimeGenerated,
    Identity,
    UserPrincipalName,
    Country || '/' || State || '/' || City AS locationString
  FROM SigninLogs
  WHERE Country || '/' || State || '/' || City <> '//'
),

-- A sign-in counts for its own window and for all that follow within $baseline: the KQL counts over its whole time range.
counted AS (
  SELECT
    greatest(date_bin($window_size, TimeGenerated, $range_start), $range_start)                              AS first_window,
    least(date_bin($window_size, TimeGenerated + $baseline, $range_start), $range_end - $window_size)        AS last_window,
    locationString,
    count(*) AS sign_in_count
  FROM sign_ins
  GROUP BY 1, 2, 3
),

locations AS (
  SELECT window_start, locationString, sum(sign_in_count) AS sign_in_count
  FROM (
    SELECT unnest(generate_series(first_window, last_window, $window_size)) AS window_start, locationString, sign_in_count
    FROM counted
  )
  GROUP BY window_start, locationString
),

-- summarize count() by locationString | order by count_ desc | take 100. KQL takes any of those that tie for the last place.
popular AS (
  SELECT window_start, locationString
  FROM (
    SELECT *, row_number() OVER (PARTITION BY window_start ORDER BY sign_in_count DESC, locationString) AS place
    FROM locations
  )
  WHERE place <= $popular_locations
),

-- KQL's join on TimeKey: the first sign-in lies in one of the bins from that of (End - lookupWindow) to that of End. So they are
-- less than a window and a bin apart.
bursts AS (
  SELECT DISTINCT
    date_bin($window_size, later.TimeGenerated, $range_start) AS window_start,
    later.Identity,
    earlier.locationString,
    later.locationString  AS EndLocationString,
    earlier.TimeGenerated AS "Start",
    later.TimeGenerated   AS "End",
    earlier.UserPrincipalName
  FROM sign_ins AS earlier
  JOIN sign_ins AS later
    ON earlier.Identity = later.Identity
   AND followed_within(earlier.TimeGenerated, later.TimeGenerated, $lookup_window + $lookup_bin)
   AND bin(earlier.TimeGenerated, $lookup_bin) >= bin(later.TimeGenerated - $lookup_window, $lookup_bin)
   AND earlier.locationString <> later.locationString
  WHERE later.TimeGenerated >= $range_start                     -- a pair belongs to the window of its second sign-in
    AND earlier.TimeGenerated >= $range_start - $lookup_window - $lookup_bin   -- nothing earlier is in reach
)

SELECT
  (CAST("End" AS BIGINT) - CAST("Start" AS BIGINT)) / 1e9 AS timeSpan,     -- in seconds
  Identity,
  bursts.locationString AS locationString,
  EndLocationString,
  "Start",
  "End",
  UserPrincipalName,
  "Start"               AS timestamp,
  UserPrincipalName     AS AccountCustomEntity,
  bursts.window_start   AS window_start,
  bursts.window_start + $window_size AS window_end
FROM bursts
LEFT ANTI JOIN popular AS popular_start
  ON popular_start.window_start = bursts.window_start AND popular_start.locationString = bursts.locationString
LEFT ANTI JOIN popular AS popular_end
  ON popular_end.window_start = bursts.window_start AND popular_end.locationString = bursts.EndLocationString
WHERE $scope = 'overlap' OR "Start" >= bursts.window_start
