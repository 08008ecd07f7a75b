-- $1 steady now. `+id`: SQLite would read the whole table in its order.
SELECT {job} FROM job
  WHERE state = 5 AND worker NOT IN (SELECT id FROM worker WHERE lease_until > $1) ORDER BY +id LIMIT 500 {skip}
