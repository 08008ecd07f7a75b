SELECT max(id), max(accepted_at)
  FROM (SELECT id, accepted_at FROM job WHERE id > $1 ORDER BY id LIMIT $2) AS piece
