//! How much one client may: a bucket for each, the same for every surface.

mod client;
pub mod config;
mod limiter;

pub use client::{Client, Network};
pub use limiter::{Decision, Limiter};
