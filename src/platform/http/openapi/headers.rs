//! The headers that all answers have in common, and those that some have.

use serde_json::{Value, json};
use utoipa::openapi::{
    Header, HeaderBuilder, Object, ObjectBuilder, Ref, ResponseBuilder,
    extensions::Extensions,
    schema::{SchemaType, Type},
};

/// An example, which all others name as their trace.
pub(super) const TRACE_ID: &str = "44d1b382a0661d0fefc239c0bffbb70f";
const TRACEPARENT: &str = "00-44d1b382a0661d0fefc239c0bffbb70f-2aeb128055eabac0-01";

/// What a header is.
struct Known {
    name: &'static str,
    about: &'static str,
    kind: Type,
    example: &'static str,
    /// Whether an answer that may have it always has it.
    always: bool,
}

const fn known(name: &'static str, kind: Type, example: &'static str, about: &'static str) -> Known {
    Known { name, about, kind, example, always: true }
}

const fn some(name: &'static str, kind: Type, example: &'static str, about: &'static str) -> Known {
    Known { name, about, kind, example, always: false }
}

/// Every header that an answer may have.
const KNOWN: &[Known] = &[
    known("traceparent", Type::String, TRACEPARENT, "The trace of this request, as in W3C Trace Context."),
    known("x-ratelimit-limit", Type::Integer, "200", "Requests that a client may send at once."),
    known("x-ratelimit-remaining", Type::Integer, "199", "Requests that this client may still send at once."),
    known(
        "RateLimit",
        Type::String,
        "\"default\";r=199;t=1",
        "What remains of the limit, and seconds until it is whole.",
    ),
    known("RateLimit-Policy", Type::String, "\"default\";q=200;w=2", "The limit, and its window in seconds."),
    known("Location", Type::String, "/api/v1/notifications/0sahnpdaw0000", "Where it is shown."),
    some("Retry-After", Type::Integer, "1", "Seconds after which another request is worth it; at least 1."),
    some("Idempotency-Replayed", Type::String, "true", "There when this is the first answer again."),
    known("WWW-Authenticate", Type::String, "Bearer", "How to authenticate."),
    some("Age", Type::Integer, "17", "Seconds since the content was current; there if it may no longer be."),
    known("ETag", Type::String, "\"1f6a0b\"", "The content's own mark."),
    known("Cache-Control", Type::String, "no-cache", "Whether it may be kept."),
];

/// Those that every answer carries.
const EVERYWHERE: [&str; 5] =
    ["traceparent", "x-ratelimit-limit", "x-ratelimit-remaining", "RateLimit", "RateLimit-Policy"];

/// An answer with the headers that all have, and these besides.
pub(super) fn with_headers(answer: ResponseBuilder, further: &[&'static str]) -> ResponseBuilder {
    let all = EVERYWHERE.into_iter().chain(further.iter().copied());
    all.fold(answer, |answer, name| answer.header_ref(name, Ref::new(format!("#/components/headers/{name}"))))
}

/// All known headers by name, for the document's components.
pub(super) fn components() -> impl Iterator<Item = (&'static str, Header)> {
    KNOWN.iter().map(|known| (known.name, known.header()))
}

impl Known {
    fn header(&self) -> Header {
        let example = match self.kind {
            Type::Integer => self.example.parse::<i64>().map_or(Value::Null, Value::from),
            _ => json!(self.example),
        };
        HeaderBuilder::new()
            .schema(Some(self.schema()))
            .description(Some(self.about))
            .example(Some(example))
            // utoipa has no field of this name for it.
            .extensions(self.always.then(|| Extensions::from_iter([("required", true)])))
            .build()
    }

    fn schema(&self) -> Object {
        let schema = ObjectBuilder::new().schema_type(SchemaType::Type(self.kind.clone()));
        let schema = match self.name {
            "traceparent" => schema.pattern(Some("^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")),
            "Idempotency-Replayed" => schema.enum_values(Some(["true"])),
            "Retry-After" => schema.minimum(Some(1)),
            _ if matches!(self.kind, Type::Integer) => schema.minimum(Some(0)),
            _ => schema.min_length(Some(1)),
        };
        schema.build()
    }
}

/// The `traceparent` that a caller may send, as a parameter.
pub(super) fn traceparent() -> utoipa::openapi::path::Parameter {
    super::operation::parameter("traceparent", utoipa::openapi::path::ParameterIn::Header)
        .required(utoipa::openapi::Required::False)
        .description(Some("The caller's trace, as in W3C Trace Context; one that is not valid is ignored."))
        .schema(Some(super::text()))
        .example(Some(json!(TRACEPARENT)))
        .build()
}
