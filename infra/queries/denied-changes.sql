-- Who was refused which change in the last 30 days.
SELECT chain, sequence, time, principal_id, tenant_id, action, subject
FROM audit
WHERE dt >= CAST(CAST(CURRENT_DATE - INTERVAL '30' DAY AS DATE) AS VARCHAR)
  AND decision = 'deny'
ORDER BY time DESC, chain, sequence DESC
LIMIT 1000
