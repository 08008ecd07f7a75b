-- $1 rows, $2 steady now, $3 wall now, $4 worker. Without the limit, SQLite would extract a field from its JSON anew in
-- each place that reads it.
INSERT INTO job (id, part, parts, batch, sync, channel, priority, state, spent, unknowns,
    accepted_at, first_due, at, not_after, worker, trace, history, payload)
  SELECT v.id, v.id - v.group_id, v.parts, v.batch, CASE v.state WHEN 5 THEN 1 ELSE 0 END, v.channel, v.priority,
    v.state, CASE v.state WHEN 5 THEN 1 ELSE 0 END, 0, $3, coalesce(v.first_due, $2), coalesce(v.first_due, $2),
    v.not_after, CASE v.state WHEN 5 THEN $4 ELSE 0 END, unhex(v.trace), '[]', v.payload
  FROM (SELECT * FROM {rows} LIMIT 1000000000) AS v WHERE v.payload IS NOT NULL
