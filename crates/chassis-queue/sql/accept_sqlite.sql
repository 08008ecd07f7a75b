{jobs} AND {guard}; SELECT changes();
  UPDATE ledger SET accepted = accepted + changes() WHERE changes() > 0
