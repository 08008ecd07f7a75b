//! What every answer owes to browsers and proxies, whichever layer made it: that it is not kept, not guessed
//! at, readable by the pages that may, and without a body for HEAD. Compression is its own matter.

use super::{
    HttpConfig,
    cors::{Cors, Told},
};
use axum::{body::Body, response::Response};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;

/// Answers hold what is about somebody: neither a proxy nor a browser may keep one.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");
/// A body is what its content type says, whatever it looks like.
const NOT_GUESSED: HeaderValue = HeaderValue::from_static("nosniff");
/// A year (RFC 6797). A browser that came over TLS comes so again; other hosts of the domain are not ours
/// to speak for.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The manners of one listener.
pub(super) struct Manners {
    cors: Cors,
    tls: bool,
}

/// What of a request its answer depends on; asked before the request is given on.
pub(super) struct Owed {
    head: bool,
    cors: Told,
    preflight: Option<HeaderValue>,
}

impl Manners {
    pub fn new(config: &HttpConfig) -> Self {
        Self { cors: Cors::new(&config.cors_origins), tls: config.tls.is_some() }
    }

    /// `allow` are the methods of the route.
    pub fn owed<B>(&self, request: &Request<B>, allow: &HeaderValue) -> Owed {
        let preflight = (request.method() == Method::OPTIONS).then(|| allow.clone());
        Owed { head: request.method() == Method::HEAD, cors: self.cors.ask(request.headers()), preflight }
    }

    /// Gives an answer its manners. A page that may be kept has said so itself.
    pub fn keep(&self, owed: Owed, response: &mut Response) {
        let headers = response.headers_mut();
        headers.entry(header::CACHE_CONTROL).or_insert(NOT_KEPT);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOT_GUESSED);
        if self.tls {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, TLS_ONLY);
        }
        owed.cors.tell(owed.preflight.as_ref(), headers);
        if owed.head {
            leave_out_the_body(response);
        }
    }
}

/// HEAD is answered as GET, with the length of what is left out (RFC 9110, section 9.3.2).
fn leave_out_the_body(response: &mut Response) {
    let length = response.body().size_hint().exact();
    let without = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = length.filter(|_| !without) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}
