//! What comes to this port without being gRPC, and the answer to it in the terms of HTTP.

use super::observe::Observed;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use tonic::Code;

const TYPE: &[u8] = b"application/grpc";
const WHY: &str = "This port speaks gRPC over HTTP/2 alone.\n";

/// The answer to what is no call: another protocol, method or content type.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response> {
    if request.version() != Version::HTTP_2 {
        return Some((StatusCode::HTTP_VERSION_NOT_SUPPORTED, WHY).into_response());
    }
    if request.method() != Method::POST {
        let mut response = (StatusCode::METHOD_NOT_ALLOWED, WHY).into_response();
        if request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_grpc = content_type
        .and_then(|value| value.strip_prefix(TYPE))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    (!is_grpc).then(|| (StatusCode::UNSUPPORTED_MEDIA_TYPE, WHY).into_response())
}

/// Sends the refusal. It counts as what a gRPC caller makes of such a status
/// (<https://grpc.github.io/grpc/core/md_doc_http-grpc-status-mapping.html>).
pub(super) fn send(mut observed: Observed, mut refusal: Response) -> Response {
    observed.head(&mut refusal);
    observed.tell(Code::Unknown);
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(version: Version, method: Method, content_type: &str) -> Option<StatusCode> {
        let mut request = Request::new(());
        *request.version_mut() = version;
        *request.method_mut() = method;
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        refusal(&request).map(|response| response.status())
    }

    #[test]
    fn what_is_grpc_passes_with_every_encoding() {
        for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
            assert_eq!(refused(Version::HTTP_2, Method::POST, content_type), None);
        }
    }

    #[test]
    fn what_is_not_is_refused_as_http_would() {
        let grpc = "application/grpc";
        assert_eq!(
            refused(Version::HTTP_11, Method::POST, grpc),
            Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED)
        );
        assert_eq!(refused(Version::HTTP_2, Method::GET, grpc), Some(StatusCode::METHOD_NOT_ALLOWED));
        for other in ["application/json", "application/grpc-web", ""] {
            assert_eq!(
                refused(Version::HTTP_2, Method::POST, other),
                Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            );
        }
    }
}
