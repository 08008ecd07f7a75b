INSERT INTO idempotency (scope, digest, owner, expires, status, body, location)
  SELECT unhex(v.scope), unhex(v.digest), v.group_id, $3 + 86400000, v.status, unhex(v.body), v.location
  FROM {rows} WHERE v.scope IS NOT NULL AND v.id = v.group_id AND {guard}
  ORDER BY v.scope ON CONFLICT (scope) DO NOTHING
