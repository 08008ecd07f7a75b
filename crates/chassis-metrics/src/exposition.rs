//! Which form of the metrics a scraper wants.

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
    /// OpenMetrics for those who name it, as every Prometheus since 2.5 does; others get the plain text.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let named = |range: &str| range.contains("application/openmetrics-text") && !range.ends_with("q=0");
        let open = accepted.flat_map(|text| text.split(',')).any(named);
        if open { Self::OpenMetrics } else { Self::Text }
    }

    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "application/openmetrics-text; version=\"1.0.0\"; charset=utf-8",
            "text/plain, application/openmetrics-text",
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
            "application/openmetrics-text; q=0, */*",
            "application/openmetrics-text;version=1.0.0;q=0",
            "application/json",
            "openmetrics",
        ] {
            assert_eq!(wanted_by(&[accept]), Exposition::Text, "{accept}");
        }
        assert_eq!(Exposition::accepted(&HeaderMap::new()), Exposition::Text);
    }
}
