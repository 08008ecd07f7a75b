//! CORS (<https://fetch.spec.whatwg.org/#http-cors-protocol>): which pages of other origins may call and read
//! the answers. A browser enforces it; nobody is refused here. Credentials that a browser adds by itself
//! (cookies) are not a thing of this API, so they are never allowed.

use crate::platform::config::Parse;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::Url;

/// What a page may send besides what every page may.
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-none-match, traceparent, tracestate",
);
/// What a page may read besides what every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "allow, etag, idempotency-replayed, location, ratelimit, ratelimit-policy, retry-after, traceparent, \
     www-authenticate, x-ratelimit-limit, x-ratelimit-remaining",
);
/// Seconds that a browser remembers it; Chromium takes no more than these.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// An origin as browsers write it (`https://app.example.org`), or `*` for every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Parse for Origin {
    fn parse(text: &str) -> Result<Self, String> {
        let serialized = |url: Url| url.origin().ascii_serialization() == text;
        // A star within a name would match nothing: browsers name whole origins.
        let whole = || !text.contains('*') && Url::parse(text).is_ok_and(serialized);
        let fine = text == "*" || whole();
        let value = HeaderValue::from_str(text).ok().filter(|_| fine && text != "null");
        value.map(Self).ok_or_else(|| {
            "must be * or an origin as browsers write it, https://app.example.org or http://localhost:3000"
                .to_owned()
        })
    }
}

/// Whose pages may call.
#[derive(Clone, Debug)]
pub(super) enum Cors {
    /// Nobody's: nothing is said about it.
    Off,
    /// Everybody's.
    Any,
    Listed(Vec<Origin>),
}

/// What an answer says of it; asked before the request is given on.
#[derive(Debug)]
pub(super) enum Told {
    Nothing,
    /// To this origin, or any.
    Allowed {
        origin: HeaderValue,
        vary: bool,
    },
    /// It depends on the origin, and this one is not allowed, or there was none.
    Vary,
}

impl Cors {
    pub fn new(origins: &[Origin]) -> Self {
        match origins {
            [] => Self::Off,
            origins if origins.iter().any(|origin| origin.0 == ANY) => Self::Any,
            origins => Self::Listed(origins.to_vec()),
        }
    }

    /// What the answer to this request is to say.
    pub fn ask(&self, request: &HeaderMap) -> Told {
        let listed = match self {
            Self::Off => return Told::Nothing,
            Self::Any => return Told::Allowed { origin: ANY, vary: false },
            Self::Listed(listed) => listed,
        };
        let origin = request.get(header::ORIGIN);
        let allowed = listed.iter().find(|listed| Some(&listed.0) == origin);
        allowed.map_or(Told::Vary, |Origin(origin)| Told::Allowed { origin: origin.clone(), vary: true })
    }
}

impl Told {
    /// Says it, on whatever is answered: a page is to be able to read errors too. `preflight` are the
    /// methods of the route, where the answer is one to an OPTIONS.
    pub fn tell(self, preflight: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let vary = match self {
            Self::Nothing => return,
            Self::Vary => true,
            Self::Allowed { origin, vary } => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                let said: &[(HeaderName, &HeaderValue)] = match preflight {
                    None => &[(header::ACCESS_CONTROL_EXPOSE_HEADERS, &EXPOSED)],
                    Some(methods) => &[
                        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
                        (header::ACCESS_CONTROL_ALLOW_HEADERS, &ALLOWED),
                        (header::ACCESS_CONTROL_MAX_AGE, &REMEMBERED),
                    ],
                };
                headers.extend(said.iter().map(|(name, value)| (name.clone(), (*value).clone())));
                vary
            }
        };
        if vary {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(origins: &[&str], origin: Option<&str>) -> HeaderMap {
        let origins: Vec<Origin> = origins.iter().map(|text| Origin::parse(text).unwrap()).collect();
        let mut request = HeaderMap::new();
        request.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_str(origin).unwrap())));
        let mut answer = HeaderMap::new();
        Cors::new(&origins).ask(&request).tell(None, &mut answer);
        answer
    }

    #[test]
    fn nothing_is_said_unless_it_is_configured() {
        assert!(told(&[], Some("https://a.example")).is_empty());
    }

    #[test]
    fn a_listed_origin_is_named_and_no_other_one() {
        let listed = ["https://a.example", "http://localhost:3000"];
        for origin in listed {
            let told = told(&listed, Some(origin));
            assert_eq!(told[header::ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert_eq!(told[header::VARY], "origin");
            assert!(!told.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        }
        for origin in [None, Some("https://a.example.evil"), Some("http://a.example"), Some("null")] {
            let told = told(&listed, origin);
            assert_eq!((told.len(), &told[header::VARY]), (1, &HeaderValue::from_static("origin")));
        }
    }

    #[test]
    fn any_origin_is_any_and_never_with_credentials() {
        let told = told(&["https://a.example", "*"], Some("https://b.example"));
        assert_eq!(told[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!told.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert!(!told.contains_key(header::VARY));
    }

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for good in ["*", "https://a.example", "http://127.0.0.1:8080", "http://[::1]:3000"] {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "null",
            "a.example",
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "https://*.a.example",
            "https://u@a.example",
            "file:///a",
            "https://a.example\r\nx: y",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}", near in "https?://[a-z0-9.:\\[\\]*@/]{0,20}") {
            let _ = (Origin::parse(&text), Origin::parse(&near));
        }
    }
}
