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
        let wanted = weight(headers, "application/openmetrics-text", "1.0.0");
        if wanted > 0.0 && wanted >= weight(headers, "text/plain", "0.0.4") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// How much the scraper wants a form that it names: 0 to 1, and 0 for one that it does not name.
fn weight(headers: &HeaderMap, form: &str, version: &str) -> f64 {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|value| value.split(','));
    let weights = ranges.map(|range| {
        let range = range.to_ascii_lowercase();
        let (name, parameters) = range.split_once(';').unwrap_or((&range, ""));
        let parameter = |name: &str| {
            parameters.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let named = name.trim() == form
            && parameter("version").is_none_or(|other| other.trim_matches('"') == version);
        if named { parameter("q").map_or(1.0, |q| q.parse().unwrap_or(0.0)) } else { 0.0 }
    });
    weights.fold(0.0, f64::max)
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
