//! `Valid<…>`: what has been parsed is checked before a handler sees it, and every fault is named by its place.

use crate::{Fault, Problem};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::{Json, RequestExt};
use bytes::Bytes;
use garde::Validate;
use heck::ToLowerCamelCase;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use http_body::Body as _;
use mime::Mime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Deserializer, Value};
use serde_path_to_error::Segment;
use std::{error::Error, io};

/// An extractor whose value is checked by garde:
/// - `Valid<Json<T>>`: 415 if the body is not declared as JSON, 413 if it is too large, 400 if it can't be parsed, 422
///   with JSON pointers if a field is missing, unknown, of the wrong type or out of its bounds;
/// - `Valid<Path<T>>` and `Valid<Query<T>>`: 422 with the names of what is wrong.
///
/// Pointers are in camelCase, as `#[serde(rename_all = "camelCase")]` names fields; garde knows nothing of renaming.
#[derive(Clone, Copy, Debug)]
pub struct Valid<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate<Context = ()>> FromRequest<S> for Valid<Json<T>> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        declared_as_json(request.headers())?;
        let (_, bytes) = whole_body(request).await?;
        checked(parse::<T>(&bytes)?).map(|value| Self(Json(value)))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Validate<Context = ()> + Send> FromRequestParts<S>
    for Valid<Path<T>>
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unreadable = |_| Problem::bad_request("The path cannot be read.");
        let Path(value) = Path::<T>::from_request_parts(parts, state).await.map_err(unreadable)?;
        checked(value).map(|value| Self(Path(value)))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Validate<Context = ()>> FromRequestParts<S> for Valid<Query<T>> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(value) = Query::<T>::try_from_uri(&parts.uri).map_err(|rejection| {
            // "Failed to deserialize query string: limit: invalid digit found in string"
            let text = rejection.body_text();
            let text = text.split_once(": ").map_or("", |(_, text)| text);
            let (name, message) = text.split_once(": ").unwrap_or(("", text));
            let path = Some(name.to_owned()).filter(|name| !name.is_empty());
            Problem::invalid(vec![mismatch(path.into_iter().collect(), message)])
        })?;
        checked(value).map(|value| Self(Query(value)))
    }
}

/// No body, or an empty JSON object, since some clients have to send one: 422 for anything in it.
#[derive(Clone, Copy, Debug)]
pub struct NoBody;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, bytes) = whole_body(request).await?;
        if bytes.is_empty() {
            return Ok(Self);
        }
        declared_as_json(&parts.headers)?;
        parse::<Nothing>(&bytes).map(|Nothing {}| Self)
    }
}

/// The whole body, within the route's `DefaultBodyLimit`.
///
/// # Errors
/// 413 if it is too large, 400 if its framing is broken, 499 if the caller left.
pub(crate) async fn whole_body(request: Request) -> Result<(Parts, Bytes), Problem> {
    let length = |value: &HeaderValue| value.to_str().ok()?.parse::<u64>().ok();
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(length).unwrap_or_default();
    let (parts, body) = request.with_limited_body().into_parts();
    // The limit caps the hint. What says that it is too large is refused before its sender is told to go on.
    if body.size_hint().upper().is_some_and(|most| most < declared) {
        return Err(too_large());
    }
    let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| broken(&error))?;
    Ok((parts, bytes))
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large")
        .detail("The body has more bytes than this call takes.")
}

/// Tells a body over the limit and a caller that left from one that sent nonsense.
fn broken(error: &(dyn Error + 'static)) -> Problem {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return too_large();
        }
        let reset = |error: &io::Error| {
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
        };
        let left =
            |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled() || error.is_closed();
        if error.downcast_ref().is_some_and(reset) || error.downcast_ref().is_some_and(left) {
            // Nobody reads this answer; logs and metrics show 499.
            let left = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
            return Problem::new(left, "caller-gone", "The caller left");
        }
        cause = error.source();
    }
    Problem::bad_request("The body could not be read to its end.")
}

/// `application/json` or `application/…+json`, with any parameters, exactly once, and not compressed: 415 otherwise.
fn declared_as_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let kind =
        kinds.next().and_then(|kind| kind.to_str().ok()?.split(';').next()?.trim().parse::<Mime>().ok());
    let json =
        |kind: Mime| kind.type_() == "application" && kind.suffix().unwrap_or(kind.subtype()) == "json";
    if kind.is_some_and(json) && kinds.next().is_none() && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    let title = "The body is not declared as JSON";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title)
        .detail("Send the body as Content-Type: application/json, without a Content-Encoding."))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // A struct would be read from an array of its fields too.
    let array = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !array && let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    // Whether it is JSON at all comes first; serde_json's error of an enum says that it is not.
    serde_json::from_slice::<Value>(bytes).map_err(|error| not_json(&error))?;
    // Following the path costs as much again as the parsing, so only what is wrong pays for it.
    let fault = match serde_path_to_error::deserialize::<_, T>(&mut Deserializer::from_slice(bytes)) {
        Err(error) if !array => {
            mismatch(error.path().iter().filter_map(token).collect(), &error.inner().to_string())
        }
        _ => fault(&[], "expected an object"),
    };
    Err(Problem::invalid(vec![fault]))
}

