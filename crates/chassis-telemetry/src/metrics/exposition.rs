//! Which form of the metrics a scraper wants (RFC 9110, section 12.5.1).

use http::{HeaderMap, HeaderValue, header};

/// The form that the metrics are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4: it has no exemplars.
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

impl Exposition {
    /// The form that the scraper prefers. OpenMetrics is for those who name it: others get the plain text.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let (open_metrics, text) = (
            preference(headers, "application", "openmetrics-text", "1.0.0"),
            preference(headers, "text", "plain", "0.0.4"),
        );
        let weight = |found: Option<(Named, u16)>| found.map_or(0, |(_, weight)| weight);
        let named = open_metrics.is_some_and(|(named, _)| named == Named::Exactly);
        let preferred = weight(open_metrics) > weight(text) || named && weight(open_metrics) == weight(text);
        if preferred && weight(open_metrics) > 0 { Self::OpenMetrics } else { Self::Text }
    }

    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// How closely a media range names a form; of several the closest one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Anything,
    Kind,
    Exactly,
}

/// What the range that names a form most closely says of it, in thousandths.
fn preference(headers: &HeaderMap, kind: &str, subtype: &str, version: &str) -> Option<(Named, u16)> {
    let values = headers.get_all(header::ACCEPT).iter();
    let ranges = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    ranges.filter_map(|range| matched(range, kind, subtype, version)).max()
}

fn matched(range: &str, kind: &str, subtype: &str, version: &str) -> Option<(Named, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let named = match parts.next()?.split_once('/')? {
        ("*", "*") => Named::Anything,
        (named, "*") if named.eq_ignore_ascii_case(kind) => Named::Kind,
        (named, sub) if named.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => {
            Named::Exactly
        }
        _ => return None,
    };
    let mut weight = 1000;
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if name.eq_ignore_ascii_case("q") {
            weight = value
                .parse()
                .ok()
                .filter(|q| (0.0..=1.0).contains(q))
                .map_or(0, |q: f64| (q * 1000.0).round() as u16);
        } else if name.eq_ignore_ascii_case("version") && value.trim_matches('"') != version {
            return None;
        }
    }
    Some((named, weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted_by(values: &[&str]) -> Exposition {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Exposition::accepted(&headers)
    }

    #[test]
    fn prometheus_of_any_version_since_2_5_gets_open_metrics() {
        for accept in [
            // 2.42 and 3.x, as they send it.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            "text/plain, application/openmetrics-text",
            "text/plain;q=0, */*",
            "application/*;q=0.5, text/*;q=0.4",
            "text/plain;version=1.0.0, application/openmetrics-text;q=0.2",
        ] {
            assert_eq!(wanted_by(&[accept]), Exposition::OpenMetrics, "{accept}");
        }
        assert_eq!(wanted_by(&["text/plain;q=0.5", "application/openmetrics-text"]), Exposition::OpenMetrics);
    }

    #[test]
    fn everybody_else_gets_the_plain_text() {
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/plain;version=0.0.4;q=0.5, */*;q=0.1",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "application/openmetrics-text;q=0, */*",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.4, text/plain;q=0.5",
            "application/openmetrics-text;version=0.0.1, */*;q=0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=nonsense",
            "application/json",
            "openmetrics",
        ] {
            assert_eq!(wanted_by(&[accept]), Exposition::Text, "{accept}");
        }
        assert_eq!(Exposition::accepted(&HeaderMap::new()), Exposition::Text);
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]{0,60}", near in "(\\*/\\*|text/(\\*|plain)|application/openmetrics-text)(; ?(q|version)=[0-9.]{0,6}){0,3}") {
            wanted_by(&[&text, &near]);
        }
    }
}
