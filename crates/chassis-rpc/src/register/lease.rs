//! A key in etcd that lives as long as its lease, which is renewed as long as the server lives: a server that
//! crashed is gone with its lease, a server that stops takes its key back.

use super::Registry;
use crate::{
    Address,
    catalogue::REGISTRATION_UP,
    etcd::{
        Members,
        protocol::{
            LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, kv_client::KvClient,
            lease_client::LeaseClient,
        },
        within_timeout,
    },
};
use futures_util::stream;
use metrics::Gauge;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::{Status, transport::Channel};

/// How long clients find a server that crashed; go-zero's value. Their probes fail long before.
const TTL_SECONDS: i64 = 10;
/// Between renewals: two may fail.
const RENEWAL: Duration = Duration::from_secs(3);
/// For the withdrawal, while the shutdown waits.
const WITHDRAWAL: Duration = Duration::from_secs(1);

pub(super) struct Lease {
    members: Members,
    prefix: String,
    advertised: Address,
    /// The lease that etcd holds.
    id: Option<i64>,
    up: Gauge,
    failing: bool,
}

impl Lease {
    pub fn new(registry: Registry, advertised: Address) -> Self {
        let up = metrics::gauge!(REGISTRATION_UP.name);
        up.set(0);
        let members = Members::new(registry.members);
        Self { members, prefix: registry.prefix, advertised, id: None, up, failing: false }
    }

    /// Holds the registration until `stop`, then withdraws it.
    pub async fn hold(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.keep() => {}
        }
        self.up.set(0);
        if let Some(id) = self.id {
            match timeout(WITHDRAWAL, self.revoke(id)).await {
                Ok(Ok(())) => tracing::info!("registration withdrawn"),
                _ => tracing::warn!("registration could not be withdrawn: it ends with its lease"),
            }
        }
    }

    /// Registers and renews for ever.
    async fn keep(&mut self) {
        loop {
            let Err(lost) = self.register_and_renew().await else { continue };
            self.up.set(0);
            if !std::mem::replace(&mut self.failing, true) {
                tracing::warn!(code = ?lost.code(), "registration is not renewed: etcd is away");
            }
            self.members.next().await;
        }
    }

    /// Returns when the lease is lost, so that another one is needed.
    async fn register_and_renew(&mut self) -> Result<(), Status> {
        let channel = self.members.connect().await?;
        loop {
            let id = match self.id {
                Some(id) => id,
                None => self.register(channel.clone()).await?,
            };
            if !renew(channel.clone(), id).await? {
                self.id = None;
                tracing::warn!("registration is lost");
                return Ok(());
            }
            self.members.works();
            self.up.set(1);
            if std::mem::take(&mut self.failing) {
                tracing::info!("registration is renewed again");
            }
            sleep(RENEWAL).await;
        }
    }

    async fn register(&mut self, channel: Channel) -> Result<i64, Status> {
        let grant = LeaseGrantRequest { ttl: TTL_SECONDS };
        let id = within_timeout(LeaseClient::new(channel.clone()).lease_grant(grant)).await?.into_inner().id;
        // Known before the key is written, so that it is taken back whatever happens.
        self.id = Some(id);
        // A key for each lease, as go-zero has it: an old lease that runs out takes no new key with it.
        let key = format!("{}/{id}", self.prefix).into_bytes();
        let put = PutRequest { key, value: self.advertised.to_string().into_bytes(), lease: id };
        if let Err(lost) = within_timeout(KvClient::new(channel).put(put)).await {
            self.id = None;
            return Err(lost);
        }
        tracing::info!(endpoint = %self.advertised, "registered");
        Ok(id)
    }

    async fn revoke(&self, id: i64) -> Result<(), Status> {
        let channel = self.members.connect().await?;
        LeaseClient::new(channel).lease_revoke(LeaseRevokeRequest { id }).await.map(|_| ())
    }
}

/// Renews a lease, and returns whether it still exists.
async fn renew(channel: Channel, id: i64) -> Result<bool, Status> {
    let renewal = async {
        let request = stream::iter([LeaseKeepAliveRequest { id }]);
        let mut answers = LeaseClient::new(channel).lease_keep_alive(request).await?.into_inner();
        answers.message().await
    };
    let left = within_timeout(renewal).await?.ok_or_else(|| Status::unavailable("no answer"))?;
    Ok(left.ttl > 0)
}
