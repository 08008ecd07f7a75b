//! The part of an etcd client that finding and registering endpoints takes.
//!
//! The client crates for etcd need protoc at build time; a dozen messages do not.

use crate::Address;
use rand::Rng;
use std::time::Duration;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

pub(crate) mod protocol {
    //! Generated from `proto/etcd.proto`.
    #![expect(unused_qualifications, clippy::allow_attributes_without_reason, reason = "generated")]

    tonic::include_proto!("etcdserverpb");
}

/// For a connection, and for one answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A watch is silent while nothing changes, so its connection is pinged. etcd closes connections that ping more
/// often than every 5 s (`--grpc-keepalive-min-time`).
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two attempts to reach etcd, doubling from the first to the second.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The members of a cluster, one of which is used until it fails.
pub(crate) struct Members {
    addresses: Vec<Address>,
    current: usize,
    pause: Duration,
}

impl Members {
    /// Starts with any of them, so that clients spread.
    pub fn new(addresses: Vec<Address>) -> Self {
        let current = rand::rng().random_range(0..addresses.len().max(1));
        Self { addresses, current, pause: PAUSE_MIN }
    }

    pub async fn connect(&self) -> Result<Channel, Status> {
        let address = self.addresses.get(self.current).ok_or_else(|| Status::unavailable("no member"))?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|_| Status::unavailable("no valid address"))?;
        let endpoint = endpoint
            .connect_timeout(TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        endpoint.connect().await.map_err(|_| Status::unavailable("no connection"))
    }

    /// The current member works: the next pause is a short one.
    pub fn works(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// The current member failed: waits, longer each time and with jitter, and moves on to the next.
    pub async fn next(&mut self) {
        self.current = (self.current + 1) % self.addresses.len().max(1);
        let pause = self.pause.mul_f64(rand::rng().random_range(0.5..1.0));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        tokio::time::sleep(pause).await;
    }
}

/// An answer of etcd, or `DEADLINE_EXCEEDED`.
pub(crate) async fn within_timeout<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(TIMEOUT, call).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
}

/// The range of the keys under `prefix/`: the first, and the first behind it.
pub(crate) fn range(prefix: &str) -> (Vec<u8>, Vec<u8>) {
    // '0' follows on '/'.
    (format!("{prefix}/").into_bytes(), format!("{prefix}0").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_range_of_a_prefix_holds_its_keys_and_no_others(prefix in "[ -~]{1,9}", key in "[ -~]{1,12}") {
            let (first, end) = range(&prefix);
            let inside = *first <= *key.as_bytes() && *key.as_bytes() < *end;
            prop_assert_eq!(inside, key.as_bytes().starts_with(&first));
        }
    }
}
