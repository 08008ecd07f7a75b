//! The store's own tables.

use super::{Migration, Schema};

pub(super) const SCHEMA: Schema = Schema { component: "store", steps: &[LEDGER, KEYS] };

const LEDGER: Migration = Migration {
    version: 1,
    min_reader: 1,
    sql: "
            CREATE TABLE ledger (
                accepted INTEGER NOT NULL, delivered INTEGER NOT NULL, dead INTEGER NOT NULL,
                expired INTEGER NOT NULL, cancelled INTEGER NOT NULL, unknown INTEGER NOT NULL,
                queued INTEGER NOT NULL);
            INSERT INTO ledger VALUES (0, 0, 0, 0, 0, 0, 0);
            -- Written by the probe that finds out whether a store which failed works again.
            CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL);
        ",
};

/// The first release had the keys among the queue's tables: where they are, they stay.
const KEYS: Migration = Migration {
    version: 2,
    min_reader: 1,
    sql: "
            CREATE TABLE IF NOT EXISTS idempotency (
                scope BLOB PRIMARY KEY, body BLOB NOT NULL,  -- hashes
                job INTEGER NOT NULL,                        -- the id of what was created, a job or another thing
                expires INTEGER NOT NULL,                    -- Unix ms
                status INTEGER, answer BLOB, location TEXT) WITHOUT ROWID;
            CREATE INDEX IF NOT EXISTS idempotency_expires ON idempotency (expires);
        ",
};
