-- The bound is no parameter: PostgreSQL would plan for a tenth of all keys, and read the whole table.
DELETE FROM idempotency
  WHERE scope IN (SELECT scope FROM idempotency WHERE expires < $1 LIMIT 500) RETURNING 1
