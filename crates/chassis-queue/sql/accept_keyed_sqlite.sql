{keys};
  {jobs} AND {guard} AND (v.scope IS NULL OR EXISTS (SELECT 1 FROM idempotency i
    WHERE i.scope = unhex(v.scope) AND i.owner = v.group_id)); SELECT changes();
  UPDATE ledger SET accepted = accepted + changes() WHERE changes() > 0
