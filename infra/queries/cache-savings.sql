-- What caches saved in the last 30 days: prompt caches of providers in money, the gateway's own in calls.
SELECT tenant_id, model,
       SUM(cache_read_tokens) AS cache_read_tokens,
       SUM(cache_write_5m_tokens + cache_write_1h_tokens) AS cache_write_tokens,
       SUM(CASE WHEN is_cache_hit THEN 1 ELSE 0 END) AS answered_by_gateway,
       SUM(uncached_cost_nanousd) - SUM(cost_nanousd) AS saved_nanousd,
       CAST(SUM(uncached_cost_nanousd) - SUM(cost_nanousd) AS DECIMAL(20, 0)) * 0.000000001 AS saved_usd
FROM usage
WHERE dt >= CAST(CAST(CURRENT_DATE - INTERVAL '30' DAY AS DATE) AS VARCHAR)
  AND schema_version >= 3
GROUP BY tenant_id, model
ORDER BY saved_nanousd DESC, tenant_id, model
