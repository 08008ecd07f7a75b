//! The store's own tables.

use super::{Migration, Schema};

pub(super) const SCHEMA: Schema = Schema {
    component: "store",
    steps: &[Migration {
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
    }],
};
