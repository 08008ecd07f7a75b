//! Extractors of what a request says: the JSON body and the idempotency key. Reading bodies off the wire,
//! with their limits, is [`super::stack`]'s matter.

use super::{
    Problem,
    fields::{Fields, expected},
    json::{self, Parsed},
    problem::Fault,
};
use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request},
};
use bytes::Bytes;
use serde_json::Value;

/// The largest body that any route may allow, in bytes.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// A body of JSON: 415 if it is not declared as such, 400 if it can't be parsed.
#[derive(Debug)]
pub struct JsonBody {
    bytes: Bytes,
    parsed: Parsed,
}

impl JsonBody {
    /// The bytes as they were sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body's fields; 422 if it is no object.
    pub fn fields(&self) -> Result<Fields<'_>, Problem> {
        match &self.parsed.value {
            Value::Object(object) => Ok(Fields::new(object, &self.parsed.duplicates)),
            other => {
                let fault = Fault { pointer: String::new(), detail: expected("an object", other) };
                Err(Problem::invalid(vec![fault]))
            }
        }
    }

    fn parse(bytes: Bytes) -> Result<Self, Problem> {
        // serde_json's own text is left out: only the position is surely free of the body's content.
        let unparsable = |error: serde_json::Error| {
            Problem::new(StatusCode::BAD_REQUEST, "not-json", "The body is not valid JSON").detail(format!(
                "The body is not valid JSON at line {}, column {}.",
                error.line(),
                error.column()
            ))
        };
        let parsed = json::parse(&bytes).map_err(unparsable)?;
        Ok(Self { bytes, parsed })
    }
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body is not declared as JSON",
            )
            .detail("Send the body as Content-Type: application/json."));
        }
        // The stack has read the body within the route's own limit; this cap is for a route outside it.
        let bytes = axum::body::to_bytes(request.into_body(), LARGEST_BODY).await;
        Self::parse(bytes.map_err(|_| Problem::bad_request("The body could not be read."))?)
    }
}

/// `application/json` or `application/…+json`, with any parameters, exactly once.
fn is_json(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.rsplit_once('+').map_or(subtype, |(_, suffix)| suffix);
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

/// `Idempotency-Key`: 1 to 255 visible ASCII characters, at most once; 400 otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyHeader(pub Option<String>);

impl IdempotencyHeader {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut all = headers.get_all("idempotency-key").iter();
        let Some(value) = all.next() else { return Ok(Self(None)) };
        if all.next().is_some() {
            return Err(Problem::bad_request("Idempotency-Key is given more than once."));
        }
        let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(key) if visible && (1..=255).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            _ => Err(Problem::bad_request("Idempotency-Key must be 1 to 255 visible ASCII characters.")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _state: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)
    }
}
