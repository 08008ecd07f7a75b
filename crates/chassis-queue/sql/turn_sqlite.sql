{ended}; {answers};
  DELETE FROM due; INSERT INTO due {claims};
  {start} WHERE id IN (SELECT id FROM due); SELECT {all} FROM due JOIN job USING (id)
