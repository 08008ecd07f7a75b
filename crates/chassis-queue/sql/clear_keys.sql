DELETE FROM idempotency
  WHERE scope IN (SELECT scope FROM idempotency WHERE expires < $1 LIMIT $2) RETURNING 1
