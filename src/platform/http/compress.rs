//! Compression: whether a caller takes gzip, and gzip itself where it pays. Which answers are compressed is
//! said where they are made: pages by [`super::StaticPage`], lists by [`super::Routes::compressed`].
//!
//! Compressing what holds both a secret and an attacker's text tells the secret by its length (BREACH). No
//! answer that is compressed here holds a secret, and keys come in a header that no browser adds by itself.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::io::Write;

/// Smaller bodies fit into a packet as they are.
const SMALLEST: usize = 1024;

/// Whether a caller takes gzip, and no less willingly than the plain bytes (RFC 9110, section 12.5.3).
pub(in crate::platform) fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut plain) = (None, None, None);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let (coding, parameter) = item.split_once(';').unwrap_or((item, ""));
            let place = match coding.trim() {
                "*" => &mut any,
                coding if coding.eq_ignore_ascii_case("gzip") => &mut gzip,
                coding if coding.eq_ignore_ascii_case("identity") => &mut plain,
                _ => continue,
            };
            *place = Some(weight(parameter.trim()));
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= plain.unwrap_or(0)
}

/// A quality value in thousandths: 1000 where there is none, 0 where it is nonsense.
pub(in crate::platform) fn weight(parameter: &str) -> u16 {
    const PLACES: [u16; 3] = [100, 10, 1];
    if parameter.is_empty() {
        return 1000;
    }
    let value =
        parameter.strip_prefix(['q', 'Q']).and_then(|rest| rest.strip_prefix('=')).unwrap_or_default();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > PLACES.len() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let digits = fraction.bytes().map(|byte| u16::from(byte - b'0'));
    let thousandths = digits.zip(PLACES).map(|(digit, place)| digit * place).sum();
    match whole {
        "0" => thousandths,
        "1" if thousandths == 0 => 1000,
        _ => 0,
    }
}

/// The bytes as gzip (RFC 1952); `None` where that saves less than a tenth.
pub(super) fn gzip(bytes: &[u8], level: Compression) -> Option<Bytes> {
    if bytes.len() < SMALLEST {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    // Writing to memory does not fail.
    encoder.write_all(bytes).ok()?;
    let small = encoder.finish().ok()?;
    (small.len() < bytes.len() / 10 * 9).then(|| small.into())
}

/// The answer to a request that takes gzip or does not. At the lowest level: the higher ones take
/// several times as long, for a tenth fewer bytes.
pub(in crate::platform) fn compressed(takes_gzip: bool, text: Bytes) -> Response {
    let small = Some(&text).filter(|_| takes_gzip).and_then(|text| gzip(text, Compression::fast()));
    encoded(text, small)
}

/// An answer that could have been gzip, and is where there is any.
pub(super) fn encoded(plain: Bytes, gzip: Option<Bytes>) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *response.body_mut() = gzip.unwrap_or(plain).into();
    response
}

/// Compresses what a handler answered.
pub(super) async fn compress(takes_gzip: bool, response: Response) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A handler's body is whole already: reading it waits for nothing and cannot fail.
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let (made, body) = compressed(takes_gzip, body).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(made.headers);
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read;

    fn takes(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        takes_gzip(&headers)
    }

    #[test]
    fn gzip_is_sent_to_those_alone_who_take_it() {
        for yes in [
            "gzip",
            "deflate, GZIP",
            "br;q=1.0, gzip;q=0.8, *;q=0.1",
            "*",
            "gzip;q=0.001",
            "identity;q=0.5, gzip ; q=0.5",
            "identity;q=0, *",
        ] {
            assert!(takes(&[yes]), "{yes}");
        }
        for no in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip;q=0.000, *",
            "gzip;q=0.4, identity;q=0.5",
            "gzip;q=2",
            "gzip;q=1.1",
            "gzip;q=0.1234",
            "gzip;level=9",
            "gzipped",
        ] {
            assert!(!takes(&[no]), "{no}");
        }
        assert!(takes(&["br", "gzip"]) && !takes(&[]));
    }

    #[test]
    fn gzip_is_made_only_where_it_pays() {
        assert_eq!(gzip(&[b'a'; SMALLEST - 1], Compression::fast()), None);
        let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let noise: Vec<u8> =
            noise.iter().zip(noise.iter().rev()).map(|(a, b)| a ^ b.rotate_left(3)).collect();
        let paid = gzip(&noise, Compression::fast()).is_none_or(|small| small.len() < noise.len());
        assert!(paid);
        assert!(gzip(&[b'a'; SMALLEST], Compression::fast()).unwrap().len() < 100);
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]{0,60}", near in "(gzip|\\*|identity)(;q=[0-9.]{0,6})?(, ?(gzip|br);Q=[01]\\.?[0-9]{0,4})?") {
            takes(&[&text, &near]);
        }

        #[test]
        fn what_is_compressed_is_the_same_again(text in "[ab]{1024,3000}") {
            let small = gzip(text.as_bytes(), Compression::fast()).unwrap();
            let mut again = String::new();
            GzDecoder::new(&*small).read_to_string(&mut again).unwrap();
            prop_assert_eq!(again, text);
        }
    }
}
