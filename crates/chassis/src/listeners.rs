//! What has to hold for the addresses of all listeners of a service together.

use crate::config::Checks;
use std::net::SocketAddr;

/// One listener as it is configured.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// The key of its address, as `http.listen`.
    pub key: &'static str,
    pub address: SocketAddr,
    pub tls: bool,
    /// Whether callers without a key may do everything when no keys are configured. The admin listener guards itself.
    pub public: bool,
}

/// Reports listeners that cannot be bound together, and public ones that other machines reach while there are no API
/// keys (`keys` is false).
pub fn check_listeners(listeners: &[Listening], keys: bool, checks: &mut Checks<'_>) {
    for (at, one) in listeners.iter().enumerate() {
        for other in listeners.iter().take(at).filter(|other| collide(one.address, other.address)) {
            checks.fault(one.key, format!("is the address of {} too; give each its own port", other.key));
        }
        if one.public && !keys && !is_loopback(one.address) {
            let problem = "other machines would reach it without a key; use a loopback address, or set \
                           auth.api_keys_file to a file of keys made by new-key";
            checks.fault(one.key, problem);
        }
    }
}

/// A warning for each listener that other machines reach without TLS.
pub fn unencrypted(listeners: &[Listening]) -> impl Iterator<Item = String> {
    let exposed = listeners.iter().filter(|one| !is_loopback(one.address) && !one.tls);
    exposed.map(|one| format!("{} is not a loopback address and serves no TLS: end it in front", one.key))
}

/// Whether both cannot be bound at once. A dual-stack `[::]` takes the port of IPv4 as well.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && overlap
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
