//! The second service of the example, a trial management service: it asks the ePRO service for reports over gRPC, and
//! answers from its cache while that cannot.
//!
//! It shares the chassis and the protocol with the first service, and no state.

mod api;
mod app;
mod config;
mod reports;

pub use api::document;
pub use app::run;
pub use config::Config;
pub use reports::METRICS;

/// The service's name in telemetry and on the command line.
pub const NAME: &str = "ctms";
