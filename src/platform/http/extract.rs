//! Extractors of what a request says: the JSON body and the idempotency key. Reading bodies off the wire,
//! with their limits, is [`super::stack`]'s matter.

use super::{
    Problem,
    fields::{Fields, expected},
    json::{self, Parsed},
    problem::Fault,
};
use crate::platform::checked::Invalid;
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

    pub(in crate::platform) fn parse(bytes: Bytes) -> Result<Self, Problem> {
        // serde_json's own text is left out: only the position is surely free of the body's content.
        let parsed = json::parse(&bytes).map_err(|error| not_json(error.line(), error.column()))?;
        Ok(Self { bytes, parsed })
    }
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(not_declared_as_json());
        }
        // The stack has read the body within the route's own limit; this cap is for a route outside it.
        let bytes = axum::body::to_bytes(request.into_body(), LARGEST_BODY).await;
        Self::parse(bytes.map_err(|_| Problem::bad_request("The body could not be read."))?)
    }
}

/// No body, or an empty JSON object, as some clients must send one: 422 for anything in it.
#[derive(Clone, Copy, Debug)]
pub struct NoBody;

impl<S: Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, LARGEST_BODY).await;
        let bytes = bytes.map_err(|_| Problem::bad_request("The body could not be read."))?;
        if !bytes.is_empty() {
            let request = Request::from_parts(parts, bytes.into());
            JsonBody::from_request(request, state).await?.fields()?.finish()?;
        }
        Ok(Self)
    }
}

/// 400: the body can't be parsed.
pub(super) fn not_json(line: usize, column: usize) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "not-json", "The body is not valid JSON")
        .detail(format!("The body is not valid JSON at line {line}, column {column}."))
}

/// 415: the body may be anything.
pub(super) fn not_declared_as_json() -> Problem {
    let title = "The body is not declared as JSON";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title)
        .detail("Send the body as Content-Type: application/json.")
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
    /// Reads it from the headers of any protocol.
    ///
    /// # Errors
    /// It is not of its form.
    pub fn read(headers: &HeaderMap) -> Result<Self, Invalid> {
        let mut all = headers.get_all("idempotency-key").iter();
        let Some(value) = all.next() else { return Ok(Self(None)) };
        if all.next().is_some() {
            return Err(Invalid("must be given once at most"));
        }
        let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(key) if visible && (1..=255).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            _ => Err(Invalid("must be 1 to 255 visible ASCII characters")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _state: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)
            .map_err(|Invalid(rule)| Problem::bad_request(format!("Idempotency-Key {rule}.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn request(kind: Option<&str>, body: &[u8]) -> Request {
        let mut request = Request::new(axum::body::Body::from(body.to_vec()));
        if let Some(kind) = kind {
            request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        request
    }

    async fn status(kind: Option<&str>, body: &[u8]) -> u16 {
        match JsonBody::from_request(request(kind, body), &()).await {
            Ok(_) => 200,
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[tokio::test]
    async fn a_body_is_json_only_if_it_says_so() {
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert_eq!(status(Some(kind), b"{}").await, 200, "{kind}");
        }
        for kind in
            [None, Some("text/json"), Some("application/jsonp"), Some("application/x-www-form-urlencoded")]
        {
            assert_eq!(status(kind, b"{}").await, 415, "{kind:?}");
        }
        let mut twice = request(Some("application/json"), b"{}");
        twice.headers_mut().append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert_eq!(JsonBody::from_request(twice, &()).await.unwrap_err().status(), 415);
    }

    #[tokio::test]
    async fn an_unparsable_body_is_told_by_its_position_and_never_repeated() {
        let body = br#"{"message": secret-canary}"#;
        let problem = JsonBody::from_request(request(Some("application/json"), body), &()).await.unwrap_err();
        assert_eq!(problem.status(), 400);
        let told = format!("{problem:?}");
        assert!(told.contains("line 1, column 13") && !told.contains("secret"), "{told}");
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_and_there_once() {
        let read = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", HeaderValue::from_bytes(value).unwrap());
            }
            IdempotencyHeader::read(&headers).map(|IdempotencyHeader(key)| key).map_err(drop)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"key-1"]), Ok(Some("key-1".to_owned())));
        assert_eq!(read(&[&[b'k'; 255]]).unwrap().unwrap().len(), 255);
        for bad in [&b""[..], &[b'k'; 256], b"two words", b"tab\there", "ключ".as_bytes()] {
            assert_eq!(read(&[bad]), Err(()), "{bad:?}");
        }
        assert_eq!(read(&[b"a", b"a"]), Err(()));
    }

    proptest! {
        #[test]
        fn no_body_panics_or_is_our_own_failure(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,100}") {
            for body in [Bytes::from(bytes), Bytes::from(text)] {
                let read = JsonBody::parse(body).and_then(|body| {
                    let mut fields = body.fields()?;
                    let name = fields.required::<String>("name");
                    fields.optional::<i64>("count");
                    fields.objects("list", 3, |item| item.required::<bool>("on"));
                    fields.finish_with((name,))
                });
                if let Err(problem) = read {
                    prop_assert!(problem.status().is_client_error());
                }
            }
        }

        #[test]
        fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut headers = HeaderMap::new();
                headers.insert("idempotency-key", value.clone());
                headers.insert(header::CONTENT_TYPE, value);
                let _ = IdempotencyHeader::read(&headers);
                let _ = is_json(&headers);
            }
        }
    }
}
