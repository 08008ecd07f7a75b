//! Which form of the metrics a scraper wants (RFC 9110, section 12.5.1). The forms themselves are made in
//! `telemetry`.

use crate::platform::{http::weight, telemetry::Exposition};
use http::{HeaderMap, HeaderValue, header};

/// A form as a media type.
struct Form {
    kind: &'static str,
    subtype: &'static str,
    version: &'static str,
}

const TEXT: Form = Form { kind: "text", subtype: "plain", version: "0.0.4" };
const OPEN_METRICS: Form = Form { kind: "application", subtype: "openmetrics-text", version: "1.0.0" };

/// How closely a media range names a form; of several the closest one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Anything,
    Kind,
    Exactly,
}

/// The form that the caller would rather have. OpenMetrics is for those who name it: whoever takes
/// anything gets the plain text, and so does who takes neither.
pub(super) fn wanted(headers: &HeaderMap) -> Exposition {
    let (open_metrics, text) = (preference(headers, &OPEN_METRICS), preference(headers, &TEXT));
    let weight = |found: Option<(Named, u16)>| found.map_or(0, |(_, weight)| weight);
    let named = open_metrics.is_some_and(|(named, _)| named == Named::Exactly);
    let preferred = weight(open_metrics) > weight(text) || named && weight(open_metrics) == weight(text);
    if preferred && weight(open_metrics) > 0 { Exposition::OpenMetrics } else { Exposition::Text }
}

pub(super) fn content_type(form: Exposition) -> HeaderValue {
    HeaderValue::from_static(match form {
        Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
        Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    })
}

/// What the range that names `form` most closely says of it, in thousandths.
fn preference(headers: &HeaderMap, form: &Form) -> Option<(Named, u16)> {
    let values = headers.get_all(header::ACCEPT).iter();
    let ranges = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    ranges.filter_map(|range| matched(range, form)).max()
}

fn matched(range: &str, form: &Form) -> Option<(Named, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let named = match (kind, subtype) {
        ("*", "*") => Named::Anything,
        (kind, "*") if kind.eq_ignore_ascii_case(form.kind) => Named::Kind,
        (kind, subtype)
            if kind.eq_ignore_ascii_case(form.kind) && subtype.eq_ignore_ascii_case(form.subtype) =>
        {
            Named::Exactly
        }
        _ => return None,
    };
    let mut preferred = 1000;
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if name.eq_ignore_ascii_case("q") {
            preferred = weight(part);
        } else if name.eq_ignore_ascii_case("version") && value.trim_matches('"') != form.version {
            return None;
        }
    }
    Some((named, preferred))
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
        wanted(&headers)
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
        assert_eq!(wanted(&HeaderMap::new()), Exposition::Text);
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]{0,60}", near in "(\\*/\\*|text/(\\*|plain)|application/openmetrics-text)(; ?(q|version)=[0-9.]{0,6}){0,3}") {
            wanted_by(&[&text, &near]);
        }
    }
}
