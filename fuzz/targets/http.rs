//! Bodies and headers as the platform reads them, whatever the route.

use super::first_line;
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts},
};
use epro_notify::platform::{
    http::{IdempotencyHeader, JsonBody, Problem, StaticPage},
    telemetry::TraceContext,
};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use std::sync::OnceLock;

/// A body is JSON with fields, or the caller's fault.
pub fn json_body(bytes: &[u8]) {
    let read = body("application/json".parse().unwrap(), bytes).and_then(|body| {
        let mut fields = body.fields()?;
        let name = fields.required::<String>("name");
        fields.optional::<i64>("count");
        fields.optional::<Vec<String>>("tags");
        fields.object("inner", |inner| inner.required::<bool>("on"));
        fields.objects("list", 3, |item| item.required::<String>("token"));
        fields.finish_with((name,))
    });
    match read {
        Ok(_) => assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok()),
        Err(problem) => assert!(matches!(problem.status().as_u16(), 400 | 422), "{problem:?}"),
    }
}

/// A content type is JSON's, or 415.
pub fn content_type(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    match body(value.clone(), b"{}") {
        Ok(_) => assert!(value.to_str().unwrap().to_ascii_lowercase().contains("json")),
        Err(problem) => assert_eq!(problem.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

fn body(content_type: HeaderValue, bytes: &[u8]) -> Result<JsonBody, Problem> {
    let mut request = Request::new(Body::from(bytes.to_vec()));
    request.headers_mut().insert(header::CONTENT_TYPE, content_type);
    JsonBody::from_request(request, &()).now_or_never().expect("the whole body is there")
}

/// A key is 1 to 255 visible characters, or 400.
pub fn idempotency_key(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let request = Request::builder().header("idempotency-key", value).body(()).unwrap();
    let mut parts = request.into_parts().0;
    match IdempotencyHeader::from_request_parts(&mut parts, &()).now_or_never().expect("it waits for nothing")
    {
        Ok(IdempotencyHeader(key)) => {
            let key = key.expect("one was sent");
            assert!((1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        Err(problem) => assert_eq!(problem.status(), StatusCode::BAD_REQUEST),
    }
}

/// A context that is read is written as one that is read the same.
pub fn traceparent(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(context) = TraceContext::parse(text) {
        assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
    }
    let _ = TraceContext::from_bytes(bytes);
}

/// `Accept-Encoding` and `If-None-Match`, a line each: the page, or that the caller has it.
pub fn page_headers(bytes: &[u8]) {
    static PAGE: OnceLock<StaticPage> = OnceLock::new();
    let page = PAGE.get_or_init(|| StaticPage::new("text/plain", "a line\n".repeat(1000)));
    let (encoding, etags) = first_line(bytes);
    let mut headers = HeaderMap::new();
    for (name, value) in [(header::ACCEPT_ENCODING, encoding), (header::IF_NONE_MATCH, etags)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let answer = page.answer(&headers);
    assert!(matches!(answer.status().as_u16(), 200 | 304));
    assert!(answer.headers().contains_key(header::ETAG) && answer.headers().contains_key(header::VARY));
}
