INSERT INTO ledger (slot, accepted, completed, failed, expired, cancelled, unknown)
  VALUES ({slot}, $1, $2, $3, $4, $5, $6) ON CONFLICT (slot) DO UPDATE SET accepted = ledger.accepted + excluded.accepted,
    completed = ledger.completed + excluded.completed, failed = ledger.failed + excluded.failed,
    expired = ledger.expired + excluded.expired, cancelled = ledger.cancelled + excluded.cancelled,
    unknown = ledger.unknown + excluded.unknown
