-- $3 wall now: what was accepted while the clock was ahead says nothing about what comes after it.
SELECT max(id), max(CASE WHEN accepted_at <= $3 THEN accepted_at END)
  FROM (SELECT id, accepted_at FROM job WHERE id > $1 ORDER BY id LIMIT $2) AS piece
