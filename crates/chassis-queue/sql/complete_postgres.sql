ended AS ({complete} RETURNING 1),
  counted AS (INSERT INTO ledger (slot, accepted, completed, failed, expired, cancelled, unknown)
    SELECT {slot}, 0, CASE WHEN (SELECT count(*) FROM ended) = $2 THEN CAST($3 AS BIGINT) END, CAST($4 AS BIGINT),
      CAST($5 AS BIGINT), 0, CAST($6 AS BIGINT) WHERE $2 > 0
    ON CONFLICT (slot) DO UPDATE SET completed = ledger.completed + excluded.completed,
      failed = ledger.failed + excluded.failed, expired = ledger.expired + excluded.expired,
      unknown = ledger.unknown + excluded.unknown)
