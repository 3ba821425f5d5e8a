-- SigninLogs as KQL sees it (a missing string is ""), with the country of the sign-in. Exports call a column Location that is
-- the country's code, or the whole place as JSON.
SELECT
  TimeGenerated,
  coalesce(UserPrincipalName, '') AS UserPrincipalName,
  coalesce(IPAddress, '')         AS IPAddress,
  CASE
    WHEN starts_with(Location, '{') THEN json_text(Location, 'countryOrRegion')
    ELSE coalesce(Location, '')
  END                             AS Location,
  coalesce(AppDisplayName, '')    AS AppDisplayName,
  coalesce(ResultType, '')        AS ResultType,
  coalesce(ResultDescription, '') AS ResultDescription
FROM raw
WHERE TimeGenerated >= $range_start - $lookback
  AND TimeGenerated < $range_end
