//! How much one client may: a bucket for each, the same for every surface. Who a client is when it presents a
//! key is [`super::auth`]'s matter; what a refusal looks like is the surface's.

mod buckets;
mod client;
pub mod config;
mod forwarded;
mod gcra;
mod limiter;

pub use client::{Client, Network};
pub use forwarded::caller_address;
pub use limiter::{Clock, Decision, Limiter, Surface};
