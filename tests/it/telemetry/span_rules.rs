//! All that a span may say: names, and attributes with their types and values. What is not here is a leak
//! or a mistake.

use crate::auth::routes::ROUTES;
use chassis_test::spans::{Event, Span, SpanKind, Value};

/// What an attribute's value may be.
enum May {
    Be(&'static [&'static str]),
    /// A text of these characters, such as an id of ours or a template of a route.
    Id,
    Route,
    Integer,
    Float,
}

const METHODS: &[&str] =
    &["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "_OTHER"];
const OUTCOMES: &[&str] = &["delivered", "retry", "parked", "dead", "unknown"];

/// A name of a span, by its kind.
fn name_is_allowed(span: &Span) -> bool {
    match span.kind() {
        // Where no route matches, the method alone.
        SpanKind::Server => match span.name.split_once(' ') {
            Some((method, route)) => METHODS.contains(&method) && is_route(route),
            None => METHODS.contains(&&*span.name) || span.name == "HTTP",
        },
        SpanKind::Producer => span.name == "send notifications",
        SpanKind::Consumer => span.name == "process notifications",
        SpanKind::Client => matches!(&*span.name, "POST" | "commit") || READS.contains(&&*span.name),
        // The process itself.
        SpanKind::Internal => matches!(&*span.name, "start" | "run" | "stop"),
        SpanKind::Unspecified => false,
    }
}

/// Reads of the store.
const READS: &[&str] = &[
    "find batch", "find contact", "find idempotency key", "find jobs", "find latest report", "find report",
    "list dead letters", "read enrolment",
];

fn may(span: &Span, attribute: &str) -> Option<May> {
    let messaging = matches!(span.kind(), SpanKind::Producer | SpanKind::Consumer);
    Some(match (span.kind(), attribute) {
        (SpanKind::Server, "http.route") => May::Route,
        (SpanKind::Server, "user.name") => May::Id,
        (SpanKind::Server, "url.scheme") => May::Be(&["http"]),
        (SpanKind::Server, "network.protocol.version") => May::Be(&["1.0", "1.1", "2"]),
        (SpanKind::Server | SpanKind::Client, "http.request.method") => May::Be(METHODS),
        (SpanKind::Server | SpanKind::Client, "http.response.status_code") => May::Integer,
        (SpanKind::Server | SpanKind::Client, "error.type") => May::Id,
        (SpanKind::Client, "server.address") => May::Be(&["127.0.0.1"]),
        (SpanKind::Client, "server.port" | "db.operation.batch.size") => May::Integer,
        (SpanKind::Client, "db.system.name") => May::Be(&["sqlite"]),
        (SpanKind::Client, "db.operation.name") if span.name == "commit" => May::Be(&["COMMIT"]),
        (SpanKind::Client, "db.operation.name") => May::Be(&["SELECT"]),
        (SpanKind::Client, "db.query.summary") => May::Be(READS),
        (SpanKind::Client, "store") => May::Id,
        (SpanKind::Producer, "waited_ms" | "committed_ms") => May::Float,
        (SpanKind::Producer, "messaging.batch.message_count") => May::Integer,
        (_, "messaging.system") if messaging => May::Be(&["epro-notify"]),
        (_, "messaging.destination.name") if messaging => May::Be(&["notifications"]),
        (_, "messaging.operation.name" | "messaging.operation.type") if messaging => {
            May::Be(&["send", "process"])
        }
        (_, "messaging.message.id") if messaging => May::Id,
        (SpanKind::Consumer, "attempt") => May::Integer,
        (_, "priority") if messaging => May::Be(&["urgent", "normal", "bulk"]),
        (_, "channel") if messaging => May::Be(&["sms", "push"]),
        (SpanKind::Consumer, "outcome") => May::Be(OUTCOMES),
        _ => return None,
    })
}

/// Fails unless everything that the span says is allowed.
pub fn check(span: &Span) {
    assert!(name_is_allowed(span), "{span:#?}");
    assert!(span.trace_state.is_empty() && span.events.iter().all(is_breaker), "{span:#?}");
    assert!(span.status.as_ref().is_none_or(|status| status.message.is_empty()), "{span:#?}");
    assert!(
        span.links.iter().all(|link| link.attributes.is_empty() && link.trace_state.is_empty()),
        "{span:#?}"
    );
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:#?}");
    assert_eq!((span.dropped_attributes_count, span.dropped_links_count), (0, 0), "{span:#?}");
    for attribute in &span.attributes {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        let allowed = match (may(span, &attribute.key), value) {
            (Some(May::Be(values)), Some(Value::StringValue(text))) => values.contains(&&**text),
            (Some(May::Id), Some(Value::StringValue(text))) => is_id(text),
            (Some(May::Route), Some(Value::StringValue(text))) => is_route(text),
            (Some(May::Integer), Some(Value::IntValue(_)))
            | (Some(May::Float), Some(Value::DoubleValue(_))) => true,
            _ => false,
        };
        assert!(allowed, "{attribute:?} is not allowed: {span:#?}");
    }
}

/// On a slow machine a gateway's time-outs may open its breaker.
fn is_breaker(event: &Event) -> bool {
    let told = event.attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        let allowed: &[&str] = match &*attribute.key {
            "target" => &["sms", "push"],
            "to" => &["closed", "half_open", "open"],
            _ => &[],
        };
        matches!(value, Some(Value::StringValue(text)) if allowed.contains(&&**text))
    });
    event.name == "circuit breaker" && told.eq([true, true])
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A whole template, or the one word for all that has none.
pub fn is_route(text: &str) -> bool {
    text == "unmatched" || ROUTES.iter().any(|(_, route, _)| *route == text)
}
