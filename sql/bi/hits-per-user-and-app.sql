-- Who has hits, and on which app the sign-in succeeded before another one failed.
SELECT
    UserPrincipalName,
    SuccessAppDisplayName,
    count(*) AS hits,
    count(DISTINCT window_start) AS windows,
    count(DISTINCT IPAddress) AS addresses,
    min(SuccessLogonTime) AS first_seen,
    max(SuccessLogonTime) AS last_seen
FROM hits
GROUP BY UserPrincipalName, SuccessAppDisplayName
ORDER BY hits DESC, UserPrincipalName, SuccessAppDisplayName;
