//! The dashboards, rules and the ways between them on live data: real programs play a scene of two minutes, and
//! everything that an operator would look at is asked of a real Prometheus.
//!
//! - `stack` starts all programs, `scenario` plays on them: both are usable by whoever wants to look at it.
//! - `dashboards` has every query of every dashboard asked (`checks`), proves that the scene was worth asking about
//!   (`moved`), and that all rules work (`rules`).
//! - `walk` goes from an alert that fires to the lines of a trace, with the real collector and the real Jaeger
//!   (`telemetry`).

mod api;
mod caller;
mod checks;
mod dashboards;
mod keys;
mod moved;
mod pictures;
pub mod prometheus;
mod rules;
mod scenario;
mod stack;
mod telemetry;
mod walk;
