//! A resilient channel for any tonic client.
//!
//! [`Channel`] takes the place of `tonic::transport::Channel` under a generated client. It finds the endpoints of
//! a service, probes their health, gives each call to the less loaded of two, and adds to each call what a call
//! over a network needs: a deadline, retries of what is safe, a circuit breaker, a throttle, the API key, metrics
//! and a span for each attempt.
//!
//! ```no_run
//! # fn spawn(_: impl Future<Output = ()> + Send + 'static) {}
//! # fn main() -> Result<(), chassis_rpc::OpenError> {
//! use chassis_rpc::{Channel, ClientConfig, Method};
//!
//! const METHODS: &[Method] = &[
//!     Method::read("shop.v1.Orders", "GetOrder"),
//!     Method::write("shop.v1.Orders", "PlaceOrder"),
//! ];
//! # let config: ClientConfig = conf::Conf::parse();
//! let (channel, driver) = Channel::open("orders", &config, METHODS)?;
//! spawn(driver); // as an essential task: it follows endpoints, health and the key file
//! // let orders = OrdersClient::new(channel);
//! # Ok(())
//! # }
//! ```
//!
//! Calls of methods that are not listed, streams among them, get an endpoint, the key and the trace context, and
//! nothing else.

mod call;
mod catalogue;
mod channel;
mod config;
mod discovery;
mod endpoints;
#[cfg(feature = "etcd")]
mod etcd;
mod key;
mod load;
mod outcome;
mod register;
mod target;

pub use catalogue::METRICS;
pub use channel::{Channel, Driver, Method, OpenError};
pub use config::{ClientConfig, TlsConfig};
pub use discovery::Found;
pub use key::KeyFile;
pub use outcome::{DEGRADED, Refusal, is_shed, retry_after};
pub use register::RegisterConfig;
pub use target::Target;
