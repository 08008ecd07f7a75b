-- A group goes as a whole.
DELETE FROM job WHERE id > $1 AND id <= $2 AND state BETWEEN 6 AND 9 AND at < $3 AND (parts = 1 OR NOT EXISTS (
    SELECT 1 FROM job AS other WHERE other.id >= job.id - job.part AND other.id < job.id - job.part + job.parts
      AND (other.state NOT BETWEEN 6 AND 9 OR other.at >= $3)))
  RETURNING id
