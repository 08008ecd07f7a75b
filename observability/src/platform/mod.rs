//! Dashboards of what every fork keeps.

pub mod overview;
