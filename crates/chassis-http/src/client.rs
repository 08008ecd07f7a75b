//! Which client a request is counted against.

use crate::auth::KeyName;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// Who shares a bucket of the rate limit, and a scope for idempotency keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The holder of a known key, wherever it calls from.
    Key(KeyName),
    /// Everybody else, by the address that called.
    Network(Network),
}

/// An address as clients are told apart: IPv6 by its /64, within which a host may change its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6(u64),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_and_a_whole_64_are_one_client() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_ne!(network("::1"), network("0.0.0.0"));
    }
}
