-- One row: the label of metrics, what a probe writes, and how many processes have opened the store.
CREATE TABLE store (id SMALLINT PRIMARY KEY, label TEXT NOT NULL, probed_at BIGINT NOT NULL,
    instances BIGINT NOT NULL DEFAULT 0);
-- Lifetime counts, kept in the jobs' own transactions. queued = accepted - all others. On PostgreSQL each
-- connection writes a row of its own, so that commits do not wait for each other: the sums count.
CREATE TABLE ledger (slot SMALLINT PRIMARY KEY, accepted BIGINT NOT NULL, completed BIGINT NOT NULL,
    failed BIGINT NOT NULL, expired BIGINT NOT NULL, cancelled BIGINT NOT NULL, unknown BIGINT NOT NULL);
CREATE TABLE idempotency (
    scope {bytes} PRIMARY KEY, digest {bytes} NOT NULL,  -- hashes
    owner BIGINT NOT NULL,                               -- the id of what was created
    expires BIGINT NOT NULL,                             -- Unix ms
    status SMALLINT, body {bytes}, location TEXT) {without_rowid};
CREATE INDEX idempotency_expires ON idempotency (expires);
INSERT INTO ledger VALUES (0, 0, 0, 0, 0, 0, 0);
