WITH keys AS ({keys} RETURNING owner),
  jobs AS ({jobs} AND {guard} AND (v.scope IS NULL OR v.group_id IN (SELECT owner FROM keys)) RETURNING 1) {count}
