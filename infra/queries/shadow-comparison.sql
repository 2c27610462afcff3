-- How calls of the last 30 days went that were made of their model's successor as well: a row for either side.
WITH calls AS (
  SELECT tenant_id, call_id, shadow_of, model, outcome, cost_nanousd,
         input_tokens + input_audio_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens AS all_input,
         output_tokens + output_audio_tokens AS all_output,
         CASE WHEN outcome = 'completed' THEN latency_ms END AS latency,
         CASE WHEN outcome = 'completed' THEN time_to_first_token_ms END AS first_piece
  FROM usage
  WHERE dt >= CAST(CAST(CURRENT_DATE - INTERVAL '30' DAY AS DATE) AS VARCHAR)
    AND attempt = 1
), sides AS (
  SELECT client.model, shadow.model AS successor, FALSE AS is_shadow, client.outcome, client.cost_nanousd,
         client.all_input, client.all_output, client.latency, client.first_piece
  FROM calls AS shadow
  JOIN calls AS client ON client.tenant_id = shadow.tenant_id AND client.call_id = shadow.shadow_of
  UNION ALL
  SELECT client.model, shadow.model AS successor, TRUE AS is_shadow, shadow.outcome, shadow.cost_nanousd,
         shadow.all_input, shadow.all_output, shadow.latency, shadow.first_piece
  FROM calls AS shadow
  JOIN calls AS client ON client.tenant_id = shadow.tenant_id AND client.call_id = shadow.shadow_of
), ranked AS (
  SELECT model, successor, is_shadow, outcome, cost_nanousd, all_input, all_output, latency, first_piece,
         COUNT(latency) OVER (PARTITION BY model, successor, is_shadow) AS latencies,
         COUNT(first_piece) OVER (PARTITION BY model, successor, is_shadow) AS firsts,
         ROW_NUMBER() OVER (PARTITION BY model, successor, is_shadow ORDER BY latency NULLS LAST) AS latency_rank,
         ROW_NUMBER() OVER (PARTITION BY model, successor, is_shadow ORDER BY first_piece NULLS LAST) AS first_rank
  FROM sides
)
SELECT model, successor, is_shadow,
       COUNT(*) AS pairs,
       SUM(CASE WHEN outcome = 'completed' THEN 0 ELSE 1 END) AS failed,
       ROUND(100.0 * SUM(CASE WHEN outcome = 'completed' THEN 0 ELSE 1 END) / COUNT(*), 2) AS error_percent,
       MIN(CASE WHEN latency_rank >= 0.5 * latencies THEN latency END) AS p50_latency_ms,
       MIN(CASE WHEN latency_rank >= 0.95 * latencies THEN latency END) AS p95_latency_ms,
       MIN(CASE WHEN first_rank >= 0.5 * firsts THEN first_piece END) AS p50_time_to_first_token_ms,
       MIN(CASE WHEN first_rank >= 0.95 * firsts THEN first_piece END) AS p95_time_to_first_token_ms,
       ROUND(AVG(all_input), 1) AS average_input_tokens,
       ROUND(AVG(all_output), 1) AS average_output_tokens,
       SUM(cost_nanousd) AS cost_nanousd,
       CAST(SUM(cost_nanousd) AS DECIMAL(20, 0)) * 0.000000001 AS cost_usd
FROM ranked
GROUP BY model, successor, is_shadow
ORDER BY model, successor, is_shadow
