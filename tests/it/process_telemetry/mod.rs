//! The real program as a process, a real gateway and an OTLP collector over gRPC: what its lines, spans and
//! metrics tell as a whole, what they must never tell, and that no receiver of theirs can hold it up.

mod account;
mod burst;
mod canaries;
mod canary_calls;
mod canary_scene;
mod chaos;
mod correlation;
mod exemplars;
mod lines;
mod metric_rules;
mod metrics_page;
mod scene;
mod span_rules;
mod spans;
mod stdout;
pub mod traces;
