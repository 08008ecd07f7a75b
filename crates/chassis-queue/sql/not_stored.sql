-- A key that was in the way and has expired meanwhile is told as one in flight: the repeat will be stored.
SELECT v.group_id, CAST(CASE WHEN i.digest = unhex(v.digest) THEN 1 WHEN i.digest IS NOT NULL THEN 0
    WHEN v.scope IS NOT NULL AND {guard} THEN 1 END AS BIGINT),
  CAST(i.status AS BIGINT), i.body, i.location
  FROM {rows} LEFT JOIN idempotency i ON i.scope = unhex(v.scope)
  WHERE v.id = v.group_id AND NOT CASE
    WHEN v.scope IS NOT NULL THEN coalesce(i.owner = v.group_id, 1 = 0)
    WHEN v.payload IS NOT NULL THEN EXISTS (SELECT 1 FROM job WHERE job.id = v.id)
    ELSE {guard} END
