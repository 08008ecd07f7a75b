//! What has to hold for the addresses of a service's listeners together. Each one's own settings are its
//! room's matter.

use crate::platform::{auth::config::AuthConfig, config::Reader, tls::TlsConfig};
use std::net::SocketAddr;

/// One listener as it is configured.
#[derive(Clone, Copy, Debug)]
pub struct Listening<'a> {
    /// The key of its address.
    pub key: &'static str,
    pub address: SocketAddr,
    pub tls: Option<&'a TlsConfig>,
    /// Whether it is for callers, who may do everything where there are no keys.
    pub for_callers: bool,
}

/// Collects the faults of listeners that can't be bound together, and of those that others than this machine
/// would reach without a key.
pub fn check(reader: &mut Reader, listeners: &[Listening<'_>], auth: &AuthConfig) {
    for (at, one) in listeners.iter().enumerate() {
        for other in listeners.iter().take(at).filter(|other| collide(one.address, other.address)) {
            let fault = format!("is the address of {} too; give each a port of its own", other.key);
            reader.fault(one.key, fault);
        }
    }
    let reachable = listeners.iter().filter(|one| one.for_callers && !is_loopback(one.address));
    for one in reachable.filter(|_| auth.key_file.is_none()) {
        let fault = "must be a loopback address where everybody may do everything; \
                     set auth.api_keys_file, whose keys new-key makes";
        reader.fault(one.key, fault.to_owned());
    }
}

/// A warning for each listener that others than this machine reach in the clear.
pub fn in_clear(listeners: &[Listening<'_>]) -> Vec<String> {
    let in_clear = listeners.iter().filter(|one| !is_loopback(one.address) && one.tls.is_none());
    in_clear
        .map(|one| {
            format!("{} is not a loopback address and serves no TLS: TLS must end in front of it", one.key)
        })
        .collect()
}

/// Whether both can't be bound at once. A dual-stack `[::]` takes the port of IPv4 as well.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && overlap
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
