//! The values of the keys under a prefix in etcd: all of them once, then every change. While etcd is away, what
//! was found stays.

use crate::{
    Address, Found,
    endpoints::ENDPOINTS_MAX,
    etcd::{
        Members,
        protocol::{
            Event, KeyValue, RangeRequest, WatchCreateRequest, WatchRequest, event::EventType,
            kv_client::KvClient, watch_client::WatchClient, watch_request::RequestUnion,
        },
        range, within_timeout,
    },
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use std::collections::BTreeMap;
use tonic::{Request, Status, metadata::MetadataValue, transport::Channel};

pub(crate) struct Discovery {
    members: Members,
    range: (Vec<u8>, Vec<u8>),
    /// By key: two keys may name one endpoint.
    known: BTreeMap<Vec<u8>, Address>,
}

impl Discovery {
    pub fn new(members: Vec<Address>, prefix: &str) -> Self {
        Self { members: Members::new(members), range: range(prefix), known: BTreeMap::new() }
    }

    pub async fn follow(mut self, mut found: Found) {
        loop {
            if self.read_and_watch(&mut found).await.is_err() {
                found.failed("etcd is away");
                self.members.next().await;
            }
        }
    }

    /// Reads all keys, then their changes from that revision on. Returns if the revision has been compacted
    /// away, so that all keys are to be read again.
    async fn read_and_watch(&mut self, found: &mut Found) -> Result<(), Status> {
        let channel = self.members.connect().await?;
        let revision = self.read(channel.clone(), found).await?;
        self.members.works();
        let (key, range_end) = self.range.clone();
        let create = WatchCreateRequest { key, range_end, start_revision: revision + 1 };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The request stream stays open, because its end would be that of the watch.
        let mut request = Request::new(stream::iter([create]).chain(stream::pending()));
        // A member that has lost the others then reports that, instead of no changes.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut changes = within_timeout(WatchClient::new(channel).watch(request)).await?.into_inner();
        while let Some(change) = changes.message().await? {
            if change.compact_revision > 0 {
                return Ok(());
            }
            if change.canceled {
                return Err(Status::aborted("the watch was cancelled"));
            }
            if !change.events.is_empty() {
                change.events.into_iter().for_each(|event| self.apply(event));
                self.report(found);
            }
        }
        Err(Status::unavailable("the watch ended"))
    }

    /// Reads all keys, and returns the revision of that state.
    async fn read(&mut self, channel: Channel, found: &mut Found) -> Result<i64, Status> {
        let (key, range_end) = self.range.clone();
        let request = RangeRequest { key, range_end, limit: ENDPOINTS_MAX as i64 + 1 };
        let answer = within_timeout(KvClient::new(channel).range(request)).await?.into_inner();
        self.known.clear();
        answer.kvs.into_iter().for_each(|entry| self.put(entry));
        self.report(found);
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    fn apply(&mut self, event: Event) {
        let kind = event.r#type();
        let Some(entry) = event.kv else { return };
        match kind {
            EventType::Put => self.put(entry),
            EventType::Delete => drop(self.known.remove(&entry.key)),
        }
    }

    fn put(&mut self, entry: KeyValue) {
        match address_in(&entry.value) {
            Some(address) if self.known.len() <= ENDPOINTS_MAX || self.known.contains_key(&entry.key) => {
                self.known.insert(entry.key, address);
            }
            Some(_) => {}
            None => {
                self.known.remove(&entry.key);
                tracing::warn!("a value in etcd is not host:port and is left out");
            }
        }
    }

    fn report(&self, found: &mut Found) {
        found.endpoints(self.known.values().cloned().collect());
    }
}

/// As etcd's own naming writes endpoints: `{"Op":0,"Addr":"host:port",…}`.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "Addr")]
    address: String,
}

/// The `host:port` that a value is, or holds in the form of etcd's own naming.
fn address_in(value: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(value).ok()?;
    let named = || serde_json::from_str(text).ok().and_then(|named: Named| named.address.parse().ok());
    text.parse().ok().or_else(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_an_address_or_holds_one() {
        let expected = "127.0.0.1:1".parse().ok();
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
