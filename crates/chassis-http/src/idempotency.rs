//! Idempotency keys: what makes two requests the same one.

use crate::{Caller, Problem, valid::whole_body};
use axum::body::Body;
use axum::extract::{FromRequest, MatchedPath, Request};
use http::HeaderMap;
use sha2::{Digest, Sha256};

/// An idempotency key as it is stored: no part of it can be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// SHA-256 of client, method, route and key: requests that claim to be the same have the same.
    pub scope: [u8; 32],
    /// SHA-256 of what was asked, path and body: requests that are the same have the same.
    pub digest: [u8; 32],
}

/// Reads `Idempotency-Key` (1 to 255 visible ASCII characters, at most once; 400 otherwise) and the whole body, then
/// extracts `B` from the same bytes: `Idempotent<Valid<Json<T>>>`, or `Idempotent<Result<Valid<Json<T>>, Problem>>` where
/// the handler looks for the first answer to a body that is refused by now.
#[derive(Clone, Debug)]
pub struct Idempotent<B> {
    /// `None` if the caller sent no key.
    pub key: Option<RequestKey>,
    pub body: B,
}

impl RequestKey {
    /// Reads the key from the headers of any protocol. `route` is the template or method that was called, `asked` what
    /// has to be the same in a repetition.
    ///
    /// # Errors
    /// The key is not of its form.
    pub fn read(
        headers: &HeaderMap,
        caller: &Caller,
        method: &str,
        route: &str,
        asked: &[&[u8]],
    ) -> Result<Option<Self>, Problem> {
        let Some(key) = header(headers)? else { return Ok(None) };
        let client = caller.client.to_string();
        let scope = hash(&[client.as_bytes(), method.as_bytes(), route.as_bytes(), key]);
        Ok(Some(Self { scope, digest: hash(asked) }))
    }
}

fn header(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let wrong = |rule: &str| Problem::bad_request(format!("Idempotency-Key {rule}."));
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong("must be given once at most"));
    }
    let key = value.as_bytes();
    let good = (1..=255).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    if good { Ok(Some(key)) } else { Err(wrong("must be 1 to 255 visible ASCII characters")) }
}

/// Each part with its length before it, so that no two lists of parts are hashed the same.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl<S: Send + Sync, B: FromRequest<S, Rejection: Into<Problem>>> FromRequest<S> for Idempotent<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, bytes) = whole_body(request).await?;
        let caller = Caller::of(&parts.extensions)?;
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let asked: [&[u8]; 2] = [parts.uri.path().as_bytes(), &bytes];
        let key = RequestKey::read(&parts.headers, caller, parts.method.as_str(), route, &asked)?;
        let request = Request::from_parts(parts, Body::from(bytes));
        let body = B::from_request(request, state).await.map_err(Into::into)?;
        Ok(Self { key, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(values: &[&[u8]], asked: &[u8]) -> Result<Option<RequestKey>, u16> {
        let values = values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok());
        let name = http::HeaderName::from_static("idempotency-key");
        let headers: HeaderMap = values.map(|value| (name.clone(), value)).collect();
        let caller = Caller::open([127, 0, 0, 1].into());
        let key = RequestKey::read(&headers, &caller, "POST", "/things", &[b"/things", asked]);
        key.map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_and_there_once() {
        assert_eq!(read(&[], b""), Ok(None));
        assert!(read(&[&[b'k'; 255]], b"").unwrap().is_some());
        for bad in [&b""[..], &[b'k'; 256], b"two words", b"tab\there", "ключ".as_bytes()] {
            assert_eq!(read(&[bad], b""), Err(400), "{bad:?}");
        }
        assert_eq!(read(&[b"a", b"a"], b""), Err(400));
    }

    #[test]
    fn the_scope_is_the_key_s_and_the_digest_the_body_s() {
        let [one, same, other_body, other_key] = [(b"a", b"x"), (b"a", b"x"), (b"a", b"y"), (b"b", b"x")]
            .map(|(key, body)| read(&[key], body).unwrap().unwrap());
        assert_eq!(one, same);
        assert_eq!((one.scope == other_body.scope, one.digest == other_body.digest), (true, false));
        assert_eq!((one.scope == other_key.scope, one.digest == other_key.digest), (false, true));
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }
}
