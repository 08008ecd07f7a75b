//! The allow-list that everything about a span passes before it is exported: attributes, events, links, names, status.
//!
//! Libraries put statements, paths and peers on their spans. What is not listed stays here.

use std::borrow::Cow;
use std::collections::HashSet;

use opentelemetry::trace::{SpanContext, Status, TraceState};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

/// Attribute keys whose values say nothing about a person, most by OpenTelemetry's conventions. A service adds its own
/// with [`crate::Setup::safe_attributes`].
pub const SAFE: &str = "\
    attempt channel committed_ms duration_ms error_kind outcome priority provider reason status store waited_ms \
    db.collection.name db.namespace db.operation.batch.size db.operation.name db.query.summary db.response.status_code db.system.name \
    error.type http.request.method http.request.resend_count http.response.status_code http.route \
    messaging.batch.message_count messaging.destination.name messaging.message.id messaging.operation.name \
    messaging.operation.type messaging.system network.protocol.name network.protocol.version network.transport \
    rpc.method rpc.response.status_code rpc.service rpc.system rpc.system.name server.address server.port url.scheme \
    user.name";

/// Words that a name may hold besides the values of safe attributes.
const WORDS: &str = "HTTP GET POST PUT DELETE HEAD OPTIONS PATCH send receive process publish query call";

#[derive(Debug)]
pub(crate) struct AllowList(HashSet<&'static str>);

impl AllowList {
    pub fn new(further: &[&'static str]) -> Self {
        Self(SAFE.split(' ').chain(further.iter().copied()).collect())
    }

    /// Takes everything off the span that is not listed. Names that the code has as constants stay; a name made at
    /// run time keeps the words that are values of safe attributes.
    pub fn redact(&self, span: &mut SpanData) {
        self.retain(&mut span.attributes);
        if let Cow::Owned(name) = &span.name {
            span.name = safe_name(name, &span.attributes).into();
        }
        for event in &mut span.events.events {
            self.retain(&mut event.attributes);
            if let Cow::Owned(name) = &event.name {
                event.name = safe_name(name, &event.attributes).into();
            }
        }
        for link in &mut span.links.links {
            self.retain(&mut link.attributes);
            strip_state(&mut link.span_context);
        }
        if let Status::Error { description: description @ Cow::Owned(_) } = &mut span.status {
            *description = Cow::Borrowed("");
        }
        strip_state(&mut span.span_context);
    }

    fn retain(&self, attributes: &mut Vec<KeyValue>) {
        attributes.retain(|attribute| self.0.contains(attribute.key.as_str()));
    }
}

/// `tracestate` holds whatever a caller wrote.
fn strip_state(context: &mut SpanContext) {
    if *context.trace_state() != TraceState::NONE {
        let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags());
        *context = SpanContext::new(trace, span, flags, context.is_remote(), TraceState::NONE);
    }
}

fn safe_name(name: &str, attributes: &[KeyValue]) -> String {
    let is_safe = |text: &str| {
        let mut texts = attributes.iter().map(|attribute| &attribute.value);
        texts.any(|value| matches!(value, Value::String(safe) if safe.as_str() == text))
            || WORDS.split(' ').any(|safe| safe == text)
    };
    // `package.Service/Method` is known by its halves.
    let halves = |word: &str| {
        word.split_once('/').is_some_and(|(service, method)| is_safe(service) && is_safe(method))
    };
    let safe = |word| if is_safe(word) || halves(word) { word } else { "_" };
    if is_safe(name) { name.to_owned() } else { name.split(' ').map(safe).collect::<Vec<_>>().join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_made_at_run_time_keeps_only_what_safe_attributes_say() {
        let attributes = [
            KeyValue::new("http.route", "/a/{id}"),
            KeyValue::new("rpc.service", "p.S"),
            KeyValue::new("rpc.method", "M"),
        ];
        for (name, safe) in [
            ("GET /a/{id}", "GET /a/{id}"),
            ("GET /a/canary", "GET _"),
            ("p.S/M", "p.S/M"),
            ("canary", "_"),
            ("", "_"),
        ] {
            assert_eq!(safe_name(name, &attributes), safe);
        }
    }
}
