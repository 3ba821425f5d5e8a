-- SigninLogs as KQL sees it (a missing string is ""), with its place taken apart: of LocationDetails, which KQL reads as
-- tostring(LocationDetails["countryOrRegion"]) and so on; or of columns, where an export has made columns of it.
SELECT
  TimeGenerated,
  coalesce(UserPrincipalName, '')       AS UserPrincipalName,
  coalesce(Identity, '')                AS Identity,
  coalesce(IPAddress, '')               AS IPAddress,
  coalesce(ConditionalAccessStatus, '') AS ConditionalAccessStatus,
  coalesce(nullif(json_text(LocationDetails, 'countryOrRegion'), ''), LocationCountry, '') AS Country,
  coalesce(nullif(json_text(LocationDetails, 'state'), ''), LocationState, '')             AS State,
  coalesce(nullif(json_text(LocationDetails, 'city'), ''), LocationCity, '')               AS City
FROM raw
WHERE TimeGenerated >= $range_start - $lookback
  AND TimeGenerated < $range_end
