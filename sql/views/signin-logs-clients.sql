-- SigninLogs as KQL sees it (a missing string is ""), with client, device and place: of DeviceDetail and LocationDetails, or of
-- columns, where an export has made columns of them.
SELECT
  TimeGenerated,
  coalesce(UserPrincipalName, '') AS UserPrincipalName,
  coalesce(IPAddress, '')         AS IPAddress,
  coalesce(AppDisplayName, '')    AS AppDisplayName,
  coalesce(ClientAppUsed, '')     AS ClientAppUsed,
  coalesce(ResultType, '')        AS ResultType,
  coalesce(nullif(json_text(DeviceDetail, 'operatingSystem'), ''), DeviceOperatingSystem, '') AS OperatingSystem,
  coalesce(nullif(json_text(DeviceDetail, 'browser'), ''), DeviceBrowser, '')                 AS Browser,
  coalesce(nullif(json_text(LocationDetails, 'countryOrRegion'), ''), LocationCountry, '')    AS Country,
  coalesce(nullif(json_text(LocationDetails, 'state'), ''), LocationState, '')                AS State,
  coalesce(nullif(json_text(LocationDetails, 'city'), ''), LocationCity, '')                  AS City
FROM raw
WHERE TimeGenerated >= $range_start - $lookback
  AND TimeGenerated < $range_end
