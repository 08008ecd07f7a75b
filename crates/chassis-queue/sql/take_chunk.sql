-- $1 steady now, $2 wall now. `=` and not `IN`: PostgreSQL may run the inner query of `IN` again for each row, and each run
-- would skip what is deleted already and find the next chunk.
DELETE FROM chunk WHERE (batch, n) = (SELECT c.batch, c.n FROM chunk c JOIN batch b ON b.id = c.batch
    WHERE b.first_due <= CASE WHEN b.state = 3 THEN $2 ELSE $1 END
    ORDER BY b.priority, c.batch, c.n LIMIT 1 {skip_chunk}) RETURNING batch, members,
  (SELECT info FROM batch WHERE batch.id = chunk.batch)
