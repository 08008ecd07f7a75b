//! *Limits and resilience*: who is turned away and why, and whether what protects us and others works.

mod admission;
mod calls;
mod keys;
mod overload;

use crate::dashboard::{Dashboard, Row};

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "limits-resilience",
        title: "Limits and resilience",
        description: "Who is turned away and why (rate limit, keys, connections, overload), and how calls to others are kept from \
                      doing harm (breakers, retries, endpoints). What protects the service looks like a fault to who is refused.",
        rows: vec![
            Row { title: "Who is turned away", panels: admission::callers() },
            Row { title: "Under overload", panels: overload::panels() },
            Row { title: "Connections", panels: admission::connections() },
            Row { title: "Calls to others", panels: calls::panels() },
            Row { title: "Keys, certificates, registration", panels: keys::panels() },
        ],
    }
}
