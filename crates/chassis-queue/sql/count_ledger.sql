SELECT CAST(coalesce(sum(accepted), 0) AS BIGINT), CAST(coalesce(sum(completed), 0) AS BIGINT),
  CAST(coalesce(sum(failed), 0) AS BIGINT), CAST(coalesce(sum(expired), 0) AS BIGINT),
  CAST(coalesce(sum(cancelled), 0) AS BIGINT), CAST(coalesce(sum(unknown), 0) AS BIGINT) FROM ledger
