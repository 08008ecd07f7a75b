DELETE FROM batch WHERE accepted_at < $1
  AND NOT EXISTS (SELECT 1 FROM job WHERE job.batch = batch.id AND job.batch <> 0)
  AND NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.batch = batch.id)
