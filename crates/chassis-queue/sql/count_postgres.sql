INSERT INTO ledger SELECT {slot}, count(*), 0, 0, 0, 0, 0 FROM jobs
  ON CONFLICT (slot) DO UPDATE SET accepted = ledger.accepted + excluded.accepted RETURNING (SELECT count(*) FROM jobs)
