-- What each model cost in the last 30 days.
SELECT model, service_tier,
       SUM(CASE WHEN attempt = 1 THEN 1 ELSE 0 END) AS calls,
       COUNT(*) AS attempts,
       SUM(input_tokens + input_audio_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens) AS input_tokens,
       SUM(output_tokens + output_audio_tokens) AS output_tokens,
       SUM(cost_nanousd) AS cost_nanousd,
       CAST(SUM(cost_nanousd) AS DECIMAL(20, 0)) * 0.000000001 AS cost_usd
FROM usage
WHERE dt >= CAST(CAST(CURRENT_DATE - INTERVAL '30' DAY AS DATE) AS VARCHAR)
GROUP BY model, service_tier
ORDER BY cost_nanousd DESC, model, service_tier
