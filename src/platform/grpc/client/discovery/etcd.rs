//! The values of the keys under a prefix in etcd: all of them once, then every change, for as long as etcd
//! answers. While it does not, what was found stays.

use super::{
    super::{roster::MOST, target::is_address},
    Teller,
};
use crate::platform::grpc::etcd::{
    Members, answer, behind, folder,
    protocol::{
        Event, KeyValue, RangeRequest, WatchCreateRequest, WatchRequest, event::EventType,
        kv_client::KvClient, watch_client::WatchClient, watch_request::RequestUnion,
    },
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use std::collections::BTreeMap;
use tonic::{Request, Status, metadata::MetadataValue, transport::Channel};

/// A prefix and the members of a cluster to ask for it.
pub(super) struct Etcd {
    members: Members,
    folder: Vec<u8>,
    teller: Teller,
    /// What is known, by key: two keys may name one endpoint.
    known: BTreeMap<Vec<u8>, String>,
}

impl Etcd {
    pub fn new(endpoints: Vec<String>, prefix: &str, teller: Teller) -> Self {
        Self { members: Members::new(endpoints), folder: folder(prefix), teller, known: BTreeMap::new() }
    }

    /// Follows the keys, for ever.
    pub async fn follow(mut self) {
        let mut fails = false;
        loop {
            let Err(lost) = self.read_and_watch(&mut fails).await else { continue };
            if !std::mem::replace(&mut fails, true) {
                let (target, code) = (self.teller.target, lost.code());
                tracing::warn!(rpc_target = target, ?code, "etcd is away: known endpoints stay in use");
            }
            self.teller.failed();
            self.members.next().await;
        }
    }

    /// Reads all keys, then their changes from that revision on. Ends well if the revision has been compacted
    /// away: then all is to be read anew.
    async fn read_and_watch(&mut self, fails: &mut bool) -> Result<(), Status> {
        let channel = self.members.connect().await?;
        let revision = self.read(channel.clone()).await?;
        self.members.works();
        if std::mem::take(fails) {
            tracing::info!(rpc_target = self.teller.target, "etcd is back");
        }
        let (key, range_end) = (self.folder.clone(), behind(&self.folder));
        let create = WatchCreateRequest { key, range_end, start_revision: revision + 1 };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The stream stays open: its end would be the watch's.
        let mut request = Request::new(stream::iter([create]).chain(stream::pending()));
        // A member that has lost the others says so, instead of knowing of no change.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut changes = answer(WatchClient::new(channel).watch(request)).await?.into_inner();
        while let Some(change) = changes.message().await? {
            if change.compact_revision > 0 {
                return Ok(());
            }
            if change.canceled {
                return Err(Status::aborted("the watch was cancelled"));
            }
            if !change.events.is_empty() {
                change.events.into_iter().for_each(|event| self.apply(event));
                self.tell();
            }
        }
        Err(Status::unavailable("the watch ended"))
    }

    /// Reads all keys, and returns the revision that they were read at.
    async fn read(&mut self, channel: Channel) -> Result<i64, Status> {
        let limit = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
        let request = RangeRequest { key: self.folder.clone(), range_end: behind(&self.folder), limit };
        let found = answer(KvClient::new(channel).range(request)).await?.into_inner();
        self.known.clear();
        found.kvs.into_iter().for_each(|entry| self.put(entry));
        self.tell();
        Ok(found.header.map_or(0, |header| header.revision))
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
            Some(address) if self.known.len() <= MOST || self.known.contains_key(&entry.key) => {
                self.known.insert(entry.key, address);
            }
            Some(_) => {}
            None => {
                self.known.remove(&entry.key);
                tracing::warn!(
                    rpc_target = self.teller.target,
                    "a value in etcd is no host:port and is left out"
                );
            }
        }
    }

    fn tell(&self) {
        self.teller.found(self.known.values().cloned().collect());
    }
}

/// As etcd's own naming writes endpoints, `{"Op":0,"Addr":"host:port",…}`.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "Addr")]
    address: String,
}

/// The `host:port` that a value is, or that it holds in the form of etcd's own naming.
fn address_in(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let named = || serde_json::from_str(text).ok().map(|named: Named| named.address);
    Some(text.to_owned()).filter(|text| is_address(text)).or_else(named).filter(|text| is_address(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_an_address_or_holds_one() {
        for value in ["127.0.0.1:1", r#"{"Op":0,"Addr":"127.0.0.1:1","Metadata":null}"#] {
            assert_eq!(address_in(value.as_bytes()).as_deref(), Some("127.0.0.1:1"), "{value}");
        }
        for value in ["", "127.0.0.1", "{}", r#"{"Addr":"nonsense"}"#, r#"{"Addr":1}"#, "\"a:1\""] {
            assert_eq!(address_in(value.as_bytes()), None, "{value}");
        }
        assert_eq!(address_in(b"\xff:1"), None);
    }

    proptest! {
        #[test]
        fn no_value_panics(value in proptest::collection::vec(any::<u8>(), 0..64), text in "\\{\"Addr\":\"\\PC*\"\\}") {
            let _ = address_in(&value);
            prop_assert!(address_in(text.as_bytes()).is_none_or(|address| is_address(&address)));
        }
    }
}
