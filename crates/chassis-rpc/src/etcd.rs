//! Finds endpoints in etcd, and registers them there. The client crates for etcd need protoc at build time; a
//! handful of messages do not.

use crate::Found;
use crate::catalogue::REGISTRATION_UP;
use crate::target::address;
use futures_util::stream;
use protocol::kv_client::KvClient;
use protocol::lease_client::LeaseClient;
use protocol::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest};
use std::time::Duration;
use tokio::time::sleep;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

mod protocol {
    //! Generated from `proto/etcd.proto`.
    #![expect(unused_qualifications, clippy::allow_attributes_without_reason, reason = "generated")]

    tonic::include_proto!("etcdserverpb");
}

/// For a connection, and for one answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between two look-ups. One range of keys a second costs etcd little, and unlike a watch it can't hang or miss a
/// compacted revision.
const LOOKUP: Duration = Duration::from_secs(1);
/// The most endpoints of a target: each costs a connection and four probes a second.
const ENDPOINTS_MAX: i64 = 1000;
/// How long clients find a server that crashed; go-zero's value. Their probes fail long before.
const TTL_SECONDS: i64 = 10;
/// Between renewals of the lease: two may fail.
const RENEWAL: Duration = Duration::from_secs(3);

/// A channel to the members of a cluster. A call that met a dead one is made again anyway.
fn connect(members: &[String]) -> Channel {
    let endpoint = |member| Endpoint::from_shared(format!("http://{member}")).ok();
    let timed = |endpoint: Endpoint| endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).tcp_nodelay(true);
    Channel::balance_list(members.iter().filter_map(endpoint).map(timed))
}

/// Follows the values of the keys under `prefix/`, each `host:port`; others are left out.
pub(crate) async fn follow(members: Vec<String>, prefix: String, mut found: Found) {
    let mut client = KvClient::new(connect(&members));
    // '0' follows on '/'.
    let (key, range_end) = (format!("{prefix}/").into_bytes(), format!("{prefix}0").into_bytes());
    loop {
        let (key, range_end) = (key.clone(), range_end.clone());
        match client.range(RangeRequest { key, range_end, limit: ENDPOINTS_MAX }).await {
            Ok(answer) => {
                let values = answer.into_inner().kvs.into_iter().map(|entry| String::from_utf8(entry.value));
                let addresses = values.filter_map(|value| address(&value.ok()?).ok());
                found.endpoints(addresses.collect());
            }
            Err(_) => found.failed("etcd is away"),
        }
        sleep(LOOKUP).await;
    }
}

/// A key that lives as long as its lease, which is renewed as long as the server lives.
pub(crate) struct Registration {
    etcd: Channel,
    prefix: String,
    advertised: String,
    lease: Option<i64>,
}

impl Registration {
    pub fn new(members: &[String], prefix: String, advertised: String) -> Self {
        metrics::gauge!(REGISTRATION_UP.name).set(0);
        Self { etcd: connect(members), prefix, advertised, lease: None }
    }

    /// Registers, and renews the lease for ever.
    pub async fn keep(&mut self) {
        let mut failing = false;
        loop {
            let renewed = self.renew().await;
            metrics::gauge!(REGISTRATION_UP.name).set(u8::from(renewed.is_ok()));
            if let Err(status) = &renewed
                && !failing
            {
                tracing::warn!(code = ?status.code(), "registration is not renewed: etcd is away");
            }
            failing = renewed.is_err();
            sleep(if failing { LOOKUP } else { RENEWAL }).await;
        }
    }

    async fn renew(&mut self) -> Result<(), Status> {
        let mut leases = LeaseClient::new(self.etcd.clone());
        if let Some(id) = self.lease {
            let request = stream::iter([LeaseKeepAliveRequest { id }]);
            let answer = leases.lease_keep_alive(request).await?.into_inner().message().await?;
            if answer.is_some_and(|answer| answer.ttl > 0) {
                return Ok(());
            }
            self.lease = None;
        }
        let lease = leases.lease_grant(LeaseGrantRequest { ttl: TTL_SECONDS }).await?.into_inner().id;
        // A key for each lease, as go-zero has it: an old lease that runs out takes no new key with it.
        let (key, value) = (format!("{}/{lease}", self.prefix), self.advertised.clone());
        let put = PutRequest { key: key.into_bytes(), value: value.into_bytes(), lease };
        KvClient::new(self.etcd.clone()).put(put).await?;
        self.lease = Some(lease);
        tracing::info!(endpoint = %self.advertised, "registered");
        Ok(())
    }

    /// Takes the registration back, so that no new clients come.
    pub async fn withdraw(self) {
        metrics::gauge!(REGISTRATION_UP.name).set(0);
        let Some(id) = self.lease else { return };
        match LeaseClient::new(self.etcd).lease_revoke(LeaseRevokeRequest { id }).await {
            Ok(_) => tracing::info!("registration withdrawn"),
            Err(_) => tracing::warn!("registration could not be withdrawn: it ends with its lease"),
        }
    }
}
