//! What the tests share: parts of the service made ready on temporary folders and free ports, and the
//! real programs as processes.

pub mod certificates;
pub mod client;
pub mod collector;
pub mod fleet;
pub mod frames;
pub mod gateway;
pub mod grpc;
pub mod hostile;
pub mod http;
pub mod http_collector;
pub mod instance;
pub mod json_schema;
pub mod kills;
pub mod load;
pub mod locked;
pub mod metrics_page;
pub mod mutate;
pub mod notify;
pub mod open_metrics;
pub mod process;
pub mod queue;
pub mod said;
pub mod scripted;
pub mod seen;
pub mod service;
pub mod sms_gateway;
pub mod stuck;
pub mod subscribers;
pub mod tap;
pub mod telemetry;
pub mod wait;
