{complete}; UPDATE ledger SET completed = CASE WHEN changes() = $2 THEN completed + $3 END, failed = failed + $4,
  expired = expired + $5, unknown = unknown + $6 WHERE $2 > 0
