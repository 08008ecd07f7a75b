-- The due jobs of a channel that start. A job that is the n-th of its priority has its turn at (n - share) / weight, and
-- the first turns win; shares are random. None for a worker whose lease is over. `+ 0`: SQLite prepares a statement anew
-- each time that a bare LIMIT parameter is bound.
SELECT id FROM (
    SELECT id, (row_number() OVER (ORDER BY at) - CAST({urgent} AS DOUBLE PRECISION)) / 16.0 AS turn
      FROM (SELECT id, at FROM job WHERE {due} AND priority = 0 ORDER BY at LIMIT {free} + 0 {skip}) AS urgent
    UNION ALL
    SELECT id, (row_number() OVER (ORDER BY at) - CAST({normal} AS DOUBLE PRECISION)) / 4.0 AS turn
      FROM (SELECT id, at FROM job WHERE {due} AND priority = 1 ORDER BY at LIMIT {free} + 0 {skip}) AS normal
    UNION ALL
    SELECT id, (row_number() OVER (ORDER BY at) - CAST({bulk} AS DOUBLE PRECISION)) / 1.0 AS turn
      FROM (SELECT id, at FROM job WHERE {due} AND priority = 2 ORDER BY at LIMIT {most_bulk} + 0 {skip}) AS bulk
  ) AS lanes
  WHERE EXISTS (SELECT 1 FROM worker WHERE worker.id = $10 AND lease_until > $7) ORDER BY turn LIMIT {free} + 0
