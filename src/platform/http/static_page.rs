//! A page that is the same for everybody for as long as the service runs: made once, compressed once, and
//! not sent again to who has it. What stands on it is its maker's.

use super::compress;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::Arc};

/// Caches may keep a page for five minutes: that is how late a new version of the service may show.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// A page, served by [`super::Routes::page`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StaticPage(Arc<Page>);

#[derive(Debug)]
struct Page {
    plain: Variant,
    gzip: Option<Variant>,
    headers: HeaderMap,
}

/// One representation; each has an `ETag` of its own, since a strong one stands for exact bytes.
#[derive(Debug)]
struct Variant {
    body: Bytes,
    etag: HeaderValue,
}

impl StaticPage {
    /// A page of this content type, as `text/html; charset=utf-8`.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::with(content_type, body, &[])
    }

    /// The same with further headers, as a content security policy.
    pub fn with(
        content_type: &'static str,
        body: impl Into<Bytes>,
        more: &[(HeaderName, &'static str)],
    ) -> Self {
        let body = body.into();
        let hash = hash(&body);
        let small = compress::gzip(&body, Compression::best());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, CACHED);
        for (name, value) in more {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Self(Arc::new(Page {
            plain: Variant { body, etag: etag(&hash, "") },
            gzip: small.map(|body| Variant { body, etag: etag(&hash, "-gzip") }),
            headers,
        }))
    }

    /// 200 with the page, or 304 where `If-None-Match` names it. HEAD is answered as GET: the stack
    /// leaves the body out.
    pub fn answer(&self, request: &HeaderMap) -> Response {
        let page = &*self.0;
        let small = page.gzip.as_ref().filter(|_| compress::takes_gzip(request));
        let variant = small.unwrap_or(&page.plain);
        let mut response =
            compress::encoded(page.plain.body.clone(), small.map(|variant| variant.body.clone()));
        response.headers_mut().extend(page.headers.clone());
        response.headers_mut().insert(header::ETAG, variant.etag.clone());
        if has(request, &variant.etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = axum::body::Body::empty();
            response.headers_mut().remove(header::CONTENT_TYPE);
            response.headers_mut().remove(header::CONTENT_ENCODING);
        }
        response
    }
}

/// Whether the caller has it (RFC 9110, section 13.1.2: a list, compared weakly, or `*`).
fn has(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter();
    // Our own have no comma, so that splitting a foreign one in two finds nothing that is not there.
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(|named| {
        let named = named.trim_ascii();
        named == b"*" || named.strip_prefix(b"W/").unwrap_or(named) == etag.as_bytes()
    })
}

/// Half of the SHA-256, in hex: it tells versions of one page apart.
fn hash(body: &[u8]) -> String {
    let mut hex = String::with_capacity(32);
    for byte in Sha256::digest(body).iter().take(16) {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn etag(hash: &str, suffix: &str) -> HeaderValue {
    // Hex digits are visible ASCII.
    HeaderValue::from_str(&format!("\"{hash}{suffix}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn answer(page: &StaticPage, headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Bytes) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let (parts, body) = page.answer(&headers).into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn who_has_the_page_is_not_sent_it_again() {
        let page = StaticPage::new("text/plain", "a line\n".repeat(1000));
        for encoding in ["gzip", "identity"] {
            let takes = (header::ACCEPT_ENCODING, encoding);
            let (status, headers, body) = answer(&page, std::slice::from_ref(&takes)).await;
            assert_eq!((status, body.len() < 1000), (StatusCode::OK, encoding == "gzip"));
            assert_eq!(headers.contains_key(header::CONTENT_ENCODING), encoding == "gzip");
            assert_eq!(headers[header::VARY], "accept-encoding");
            let etag = headers[header::ETAG].to_str().unwrap();
            for named in [etag.to_owned(), format!("\"x,y\", W/{etag}"), "*".to_owned()] {
                let (status, headers, body) =
                    answer(&page, &[takes.clone(), (header::IF_NONE_MATCH, &named)]).await;
                assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{named}");
                assert_eq!(headers[header::ETAG], etag);
                assert!(headers.contains_key(header::CACHE_CONTROL) && headers.contains_key(header::VARY));
            }
            let other = answer(&page, &[takes.clone(), (header::IF_NONE_MATCH, "\"other\"")]).await;
            assert_eq!(other.0, StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn each_representation_and_each_version_has_an_etag_of_its_own() {
        let gzip = [(header::ACCEPT_ENCODING, "gzip")];
        let pages = [StaticPage::new("a/b", "x".repeat(2000)), StaticPage::new("a/b", "y".repeat(2000))];
        let mut etags = Vec::new();
        for page in &pages {
            etags.push(answer(page, &gzip).await.1[header::ETAG].clone());
            etags.push(answer(page, &[]).await.1[header::ETAG].clone());
        }
        for (at, etag) in etags.iter().enumerate() {
            assert_eq!(etags.iter().position(|other| other == etag), Some(at));
        }
    }

    #[tokio::test]
    async fn a_small_page_is_sent_as_it_is() {
        let page =
            StaticPage::with("a/b", "small", &[(header::CONTENT_SECURITY_POLICY, "default-src 'none'")]);
        let (_, headers, body) = answer(&page, &[(header::ACCEPT_ENCODING, "gzip")]).await;
        assert_eq!((body, headers.get(header::CONTENT_ENCODING)), (Bytes::from("small"), None));
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'none'");
    }
}
