//! *Notifications*: whether reminders reach patients in time, and if not, where they stay. Rows lead from the
//! symptom to the cause.
//!
//! The ledger and the queue belong to a store, and every replica of the service tells them: they are shown
//! as the largest value, which is the store's where there is one, and the worst store's where there are
//! several. What has to be exact, the ledger, is shown for each instance.

mod account;
mod arriving;
mod gateways;
mod waiting;

use crate::{
    dashboard::{Dashboard, Row},
    links::Traces,
    services::SERVICE,
};

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "notifications",
        title: "Notifications",
        description: "Whether reminders reach patients in time: accepted, waiting, attempted, delivered, given up. \
            Each instance tells the ledger and the queue of its store; shown is the largest. Where instances have \
            stores of their own, choose one of them to see one store.",
        rows: vec![
            Row { title: "Do reminders arrive, and in time?", panels: arriving::symptoms() },
            Row { title: "What comes in, and what is given up", panels: arriving::flow() },
            Row { title: "What waits", panels: waiting::panels() },
            Row { title: "What the gateways do", panels: gateways::panels() },
            Row { title: "The account and the store", panels: account::panels() },
        ],
    }
}

/// Attempts: the span that holds the call to the gateway, below the request that was accepted.
fn attempts() -> Traces {
    Traces::of(SERVICE).operation("process notifications")
}

/// Accepts: the span that ends with the commit.
fn accepts() -> Traces {
    Traces::of(SERVICE).operation("send notifications")
}

/// Batches that become jobs.
fn expansions() -> Traces {
    Traces::of(SERVICE).operation("expand batch")
}

/// Commits: each a trace of its own, with links to those that it served.
fn commits() -> Traces {
    Traces::of(SERVICE).operation("commit")
}

/// Lines of finished attempts that pass a stage of LogQL, as `fields_outcome="retry"`.
fn attempt_lines(filter: &str) -> String {
    format!(r#"| json | message="attempt finished" | {filter}"#)
}
