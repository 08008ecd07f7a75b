//! The queue's tables.

use super::Status;
use crate::platform::store::{Migration, Schema};

/// The queue's schema, to be given to [`crate::platform::store::Store::open`].
pub const SCHEMA: Schema = Schema { component: "queue", steps: &[JOBS, BATCHES] };

const JOBS: Migration = Migration {
        version: 1,
        min_reader: 1,
        sql: "
            -- A job's id is its row number: rows are appended, and no index on an id is kept.
            CREATE TABLE job (
                id INTEGER PRIMARY KEY,
                part INTEGER NOT NULL,      -- which job of its notification, from 0; the notification's id is id - part
                parts INTEGER NOT NULL,     -- how many jobs the notification has
                sync INTEGER NOT NULL,      -- 1: one attempt while the caller waits, never retried
                channel TEXT NOT NULL,
                priority INTEGER NOT NULL,  -- 0 urgent, 1 normal, 2 bulk
                status INTEGER NOT NULL,    -- see below
                attempts INTEGER NOT NULL,  -- spent ones
                first_due INTEGER NOT NULL, -- Unix ms: the later of accept and sendAt
                at INTEGER NOT NULL,        -- Unix ms: due next, or finished
                not_after INTEGER NOT NULL, -- Unix ms
                trace BLOB NOT NULL,        -- the context that every attempt continues
                payload BLOB NOT NULL,
                last_attempt BLOB,          -- the context of the attempt before, which a retry links to
                reason TEXT);
            -- Unfinished jobs in the order in which they are due: status 2 accepted, 3 scheduled, 4 retrying, 5 sending.
            -- Begin does not change it, and rows of due jobs are appended, so it costs a page a batch.
            CREATE INDEX job_live ON job (priority, at) WHERE status <= 5;
            -- What waits for a person: 7 dead, 10 unknown. (6 delivered, 8 expired, 9 cancelled.)
            CREATE INDEX job_dead ON job (status, id) WHERE status IN (7, 10);
            CREATE TABLE attempt (
                job INTEGER NOT NULL, n INTEGER NOT NULL,
                at INTEGER NOT NULL, outcome TEXT NOT NULL, provider TEXT NOT NULL, ms INTEGER NOT NULL,
                PRIMARY KEY (job, n)) WITHOUT ROWID;
        ",
};

/// An older release would never expand a batch that has been accepted: it may not work with the file.
const BATCHES: Migration = Migration {
    version: 2,
    min_reader: 2,
    sql: "
            -- A batch's id comes before the ids of its jobs, which are reserved when it is accepted: id + 1 … id + jobs.
            CREATE TABLE batch (
                id INTEGER PRIMARY KEY,
                jobs INTEGER NOT NULL, notifications INTEGER NOT NULL, skipped INTEGER NOT NULL,
                channel TEXT NOT NULL, priority INTEGER NOT NULL,
                first_due INTEGER NOT NULL, not_after INTEGER NOT NULL,  -- Unix ms
                trace BLOB NOT NULL,        -- what its notifications' traces are linked to
                template BLOB NOT NULL);
            -- What is not expanded yet; deleted in the transaction that inserts its jobs.
            CREATE TABLE batch_chunk (
                first INTEGER PRIMARY KEY,  -- the id of its first job
                batch INTEGER NOT NULL, jobs INTEGER NOT NULL, notifications INTEGER NOT NULL,
                members BLOB NOT NULL);
        ",
};

/// The stored form of a status. Values take one byte from 2 on, so that a row does not grow when it changes.
pub(super) mod code {
    pub const ACCEPTED: i64 = 2;
    pub const SCHEDULED: i64 = 3;
    pub const RETRYING: i64 = 4;
    pub const SENDING: i64 = 5;
}

/// A final or public status as it is stored.
pub(super) fn encode(status: Status) -> i64 {
    match status {
        Status::Accepted => code::ACCEPTED,
        Status::Retrying => code::RETRYING,
        Status::Sending => code::SENDING,
        Status::Delivered => 6,
        Status::Dead => 7,
        Status::Expired => 8,
        Status::Cancelled => 9,
        Status::Unknown => 10,
    }
}

/// `None` for a number that no release has written.
pub(super) fn decode(code: i64) -> Option<Status> {
    Some(match code {
        code::ACCEPTED | code::SCHEDULED => Status::Accepted,
        code::RETRYING => Status::Retrying,
        code::SENDING => Status::Sending,
        6 => Status::Delivered,
        7 => Status::Dead,
        8 => Status::Expired,
        9 => Status::Cancelled,
        10 => Status::Unknown,
        _ => return None,
    })
}
