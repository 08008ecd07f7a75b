//! The forms of telemetry's settings, each read from its text.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tracing_subscriber::EnvFilter;

use crate::platform::config::Parse;

/// A log filter in the form of `RUST_LOG`, known to be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives(String);

impl Directives {
    /// The filter. Values of fields are compared and never matched as patterns, since `PUT /log-filter`
    /// brings them from outside.
    pub(super) fn filter(&self) -> Result<EnvFilter, String> {
        EnvFilter::builder()
            .with_regex(false)
            .parse(&self.0)
            .map_err(|error| format!("must be a log filter, as `info` or `info,hyper=warn`: {error}"))
    }

    /// Whether a directive names spans, as `[call{user.name=a}]=debug`.
    pub(super) fn name_spans(&self) -> bool {
        self.0.contains('[')
    }
}

impl Parse for Directives {
    fn parse(text: &str) -> Result<Self, String> {
        // Trimmed one by one: tracing-subscriber 0.3.23 takes the places of letters in the trimmed directive for
        // places in the untrimmed one, and panics where that is inside a letter.
        let directives = Self(text.split(',').map(str::trim).collect::<Vec<_>>().join(","));
        directives.filter().map(|_| directives)
    }
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Duration);

impl Parse for Millis {
    fn parse(text: &str) -> Result<Self, String> {
        let millis =
            text.trim().parse::<u32>().map_err(|_| "must be a whole number of milliseconds".to_owned())?;
        Ok(Self(Duration::from_millis(u64::from(millis))))
    }
}

/// A count of at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub usize);

impl Parse for Number {
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.trim().parse::<u32>().ok().filter(|&number| number > 0);
        number.map(|number| Self(number as usize)).ok_or_else(|| "must be a whole number above 0".to_owned())
    }
}

/// 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction(pub f64);

impl Parse for Fraction {
    fn parse(text: &str) -> Result<Self, String> {
        let fraction = text.trim().parse().ok().filter(|fraction| (0.0..=1.0).contains(fraction));
        fraction.map(Self).ok_or_else(|| "must be a number from 0 to 1".to_owned())
    }
}

/// A sampler of OpenTelemetry's specification that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerName {
    AlwaysOn { parent_based: bool },
    AlwaysOff { parent_based: bool },
    TraceIdRatio { parent_based: bool },
}

impl Parse for SamplerName {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let name = text.strip_prefix("parentbased_");
        let parent_based = name.is_some();
        match name.unwrap_or(text) {
            "always_on" => Ok(Self::AlwaysOn { parent_based }),
            "always_off" => Ok(Self::AlwaysOff { parent_based }),
            "traceidratio" => Ok(Self::TraceIdRatio { parent_based }),
            _ => Err("must be `always_on`, `always_off` or `traceidratio`, each also after `parentbased_`"
                .to_owned()),
        }
    }
}

/// What spans are exported by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracesExporter {
    Otlp,
    None,
}

impl Parse for TracesExporter {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "otlp" => Ok(Self::Otlp),
            "none" => Ok(Self::None),
            _ => Err("must be `otlp` or `none`".to_owned()),
        }
    }
}

/// OTLP's transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    HttpProtobuf,
}

impl Parse for Protocol {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::HttpProtobuf),
            _ => Err("must be `grpc` or `http/protobuf`".to_owned()),
        }
    }
}

/// An address with scheme and host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(pub String);

impl Parse for Url {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let uri: Option<Uri> = text.parse().ok();
        let valid = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        };
        // The address may hold a password, so it is not repeated.
        uri.filter(valid)
            .map(|_| Self(text.to_owned()))
            .ok_or_else(|| "must be an address with its scheme, as `http://localhost:4317`".to_owned())
    }
}

/// Headers that may hold credentials: never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    pub(super) fn to_map(&self) -> HeaderMap {
        self.0.iter().cloned().collect()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Parse for Headers {
    fn is_secret(_: &str) -> bool {
        true
    }

    fn parse(text: &str) -> Result<Self, String> {
        let header = |(name, value): (String, String)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        let headers: Option<Vec<_>> = pairs(text)?.into_iter().map(header).collect();
        headers.map(Self).ok_or_else(|| "must hold names and values that headers can have".to_owned())
    }
}

/// Attributes of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub Vec<(String, String)>);

impl Parse for Attributes {
    fn parse(text: &str) -> Result<Self, String> {
        pairs(text).map(Self)
    }
}

/// W3C baggage's form: `key=value` joined by commas, values percent-encoded. What is wrong is not
/// repeated, since it may be a secret.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let key = key.trim();
        if key.is_empty() { None } else { Some((key.to_owned(), decode(value.trim())?)) }
    };
    parts
        .map(pair)
        .collect::<Option<_>>()
        .ok_or_else(|| "must have the form `key=value,key=value`".to_owned())
}

/// Percent-decoding; `None` for a broken escape or for bytes that are not UTF-8.
fn decode(text: &str) -> Option<String> {
    let (mut bytes, mut out) = (text.bytes(), Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            (digit(bytes.next()?)? << 4 | digit(bytes.next()?)?) as u8
        } else {
            byte
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(Directives::parse("a=b=c").is_err());
        assert!(Url::parse("localhost:4317").is_err());
        assert!(Url::parse("ftp://localhost").is_err());
        assert!(Millis::parse("1s").is_err());
        assert!(Number::parse("0").is_err());
        assert!(Fraction::parse("1.5").is_err());
        assert!(Fraction::parse("NaN").is_err());
        assert!(SamplerName::parse("parentbased_jaeger_remote").is_err());
        assert!(Headers::parse("no pair").is_err());
        assert!(Headers::parse("a=%zz").is_err());
    }

    #[test]
    fn headers_are_read_but_never_shown() {
        let headers = Headers::parse("authorization=Bearer%20secret, x-tenant=a").unwrap();
        assert_eq!(headers.to_map()["authorization"], "Bearer secret");
        assert_eq!(format!("{headers:?}"), "[\"authorization\", \"x-tenant\"]");
    }

    #[test]
    fn space_around_a_directive_means_nothing() {
        assert_eq!(Directives::parse(" info , hyper=warn"), Directives::parse("info,hyper=warn"));
        // The second letter has two bytes, and the space before it moves its place by one.
        assert!(Directives::parse("a, b\u{ff}[::1]=c").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (Directives::parse(&text), Url::parse(&text), Headers::parse(&text), Attributes::parse(&text));
        }

        #[test]
        fn pairs_are_read_back(pairs in proptest::collection::vec(("[a-z.]{1,9}", any::<String>()), 0..4)) {
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
            let text = pairs.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect::<Vec<_>>().join(",");
            prop_assert_eq!(Attributes::parse(&text), Ok(Attributes(pairs)));
        }
    }
}
