//! The message `ExportTraceServiceRequest` around spans that are encoded already.

use std::collections::VecDeque;

use bytes::Bytes;

use super::encode::{self, Value};
use super::wire;
use crate::platform::telemetry::names;
use crate::platform::telemetry::shards::Chunk;

/// Collectors take messages of up to 4 MiB unless told otherwise. A batch ends before this, and only a
/// single span can be longer. A message is in memory up to three times while it is sent.
const MAX_BYTES: usize = 1024 * 1024;

/// An encoded span's tag and length, as an element of `ScopeSpans.spans`.
pub(super) fn span_head(out: &mut Vec<u8>, span: &[u8]) {
    wire::head(out, 2, span.len());
}

/// What stands around the spans of every message: who sends them.
pub(super) struct Envelope {
    /// `ResourceSpans.resource`
    resource: Vec<u8>,
    /// `ScopeSpans.scope`
    scope: Vec<u8>,
    /// `schema_url` of both, field 3.
    schema: Vec<u8>,
}

/// A message ready to be sent.
#[derive(Clone)]
pub(super) struct Batch {
    pub message: Bytes,
    pub spans: usize,
    /// Room in the shards to give back when it is done with.
    pub bytes: usize,
}

impl Envelope {
    pub fn new(resource: &[(String, String)]) -> Self {
        let (mut encoded, mut scope, mut schema) = (Vec::new(), Vec::new(), Vec::new());
        wire::nested(&mut encoded, 1, |out| {
            resource.iter().for_each(|(key, value)| encode::attribute_in(out, 1, key, Value::Text(value)));
        });
        wire::nested(&mut scope, 1, |out| {
            wire::bytes(out, 1, env!("CARGO_PKG_NAME").as_bytes());
            wire::bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
        });
        wire::bytes(&mut schema, 3, names::SCHEMA_URL.as_bytes());
        Self { resource: encoded, scope, schema }
    }

    /// Takes chunks off the front of `chunks`, up to `max_spans`, and wraps them.
    pub fn next_batch(&self, chunks: &mut VecDeque<Chunk>, max_spans: usize) -> Option<Batch> {
        let (mut taken, mut spans, mut bytes) = (Vec::new(), 0, 0);
        while let Some(chunk) = chunks.pop_front() {
            if !taken.is_empty() && (spans + chunk.items > max_spans || bytes + chunk.bytes.len() > MAX_BYTES)
            {
                chunks.push_front(chunk);
                break;
            }
            spans += chunk.items;
            bytes += chunk.bytes.len();
            taken.push(chunk);
        }
        (!taken.is_empty()).then(|| Batch { message: self.wrap(&taken, bytes), spans, bytes })
    }

    fn wrap(&self, chunks: &[Chunk], bytes: usize) -> Bytes {
        let scope_spans = self.scope.len() + bytes + self.schema.len();
        let mut inner = self.resource.clone();
        wire::head(&mut inner, 2, scope_spans);
        let resource_spans = inner.len() + scope_spans + self.schema.len();
        // A tag and a length take at most eleven bytes.
        let mut message = Vec::with_capacity(resource_spans + 11);
        wire::head(&mut message, 1, resource_spans);
        message.extend_from_slice(&inner);
        message.extend_from_slice(&self.scope);
        chunks.iter().for_each(|chunk| message.extend_from_slice(&chunk.bytes));
        message.extend_from_slice(&self.schema);
        message.extend_from_slice(&self.schema);
        message.into()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message;

    use super::*;

    fn chunk(names: &[&str]) -> Chunk {
        let mut bytes = Vec::new();
        for name in names {
            let span = Span { name: (*name).to_owned(), ..Span::default() }.encode_to_vec();
            span_head(&mut bytes, &span);
            bytes.extend(span);
        }
        Chunk { bytes, items: names.len() }
    }

    fn names(batch: &Batch) -> Vec<String> {
        let request = ExportTraceServiceRequest::decode(batch.message.clone()).unwrap();
        let [resource_spans] = request.resource_spans.as_slice() else { panic!("one resource") };
        let [scope_spans] = resource_spans.scope_spans.as_slice() else { panic!("one scope") };
        assert_eq!(resource_spans.schema_url, names::SCHEMA_URL);
        assert_eq!(scope_spans.schema_url, names::SCHEMA_URL);
        assert_eq!(resource_spans.resource.as_ref().unwrap().attributes[0].key, names::SERVICE_NAME);
        assert_eq!(scope_spans.scope.as_ref().unwrap().name, env!("CARGO_PKG_NAME"));
        scope_spans.spans.iter().map(|span| span.name.clone()).collect()
    }

    #[test]
    fn batches_hold_what_was_pushed_within_the_bounds() {
        let envelope = Envelope::new(&[(names::SERVICE_NAME.to_owned(), "a service".to_owned())]);
        let mut chunks =
            VecDeque::from([chunk(&["a", "b"]), chunk(&["c"]), chunk(&["d", "e"]), chunk(&["f"; 9])]);
        let mut batches = Vec::new();
        while let Some(batch) = envelope.next_batch(&mut chunks, 3) {
            batches.push((names(&batch), batch.spans));
        }
        let owned =
            |names: &[&str]| (names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), names.len());
        assert_eq!(batches, [owned(&["a", "b", "c"]), owned(&["d", "e"]), owned(&["f"; 9])]);
    }
}
