//! Finds endpoints in etcd, and registers them there. The client crates for etcd need protoc at build time; a
//! handful of messages do not.

use crate::{Found, catalogue::REGISTRATION_UP, target::address};
use futures_util::{future::select, stream};
use protocol::kv_client::KvClient;
use protocol::lease_client::LeaseClient;
use protocol::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest};
use std::pin::pin;
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
    let timed = |endpoint: Endpoint| endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT);
    // A member that is gone without a word is found by its silence; etcd allows a ping each five seconds.
    let watched = |endpoint: Endpoint| endpoint.http2_keep_alive_interval(2 * RENEWAL);
    Channel::balance_list(members.iter().filter_map(endpoint).map(timed).map(watched))
}

/// The address in a value: go-zero writes it alone, gRPC-go's resolver as `Addr` in a JSON object.
fn named(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let object: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    address(object["Addr"].as_str().unwrap_or(text)).ok()
}

/// Follows the values of the keys under `prefix/`, each with an address; others are left out.
pub(crate) async fn follow(members: Vec<String>, prefix: String, mut found: Found) {
    let mut client = KvClient::new(connect(&members));
    // '0' follows on '/'.
    let (key, range_end) = (format!("{prefix}/").into_bytes(), format!("{prefix}0").into_bytes());
    let all = RangeRequest { key, range_end, limit: ENDPOINTS_MAX };
    loop {
        match client.range(all.clone()).await {
            Ok(answer) => {
                found.endpoints(answer.get_ref().kvs.iter().filter_map(|kv| named(&kv.value)).collect());
            }
            Err(_) => found.failed("etcd is away"),
        }
        sleep(LOOKUP).await;
    }
}

/// Keeps the address registered until `stop` resolves, and then takes it back, so that no new clients come.
pub(crate) async fn hold(members: &[String], prefix: &str, address: String, stop: impl Future<Output = ()>) {
    metrics::gauge!(REGISTRATION_UP.name).set(0);
    let mut registration = Registration { etcd: connect(members), prefix, address, lease: None };
    select(pin!(stop), pin!(registration.keep())).await;
    metrics::gauge!(REGISTRATION_UP.name).set(0);
    let Some(id) = registration.lease else { return };
    match LeaseClient::new(registration.etcd).lease_revoke(LeaseRevokeRequest { id }).await {
        Ok(_) => tracing::info!("registration withdrawn"),
        Err(_) => tracing::warn!("registration could not be withdrawn: it ends with its lease"),
    }
}

/// A key that lives as long as its lease, which is renewed as long as the server lives.
struct Registration<'a> {
    etcd: Channel,
    prefix: &'a str,
    address: String,
    lease: Option<i64>,
}

impl Registration<'_> {
    /// Registers, and renews the lease for ever.
    async fn keep(&mut self) {
        let mut failing = false;
        loop {
            let renewed = self.renew().await;
            metrics::gauge!(REGISTRATION_UP.name).set(u8::from(renewed.is_ok()));
            if let (Err(status), false) = (&renewed, failing) {
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
            self.lease = answer.filter(|answer| answer.ttl > 0).map(|_| id);
        }
        if self.lease.is_none() {
            self.lease =
                Some(leases.lease_grant(LeaseGrantRequest { ttl: TTL_SECONDS }).await?.into_inner().id);
            tracing::info!(endpoint = self.address, "registered");
        }
        let lease = self.lease.unwrap_or_default();
        // A key for each lease, as go-zero has it: an old lease that runs out takes no new key with it. It is put each
        // time, since somebody may have deleted it.
        let (key, value) = (format!("{}/{lease}", self.prefix), self.address.clone());
        let put = PutRequest { key: key.into_bytes(), value: value.into_bytes(), lease };
        KvClient::new(self.etcd.clone()).put(put).await.map(drop)
    }
}
