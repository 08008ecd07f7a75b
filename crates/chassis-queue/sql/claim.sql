-- $1 channel, $2 steady now, $3 wall now, $4 the later of both, $5 how many, $6 worker, $10 how many of them may be
-- bulk, $7 to $9 random shares of a turn: a job that is the n-th of its priority has its turn at (n - share) / weight,
-- and the first turns win. Takes nothing for a worker whose lease is over. `+ 0`: SQLite prepares a statement anew each
-- time that a bare LIMIT parameter is bound.
WITH due AS {materialized} (SELECT id FROM (
    SELECT id, (row_number() OVER (ORDER BY at) - CAST($7 AS DOUBLE PRECISION)) / 16.0 AS turn
      FROM (SELECT id, at FROM job WHERE {due} AND priority = 0 ORDER BY at LIMIT $5 + 0 {skip}) AS urgent
    UNION ALL
    SELECT id, (row_number() OVER (ORDER BY at) - CAST($8 AS DOUBLE PRECISION)) / 4.0 AS turn
      FROM (SELECT id, at FROM job WHERE {due} AND priority = 1 ORDER BY at LIMIT $5 + 0 {skip}) AS normal
    UNION ALL
    SELECT id, (row_number() OVER (ORDER BY at) - CAST($9 AS DOUBLE PRECISION)) / 1.0 AS turn
      FROM (SELECT id, at FROM job WHERE {due} AND priority = 2 ORDER BY at LIMIT $10 + 0 {skip}) AS bulk
  ) AS lanes
  WHERE EXISTS (SELECT 1 FROM worker WHERE worker.id = $6 AND lease_until > $2) ORDER BY turn LIMIT $5 + 0)
UPDATE job SET state = CASE WHEN not_after < $3 THEN 8 ELSE 5 END, at = $2,
  spent = spent + CASE WHEN not_after < $3 THEN 0 ELSE 1 END, worker = CASE WHEN not_after < $3 THEN 0 ELSE $6 END
FROM due WHERE job.id = due.id RETURNING {columns}
