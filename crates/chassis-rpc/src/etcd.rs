//! Finds endpoints in etcd, and registers them there. The client crates for etcd need protoc at build time; a
//! handful of messages do not.

use crate::Found;
use crate::catalogue::REGISTRATION_UP;
use crate::target::address;
use futures_util::stream;
use metrics::gauge;
use protocol::kv_client::KvClient;
use protocol::lease_client::LeaseClient;
use protocol::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest};
use serde::Deserialize;
use std::collections::BTreeSet;
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
    let endpoints =
        members.iter().filter_map(|member| Endpoint::from_shared(format!("http://{member}")).ok());
    let endpoints =
        endpoints.map(|endpoint| endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).tcp_nodelay(true));
    Channel::balance_list(endpoints)
}

/// Follows the values of the keys under `prefix/`.
pub(crate) async fn follow(members: Vec<String>, prefix: String, mut found: Found) {
    let mut client = KvClient::new(connect(&members));
    // '0' follows on '/'.
    let (key, range_end) = (format!("{prefix}/").into_bytes(), format!("{prefix}0").into_bytes());
    loop {
        let (key, range_end) = (key.clone(), range_end.clone());
        match client.range(RangeRequest { key, range_end, limit: ENDPOINTS_MAX }).await {
            Ok(answer) => {
                let values = answer.into_inner().kvs.into_iter().map(|entry| entry.value);
                found.endpoints(values.filter_map(|value| address_in(&value)).collect::<BTreeSet<_>>());
            }
            Err(_) => found.failed("etcd is away"),
        }
        sleep(LOOKUP).await;
    }
}

/// The `host:port` that a value is, or holds in the form of etcd's own naming.
fn address_in(value: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "Addr")]
        address: String,
    }
    let text = std::str::from_utf8(value).ok()?;
    let named = || serde_json::from_str(text).ok().and_then(|named: Named| address(&named.address).ok());
    address(text).ok().or_else(named)
}

/// A key that lives as long as its lease, which is renewed as long as the server lives.
pub(crate) struct Registration {
    client: LeaseClient<Channel>,
    keys: KvClient<Channel>,
    prefix: String,
    advertised: String,
    lease: Option<i64>,
}

impl Registration {
    pub fn new(members: &[String], prefix: String, advertised: String) -> Self {
        gauge!(REGISTRATION_UP.name).set(0);
        let channel = connect(members);
        let (client, keys) = (LeaseClient::new(channel.clone()), KvClient::new(channel));
        Self { client, keys, prefix, advertised, lease: None }
    }

    /// Registers, and renews the lease for ever.
    pub async fn keep(&mut self) {
        let mut failing = false;
        loop {
            let renewed = self.renew().await;
            gauge!(REGISTRATION_UP.name).set(u8::from(renewed.is_ok()));
            match renewed {
                Ok(()) if std::mem::take(&mut failing) => tracing::info!("registration is renewed again"),
                Err(lost) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(code = ?lost.code(), "registration is not renewed: etcd is away");
                }
                Ok(()) | Err(_) => {}
            }
            sleep(if failing { LOOKUP } else { RENEWAL }).await;
        }
    }

    async fn renew(&mut self) -> Result<(), Status> {
        if let Some(id) = self.lease {
            let request = stream::iter([LeaseKeepAliveRequest { id }]);
            let answer = self.client.lease_keep_alive(request).await?.into_inner().message().await?;
            if answer.is_some_and(|answer| answer.ttl > 0) {
                return Ok(());
            }
            tracing::warn!("registration is lost");
            self.lease = None;
        }
        let grant = LeaseGrantRequest { ttl: TTL_SECONDS };
        let lease = self.client.lease_grant(grant).await?.into_inner().id;
        // A key for each lease, as go-zero has it: an old lease that runs out takes no new key with it.
        let (key, value) = (format!("{}/{lease}", self.prefix), self.advertised.clone());
        self.keys.put(PutRequest { key: key.into_bytes(), value: value.into_bytes(), lease }).await?;
        self.lease = Some(lease);
        tracing::info!(endpoint = %self.advertised, "registered");
        Ok(())
    }

    /// Takes the registration back, so that no new clients come.
    pub async fn withdraw(mut self) {
        gauge!(REGISTRATION_UP.name).set(0);
        let Some(id) = self.lease else { return };
        match self.client.lease_revoke(LeaseRevokeRequest { id }).await {
            Ok(_) => tracing::info!("registration withdrawn"),
            Err(_) => tracing::warn!("registration could not be withdrawn: it ends with its lease"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_an_address_or_holds_one() {
        let expected = Some("127.0.0.1:1".to_owned());
        for value in ["127.0.0.1:1", r#"{"Op":0,"Addr":"127.0.0.1:1","Metadata":null}"#] {
            assert_eq!(address_in(value.as_bytes()), expected, "{value}");
        }
        for value in ["", "127.0.0.1", "{}", r#"{"Addr":"nonsense"}"#, r#"{"Addr":1}"#, "\"a:1\""] {
            assert_eq!(address_in(value.as_bytes()), None, "{value}");
        }
        assert_eq!(address_in(b"\xff:1"), None);
    }

    proptest! {
        #[test]
        fn no_value_panics(
            value in proptest::collection::vec(any::<u8>(), 0..64), text in "\\{\"Addr\":\"\\PC*\"\\}",
        ) {
            let _ = address_in(&value);
            let _ = address_in(text.as_bytes());
        }
    }
}
