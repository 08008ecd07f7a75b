//! Finding the endpoints of a target, and following their changes. Whether one is healthy is asked by
//! `probe`: what is found here is only where to ask.

mod dns;
#[cfg(feature = "etcd")]
mod etcd;

use super::{Target, metrics::LookupCounters};
use crate::platform::task;
use std::collections::BTreeSet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// All endpoints that there are, as `host:port`; none until the first look-up has come to something.
pub(super) type Found = Option<BTreeSet<String>>;

/// Why a target can't be looked up at all.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the system's settings of DNS can't be used: {0}")]
    Dns(#[from] hickory_resolver::net::NetError),
    #[cfg(not(feature = "etcd"))]
    #[error("etcd needs the feature etcd, which this program was built without")]
    WithoutEtcd,
}

/// Looks the target up, and again whenever it may have changed, until `ended`.
///
/// # Errors
/// It can't be looked up at all.
pub(super) fn start(
    name: &'static str,
    target: &Target,
    ended: CancellationToken,
) -> Result<watch::Receiver<Found>, Fault> {
    let (tell, found) = watch::channel(None);
    let teller = Teller { target: name, tell, counters: LookupCounters::new(name) };
    match target {
        Target::Static(addresses) => teller.found(addresses.iter().cloned().collect()),
        Target::Dns { name, port, server } => {
            let dns = dns::Dns::new(name.clone(), *port, *server)?;
            task::spawn(ended.run_until_cancelled_owned(dns.follow(teller)));
        }
        #[cfg(feature = "etcd")]
        Target::Etcd { endpoints, prefix } => {
            let etcd = etcd::Etcd::new(endpoints.clone(), prefix, teller);
            task::spawn(ended.run_until_cancelled_owned(etcd.follow()));
        }
        #[cfg(not(feature = "etcd"))]
        Target::Etcd { .. } => return Err(Fault::WithoutEtcd),
    }
    Ok(found)
}

/// Tells what look-ups came to: a failed one changes nothing, and is counted.
struct Teller {
    target: &'static str,
    tell: watch::Sender<Found>,
    counters: LookupCounters,
}

impl Teller {
    fn found(&self, addresses: BTreeSet<String>) {
        self.counters.ok.increment(1);
        self.tell.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&addresses);
            if changed {
                let count = addresses.len();
                tracing::info!(rpc_target = self.target, endpoints = count, "endpoints found");
                *known = Some(addresses);
            }
            changed
        });
    }

    fn failed(&self) {
        self.counters.failed.increment(1);
    }
}
