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
    attempt channel committed_ms duration_ms error_kind feature level outcome priority provider reason source status store \
    target to waited_ms \
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
    /// run time keeps the words that are in values of safe attributes.
    pub fn redact(&self, span: &mut SpanData) {
        self.retain(&mut span.attributes);
        redact_name(&mut span.name, &span.attributes);
        for event in &mut span.events.events {
            self.retain(&mut event.attributes);
            redact_name(&mut event.name, &event.attributes);
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

/// The attribute's value where it is a text.
pub(crate) fn text(attribute: &KeyValue) -> Option<&str> {
    if let Value::String(text) = &attribute.value { Some(text.as_str()) } else { None }
}

/// `tracestate` holds whatever a caller wrote.
fn strip_state(context: &mut SpanContext) {
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags());
    *context = SpanContext::new(trace, span, flags, context.is_remote(), TraceState::NONE);
}

fn redact_name(name: &mut Cow<'static, str>, attributes: &[KeyValue]) {
    let Cow::Owned(words) = name else { return };
    let texts = attributes.iter().filter_map(text).chain([WORDS]);
    let is_safe = |word: &str| texts.clone().any(|text| text.split(' ').any(|safe| safe == word));
    // Most names are the value of an attribute as a whole.
    if !texts.clone().any(|text| text == words) && !words.split(' ').all(is_safe) {
        let kept = words.split(' ').map(|word| if is_safe(word) { word } else { "_" });
        *words = kept.collect::<Vec<_>>().join(" ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_made_at_run_time_keeps_only_what_safe_attributes_say() {
        let attributes = [
            KeyValue::new("http.route", "/a/{id}"),
            KeyValue::new("rpc.method", "p.S/M"),
            KeyValue::new("db.query.summary", "INSERT jobs"),
        ];
        for (name, safe) in [
            ("GET /a/{id}", "GET /a/{id}"),
            ("GET /a/canary", "GET _"),
            ("p.S/M", "p.S/M"),
            ("p.S/canary", "_"),
            ("INSERT jobs", "INSERT jobs"),
            ("canary", "_"),
            ("", "_"),
        ] {
            let mut name = Cow::Owned(name.to_owned());
            redact_name(&mut name, &attributes);
            assert_eq!(name, safe);
        }
    }
}
