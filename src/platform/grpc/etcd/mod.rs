//! Talking to etcd: a connection to one of its members, and what the keys of endpoints look like. What is
//! found there stands in `client::discovery`, what is written there in `register`.
//!
//! There is no client library here: those for etcd need protoc, and a dozen messages are all that it takes.

pub(super) mod protocol;

use std::time::Duration;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// For a connection, and for one answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// A watch says nothing while nothing changes: its connection is asked for a sign of life this often. etcd
/// closes connections that ask more often than every 5 s (`--grpc-keepalive-min-time`).
const SILENCE: Duration = Duration::from_secs(10);
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// Between two tries to reach etcd, doubling from the first to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// The members of a cluster, one of which is talked to until it fails.
pub(super) struct Members {
    /// As `host:port`, never none.
    addresses: Vec<String>,
    at: usize,
    pause: Duration,
}

impl Members {
    /// Begins with any of them, so that clients spread.
    pub fn new(addresses: Vec<String>) -> Self {
        let at = rand::random_range(0..addresses.len().max(1));
        Self { addresses, at, pause: PAUSE.0 }
    }

    /// A connection to the present one.
    pub async fn connect(&self) -> Result<Channel, Status> {
        let address = self.addresses.get(self.at).ok_or_else(|| Status::unavailable("no member"))?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|_| Status::unavailable("no address"))?;
        let endpoint = endpoint
            .connect_timeout(TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(SIGN_OF_LIFE)
            .keep_alive_while_idle(true);
        endpoint.connect().await.map_err(|_| Status::unavailable("no connection"))
    }

    /// It works: the next pause is a short one.
    pub fn works(&mut self) {
        self.pause = PAUSE.0;
    }

    /// It failed: waits, each time longer and never all clients alike, and goes on to the next one.
    pub async fn next(&mut self) {
        tokio::time::sleep(self.advance()).await;
    }

    /// Goes on to the next one, which is to be tried after this.
    fn advance(&mut self) -> Duration {
        self.at = (self.at + 1) % self.addresses.len().max(1);
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        pause.mul_f64(rand::random_range(0.5..1.0))
    }
}

/// One answer of etcd's, or none in time.
pub(super) async fn answer<T>(asked: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(TIMEOUT, asked).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
}

/// What all keys of endpoints begin with.
pub(super) fn folder(prefix: &str) -> Vec<u8> {
    format!("{prefix}/").into_bytes()
}

/// The first key behind those that begin with `folder`, which ends in a slash.
pub(super) fn behind(folder: &[u8]) -> Vec<u8> {
    let mut end = folder.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_member_is_tried_in_turn_after_pauses_that_are_bounded() {
        let mut members = Members::new(["a", "b", "c"].map(str::to_owned).to_vec());
        let mut tried = Vec::new();
        for _ in 0..6 {
            tried.push(members.at);
            assert!(members.advance() <= PAUSE.1);
        }
        assert!(tried[..3] == tried[3..] && (0..3).all(|at| tried.contains(&at)), "{tried:?}");
    }

    proptest! {
        #[test]
        fn the_range_of_a_prefix_holds_its_keys_and_no_others(prefix in "[ -~]{1,9}", key in "[ -~]{1,12}") {
            let folder = folder(&prefix);
            let inside = folder.as_slice() <= key.as_bytes() && key.as_bytes() < behind(&folder).as_slice();
            prop_assert_eq!(inside, key.as_bytes().starts_with(&folder));
        }
    }
}
