//! Which client a request is counted against.

use crate::platform::auth::KeyName;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// Who shares a bucket, and a scope for idempotency keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The holder of a known key, wherever it calls from.
    Key(KeyName),
    /// Everybody else, by the address that called.
    Network(Network),
}

/// An address as clients are told apart: IPv6 by its /64, in which a host may change its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6(u64),
}

impl Network {
    /// As one number, by which buckets are found: IPv4 stands where `::/32` would, of which no address is in
    /// use but `::1`; that shares with 0.0.0.0, from which nobody calls.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::V4(address) => u64::from(address.to_bits()),
            Self::V6(prefix) => prefix,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// As idempotency keys are scoped: never in a line or a label.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key:{name}"),
            Self::Network(Network::V4(address)) => write!(f, "{address}"),
            Self::Network(Network::V6(prefix)) => write!(f, "{prefix:x}/64"),
        }
    }
}
