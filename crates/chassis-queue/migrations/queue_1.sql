-- Ids rise, so rows are appended. Times are Unix ms.
CREATE TABLE job (
    id {id},
    part SMALLINT NOT NULL,      -- which job of its group, from 0; the group's id is id - part
    parts SMALLINT NOT NULL,
    batch BIGINT NOT NULL,       -- 0 for none
    sync SMALLINT NOT NULL,      -- 1: one attempt while the caller waits
    channel TEXT NOT NULL,
    priority SMALLINT NOT NULL,  -- 0 urgent, 1 normal, 2 bulk
    state SMALLINT NOT NULL,     -- see JobState: from 2 on a number takes one byte in SQLite
    spent SMALLINT NOT NULL,     -- attempts, without snoozed ones
    unknowns SMALLINT NOT NULL,  -- attempts of unknown outcome
    accepted_at BIGINT NOT NULL,
    first_due BIGINT NOT NULL,
    at BIGINT NOT NULL,          -- due next, started or finished
    not_after BIGINT NOT NULL,
    worker BIGINT NOT NULL,      -- the process that runs it, else 0: the fence
    trace {bytes} NOT NULL,      -- the context that every attempt continues
    last_trace {bytes},          -- the attempt before, which the next links to
    reason TEXT,
    history TEXT NOT NULL,       -- attempts, as a JSON array
    payload TEXT NOT NULL);
-- What waits, in the order in which it is due: holds all that counting needs.
CREATE INDEX job_waiting ON job (channel, priority, at, state, first_due) WHERE state <= 4;
CREATE INDEX job_running ON job (worker) WHERE state = 5;
CREATE INDEX job_dead ON job (state, id) WHERE state IN (7, 10);
CREATE INDEX job_batch ON job (batch) WHERE batch <> 0;
-- Processes that run jobs: a lease each, which a heartbeat renews.
CREATE TABLE worker (id BIGINT PRIMARY KEY, lease_until BIGINT NOT NULL);
CREATE TABLE batch (id {id}, accepted_at BIGINT NOT NULL, first_due BIGINT NOT NULL,
    state SMALLINT NOT NULL, priority SMALLINT NOT NULL, info TEXT NOT NULL);
-- What is not expanded yet; deleted in the transaction that inserts its jobs.
CREATE TABLE chunk (
    batch BIGINT NOT NULL, n BIGINT NOT NULL, jobs BIGINT NOT NULL, groups BIGINT NOT NULL,
    members TEXT NOT NULL, PRIMARY KEY (batch, n));
