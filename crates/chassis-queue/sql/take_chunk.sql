-- $1 steady now, $2 wall now.
DELETE FROM chunk WHERE (batch, n) IN (SELECT c.batch, c.n FROM chunk c JOIN batch b ON b.id = c.batch
    WHERE b.first_due <= CASE WHEN b.state = 3 THEN $2 ELSE $1 END
    ORDER BY b.priority, c.batch, c.n LIMIT 1 {skip_chunk}) RETURNING batch, members,
  (SELECT info FROM batch WHERE batch.id = chunk.batch)
