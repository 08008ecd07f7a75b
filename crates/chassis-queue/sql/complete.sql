UPDATE job SET state = v.state, at = v.at, spent = v.spent, unknowns = v.unknowns,
    history = v.history, last_trace = unhex(v.last_trace), reason = v.reason, worker = 0
  FROM {rows} WHERE job.id = v.id AND job.state = 5 AND job.worker = v.worker
