-- Who changed what in the last 30 days, and how it was before.
SELECT chain, sequence, time, principal_id, tenant_id, action, subject, version,
       CAST(before AS VARCHAR) AS value_before,
       CAST(after AS VARCHAR) AS value_after
FROM audit
WHERE dt >= CAST(CAST(CURRENT_DATE - INTERVAL '30' DAY AS DATE) AS VARCHAR)
  AND decision = 'allow'
  AND action <> 'audit.checkpoint'
ORDER BY time DESC, chain, sequence DESC
LIMIT 1000
