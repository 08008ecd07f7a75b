//! A key in etcd that lives as long as its lease, which is renewed as long as the server lives: what
//! crashed is gone after the lease, what stops takes it back.

use super::RegisterConfig;
use crate::platform::{
    grpc::etcd::{
        Members, answer,
        protocol::{
            LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, kv_client::KvClient,
            lease_client::LeaseClient,
        },
    },
    telemetry::names,
};
use futures_util::stream;
use metrics::{Gauge, gauge};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::{Status, transport::Channel};

/// A crashed server is found for so long; go-zero's value too. Its probes fail long before.
const TTL_SECONDS: i64 = 10;
/// Between renewals: two may fail.
const RENEWAL: Duration = Duration::from_secs(3);
/// For taking it back, while the shutdown waits.
const WITHDRAWAL: Duration = Duration::from_secs(1);

/// A server's place in etcd.
pub(super) struct Lease {
    members: Members,
    prefix: String,
    advertised: String,
    /// As long as etcd holds it.
    held: Option<i64>,
    up: Gauge,
}

impl Lease {
    pub fn new(config: &RegisterConfig, advertised: String) -> Self {
        let up = gauge!(names::GRPC_REGISTRATION_UP);
        up.set(0);
        let members = Members::new(config.endpoints.clone());
        Self { members, prefix: config.prefix.clone(), advertised, held: None, up }
    }

    /// Holds the place until `end`, then takes it back.
    pub async fn hold_until(mut self, end: impl Future<Output = ()>) {
        tokio::select! {
            () = end => {}
            () = self.hold() => {}
        }
        self.up.set(0);
        if let Some(id) = self.held {
            match timeout(WITHDRAWAL, self.revoke(id)).await {
                Ok(Ok(())) => tracing::info!("registration is withdrawn"),
                _ => tracing::warn!("registration could not be withdrawn: it ends with its lease"),
            }
        }
    }

    /// Registers and renews, for ever.
    async fn hold(&mut self) {
        let mut fails = false;
        loop {
            let Err(lost) = self.register_and_renew(&mut fails).await else { continue };
            self.up.set(0);
            if !std::mem::replace(&mut fails, true) {
                tracing::warn!(code = ?lost.code(), "registration is not renewed: etcd is away");
            }
            self.members.next().await;
        }
    }

    /// Ends well if the lease is lost, so that another is wanted.
    async fn register_and_renew(&mut self, fails: &mut bool) -> Result<(), Status> {
        let channel = self.members.connect().await?;
        loop {
            let id = match self.held {
                Some(id) => id,
                None => self.register(channel.clone()).await?,
            };
            if !renewed(channel.clone(), id).await? {
                self.held = None;
                tracing::warn!("registration is lost");
                return Ok(());
            }
            self.members.works();
            self.up.set(1);
            if std::mem::take(fails) {
                tracing::info!("registration is renewed again");
            }
            sleep(RENEWAL).await;
        }
    }

    async fn register(&mut self, channel: Channel) -> Result<i64, Status> {
        let grant = LeaseGrantRequest { ttl: TTL_SECONDS };
        let id = answer(LeaseClient::new(channel.clone()).lease_grant(grant)).await?.into_inner().id;
        // A key of its own for each lease, as go-zero's: one that is left over takes no other with it.
        let key = format!("{}/{id}", self.prefix).into_bytes();
        // Known before the key is there, so that whatever happens it is taken back.
        self.held = Some(id);
        let put = PutRequest { key, value: self.advertised.clone().into_bytes(), lease: id };
        if let Err(lost) = answer(KvClient::new(channel).put(put)).await {
            self.held = None;
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

/// Renews a lease; whether there still is one.
async fn renewed(channel: Channel, id: i64) -> Result<bool, Status> {
    let asked = async {
        let request = stream::iter([LeaseKeepAliveRequest { id }]);
        let mut answers = LeaseClient::new(channel).lease_keep_alive(request).await?.into_inner();
        answers.message().await
    };
    let left = answer(asked).await?.ok_or_else(|| Status::unavailable("no answer"))?;
    Ok(left.ttl > 0)
}
