//! *Runtime and telemetry*: the process itself, its store, and whether what is told of it can be trusted.

mod process;
pub mod store;
mod telemetry;

use crate::dashboard::{Dashboard, Row};

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "runtime-telemetry",
        title: "Runtime and telemetry",
        description: "The process below the requests: scheduler, CPU, memory, files, commits; and the account of spans and lines, \
                      without which a quiet dashboard proves nothing.",
        rows: vec![
            Row { title: "Is it there?", panels: process::presence() },
            Row { title: "Store and commits", panels: store::panels() },
            Row { title: "Scheduler and process", panels: process::panels() },
            Row { title: "Can telemetry be trusted?", panels: telemetry::panels() },
        ],
    }
}
