-- How calls of each model ended in the last 30 days, and how long they took.
SELECT provider, region, model,
       COUNT(*) AS attempts,
       SUM(CASE WHEN outcome = 'completed' THEN 1 ELSE 0 END) AS completed,
       SUM(CASE WHEN outcome = 'refused' THEN 1 ELSE 0 END) AS refused,
       SUM(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END) AS failed,
       SUM(CASE WHEN outcome = 'abandoned' THEN 1 ELSE 0 END) AS abandoned,
       ROUND(100.0 * SUM(CASE WHEN outcome = 'completed' THEN 0 ELSE 1 END) / COUNT(*), 2) AS error_percent,
       ROUND(AVG(latency_ms), 0) AS average_latency_ms
FROM usage
WHERE dt >= CAST(CAST(CURRENT_DATE - INTERVAL '30' DAY AS DATE) AS VARCHAR)
GROUP BY provider, region, model
ORDER BY error_percent DESC, provider, region, model