/// 400. serde_json's own text is left out: only the position is surely free of the body's content.
fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(StatusCode::BAD_REQUEST, "not-json", "The body is not valid JSON")
        .detail(format!("The body is not valid JSON at line {line}, column {column}."))
}

fn token(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

/// What serde's message says is wrong at this path, without the values that it repeats.
fn mismatch(mut path: Vec<String>, message: &str) -> Fault {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let expected = message.rfind(", expected ").and_then(|at| message.get(at + 2..));
    // Without Rust's names of types.
    let expected = expected.map(|text| if text.contains("struct ") { "expected an object" } else { text });
    let quoted = |prefix: &str| message.strip_prefix(prefix)?.split('`').next().map(str::to_owned);
    for (prefix, rule) in [("missing field `", "is missing"), ("duplicate field `", "is given twice")] {
        if let Some(field) = quoted(prefix) {
            path.push(field);
            return fault(&path, rule);
        }
    }
    if let Some(field) = quoted("unknown field `") {
        if path.last() != Some(&field) {
            path.push(field);
        }
        let known = expected.map_or_else(String::new, |expected| format!("; {expected}"));
        return fault(&path, format!("is not a known field{known}"));
    }
    // A type of the service may say what it takes; what other messages repeat is unknown.
    let own = message.strip_prefix("must ").map(|_| message);
    fault(&path, expected.or(own).unwrap_or("is not a value of this field"))
}

/// A fault at a JSON pointer (RFC 6901). The last token may be the caller's own, so it is shortened.
fn fault(path: &[String], detail: impl Into<String>) -> Fault {
    let token = |token: &String| {
        let short: String = token.chars().take(64).collect();
        format!("/{}", short.replace('~', "~0").replace('/', "~1"))
    };
    Fault { pointer: path.iter().map(token).collect(), detail: detail.into() }
}

/// The value, or all faults that garde finds in it. garde's `copies[1].phone_number` is `/copies/1/phoneNumber`.
fn checked<T: Validate<Context = ()>>(value: T) -> Result<T, Problem> {
    let Err(report) = value.validate() else { return Ok(value) };
    let token = |part: &str| format!("/{}", part.trim_end_matches(']').to_lower_camel_case());
    let faults = report.iter().map(|(path, error)| Fault {
        pointer: path.to_string().split(['.', '[']).filter(|part| !part.is_empty()).map(token).collect(),
        detail: error.message().to_owned(),
    });
    Err(Problem::invalid(faults.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use proptest::prelude::*;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Order {
        #[garde(length(chars, min = 1, max = 5))]
        full_name: String,
        #[garde(dive)]
        #[serde(default)]
        line_items: Vec<Item>,
        #[garde(skip)]
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize, Validate)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Item {
        #[garde(range(min = 1, max = 9))]
        item_count: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Small,
        Large,
    }

    fn read(body: &[u8]) -> (u16, Vec<(String, String)>) {
        let read = parse::<Order>(body).and_then(|order| {
            let _ = &order.kind;
            checked(order)
        });
        let Err(problem) = read else { return (200, Vec::new()) };
        let status = problem.status().as_u16();
        let bytes = axum::response::IntoResponse::into_response(problem).into_body();
        let bytes = futures_util::FutureExt::now_or_never(axum::body::to_bytes(bytes, usize::MAX));
        let body: Value = serde_json::from_slice(&bytes.unwrap().unwrap()).unwrap();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
        (status, errors.iter().map(|error| (text(error, "pointer"), text(error, "detail"))).collect())
    }

    #[test]
    fn each_fault_is_named_by_its_pointer_and_never_repeats_a_value() {
        for (body, pointer, detail) in [
            (r#"{}"#, "/fullName", "is missing"),
            (r#"{"fullName":1}"#, "/fullName", "expected a string"),
            (r#"{"fullName":"a","fullName":"b"}"#, "/fullName", "is given twice"),
            (
                r#"{"full/Nam":"canary","fullName":"a"}"#,
                "/full~1Nam",
                "is not a known field; expected one of",
            ),
            (
                r#"{"fullName":"a","lineItems":[{"itemCount":1},{"itemCount":"canary"}]}"#,
                "/lineItems/1/itemCount",
                "expected u32",
            ),
            (r#"{"fullName":"a","lineItems":[{"itemCount":-1}]}"#, "/lineItems/0/itemCount", "expected u32"),
            (r#"{"fullName":"a","lineItems":[{}]}"#, "/lineItems/0/itemCount", "is missing"),
            (
                r#"{"fullName":"a","lineItems":[{"itemCount":1,"canary":1}]}"#,
                "/lineItems/0/canary",
                "is not a known field",
            ),
            (r#"{"fullName":"a","kind":"canary"}"#, "/kind", "expected `small` or `large`"),
            (r#"{"fullName":"a","kind":["canary"]}"#, "/kind", "is not a value of this field"),
            (r#"{"fullName":"a","kind":1}"#, "/kind", "is not a value of this field"),
            (r#"{"fullName":"a","kind":{"canary":1}}"#, "/kind", "expected `small` or `large`"),
            (r#"{"fullName":"a","kind":"x, expected canary"}"#, "/kind", "expected `small` or `large`"),
            (r#"{"fullName":"a","kind":"must canary at line 1"}"#, "/kind", "expected `small` or `large`"),
            (r#"{"fullName":"a","lineItems":"`, expected canary"}"#, "/lineItems", "expected a sequence"),
            (r#"{"fullName":"a","lineItems":"canary"}"#, "/lineItems", "expected a sequence"),
            (r#"[{"fullName":"a"}]"#, "", "expected an object"),
            (r#"["canary",[],null]"#, "", "expected an object"),
            (r#""canary""#, "", "expected an object"),
            ("null", "", "expected an object"),
        ] {
            let (status, faults) = read(body.as_bytes());
            assert_eq!((status, faults.len()), (422, 1), "{body}: {faults:?}");
            assert_eq!(faults[0].0, pointer, "{body}: {faults:?}");
            assert!(faults[0].1.starts_with(detail) && !faults[0].1.contains("canary"), "{body}: {faults:?}");
        }
    }

    #[test]
    fn all_bounds_are_told_at_once() {
        let body = r#"{"fullName":"","lineItems":[{"itemCount":1},{"itemCount":10}]}"#;
        let (status, mut faults) = read(body.as_bytes());
        faults.sort();
        let pointers: Vec<&str> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!((status, pointers), (422, vec!["/fullName", "/lineItems/1/itemCount"]));
    }

    #[test]
    fn what_is_no_json_is_400_whatever_else_is_wrong_with_it() {
        for body in [
            "", " ", "{", r#"{"fullName":"a"} x"#, r#"{"fullName":NaN}"#, r#"{"fullName":1e999}"#, "[1",
            "nul", r#"{"unknown":1,"#, r#"{"fullName":"\ud800"}"#, "{\"fullName\":\"\n\"}",
            r#"{"fullName":"a",}"#,
        ] {
            assert_eq!(read(body.as_bytes()).0, 400, "{body}");
        }
        assert_eq!(read(b"{\"fullName\":\"\xff\"}").0, 400);
        assert_eq!(read("[".repeat(100_000).as_bytes()).0, 400);
        assert_eq!(read(b" {\"fullName\":\"a\"} ").0, 200);
    }

    async fn media(kind: Option<&str>, encoding: Option<&str>) -> u16 {
        let mut request = Request::new(Body::from(r#"{"fullName":"a"}"#));
        for (name, value) in [(header::CONTENT_TYPE, kind), (header::CONTENT_ENCODING, encoding)] {
            request.headers_mut().extend(value.map(|value| (name, value.parse().unwrap())));
        }
        let read = Valid::<Json<Order>>::from_request(request, &()).await;
        read.map_or_else(|problem| problem.status().as_u16(), |_| 200)
    }

    #[tokio::test]
    async fn a_body_is_json_only_if_it_says_so() {
        for kind in [
            "application/json", "Application/JSON; charset=utf-8", "application/json ; charset=utf-8",
            "application/merge-patch+json",
        ] {
            assert_eq!(media(Some(kind), None).await, 200, "{kind}");
        }
        for kind in
            [None, Some("text/json"), Some("application/jsonp"), Some("application/x-www-form-urlencoded")]
        {
            assert_eq!(media(kind, None).await, 415, "{kind:?}");
        }
        assert_eq!(media(Some("application/json"), Some("gzip")).await, 415);
    }

    proptest! {
        #[test]
        fn no_body_panics_or_is_our_own_failure(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            text in r#"\{("fullName"|"kind"|"lineItems"|"x"):("[a-z]{0,9}"|[0-9]{1,3}|null|\[\]|\{"itemCount":1\})\}?"#,
        ) {
            for body in [bytes, text.into_bytes()] {
                prop_assert!(read(&body).0 < 500);
            }
        }
    }
}
