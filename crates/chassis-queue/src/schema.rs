//! The tables of the store and of the queue.

use crate::{Component, Migration};

pub(crate) const STORE: Component = Component {
    name: "store",
    ids: &[],
    steps: &[Migration {
        min_reader: 1,
        sql: "
            -- One row: the label of metrics, what a probe writes, and how many processes have opened the store.
            CREATE TABLE store (id SMALLINT PRIMARY KEY, label TEXT NOT NULL, probed_at BIGINT NOT NULL,
                instances BIGINT NOT NULL DEFAULT 0);
            -- Lifetime counts, kept in the jobs' own transactions. queued = accepted - all others. Committers on
            -- PostgreSQL write rows of their own, so that they do not wait for each other: the sums count.
            CREATE TABLE ledger (slot SMALLINT PRIMARY KEY, accepted BIGINT NOT NULL, completed BIGINT NOT NULL,
                failed BIGINT NOT NULL, expired BIGINT NOT NULL, cancelled BIGINT NOT NULL, unknown BIGINT NOT NULL);
            CREATE TABLE idempotency (
                scope {bytes} PRIMARY KEY, digest {bytes} NOT NULL,  -- hashes
                owner BIGINT NOT NULL,                               -- the id of what was created
                expires BIGINT NOT NULL,                             -- Unix ms
                status SMALLINT, body {bytes}, location TEXT) {without_rowid};
            CREATE INDEX idempotency_expires ON idempotency (expires);",
    }],
};

pub(crate) const QUEUE: Component = Component {
    name: "queue",
    ids: &["job", "batch"],
    steps: &[Migration {
        min_reader: 1,
        sql: "
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
                members TEXT NOT NULL, PRIMARY KEY (batch, n));",
    }],
};
