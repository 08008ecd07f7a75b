SELECT job.id FROM {rows} JOIN job ON job.id = v.id AND job.state = 5 AND job.worker = v.worker
