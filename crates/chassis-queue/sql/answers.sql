UPDATE idempotency SET status = v.status, body = unhex(v.body), location = v.location
  FROM {rows} WHERE $11 > 0 AND idempotency.scope = unhex(v.scope)
