UPDATE job SET state = 5, at = $7, spent = spent + 1, worker = $10
