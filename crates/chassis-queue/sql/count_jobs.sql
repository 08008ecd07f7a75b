-- $1 steady now, $2 wall now. Channel, priority, due (0), later (1) or at a later run_at (2), jobs, first due, first due of
-- those never attempted.
SELECT channel, CAST(priority AS BIGINT),
      CASE WHEN at <= CASE WHEN state = 3 THEN $2 ELSE $1 END THEN 0 WHEN state = 3 THEN 2 ELSE 1 END,
      count(*), min(first_due), min(CASE WHEN state < 4 THEN first_due END) FROM job WHERE state <= 4 GROUP BY 1, 2, 3
    UNION ALL SELECT '/running', CAST(priority AS BIGINT), 0, count(*), min(first_due), NULL
      FROM job WHERE state = 5 GROUP BY 2
    UNION ALL SELECT '/batch', CAST(b.priority AS BIGINT),
      CASE WHEN b.first_due <= CASE WHEN b.state = 3 THEN $2 ELSE $1 END THEN 0 WHEN b.state = 3 THEN 2 ELSE 1 END,
      CAST(sum(c.jobs) AS BIGINT), min(b.first_due), min(b.first_due)
      FROM chunk c JOIN batch b ON b.id = c.batch GROUP BY 2, 3
