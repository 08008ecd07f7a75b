//! *Service overview*: whether callers are served, and if not, where to look next.

mod answers;
mod latency;
mod objectives;
mod saturation;

use crate::dashboard::{Dashboard, Row};

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "service-overview",
        title: "Service overview",
        description: "Are callers served? From what they notice (failures, waiting, refusals) to what causes it \
                      (saturation, a store, a new build). Begin here when an alert woke you.",
        rows: vec![
            Row { title: "Are callers served?", panels: answers::at_a_glance() },
            Row { title: "Objectives and alerts", panels: objectives::panels() },
            Row { title: "What callers ask, and what goes wrong", panels: answers::traffic() },
            Row { title: "How long callers wait", panels: latency::panels() },
            Row { title: "What is short", panels: saturation::panels() },
            Row { title: "What runs", panels: saturation::builds() },
        ],
    }
}
