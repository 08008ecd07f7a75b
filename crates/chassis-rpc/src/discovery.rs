//! Finds the endpoints of a target and follows their changes. Whether an endpoint is healthy is found out by
//! `probe`: discovery only says where to ask.

mod dns;
#[cfg(feature = "etcd")]
mod etcd;

use crate::{Address, OpenError, Target, catalogue::LOOKUPS};
use metrics::Counter;
use std::collections::BTreeSet;
use tokio::sync::watch;

/// Takes what a discovery finds. After a failed look-up the known endpoints stay in use.
pub struct Found {
    target: &'static str,
    endpoints: watch::Sender<Option<BTreeSet<Address>>>,
    ok: Counter,
    failed: Counter,
    failing: bool,
}

impl Found {
    pub(crate) fn channel(target: &'static str) -> (Self, watch::Receiver<Option<BTreeSet<Address>>>) {
        let (endpoints, receiver) = watch::channel(None);
        let [ok, failed] = ["ok", "failed"]
            .map(|outcome| metrics::counter!(LOOKUPS.name, "target" => target, "outcome" => outcome));
        (Self { target, endpoints, ok, failed, failing: false }, receiver)
    }

    /// These are all endpoints that there are.
    pub fn endpoints(&mut self, found: BTreeSet<Address>) {
        self.ok.increment(1);
        if std::mem::take(&mut self.failing) {
            tracing::info!(rpc_target = self.target, "endpoint look-ups succeed again");
        }
        self.endpoints.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&found);
            if changed {
                tracing::info!(rpc_target = self.target, endpoints = found.len(), "endpoints found");
                *known = Some(found);
            }
            changed
        });
    }

    /// A look-up failed. The first failure in a row is logged; `reason` comes from a closed set.
    pub fn failed(&mut self, reason: &'static str) {
        self.failed.increment(1);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                rpc_target = self.target,
                reason,
                "endpoint look-up failed: known endpoints stay in use"
            );
        }
    }
}

/// How the endpoints of a target are found.
pub(crate) enum Discovery {
    Static(BTreeSet<Address>),
    Dns(dns::Dns),
    #[cfg(feature = "etcd")]
    Etcd(etcd::Discovery),
}

pub(crate) fn of(target: &Target) -> Result<Discovery, OpenError> {
    Ok(match target {
        Target::Static(addresses) => Discovery::Static(addresses.iter().cloned().collect()),
        Target::Dns { name, port, server } => Discovery::Dns(dns::Dns::new(name.clone(), *port, *server)?),
        #[cfg(feature = "etcd")]
        Target::Etcd { members, prefix } => Discovery::Etcd(etcd::Discovery::new(members.clone(), prefix)),
        // No text is parsed to this without the feature.
        #[cfg(not(feature = "etcd"))]
        Target::Etcd { .. } => Discovery::Static(BTreeSet::new()),
    })
}

impl Discovery {
    pub async fn follow(self, mut found: Found) {
        match self {
            Self::Static(addresses) => found.endpoints(addresses),
            Self::Dns(dns) => dns.follow(found).await,
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.follow(found).await,
        }
    }
}
