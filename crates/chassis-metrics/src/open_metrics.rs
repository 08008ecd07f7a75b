//! OpenMetrics 1.0 from the exporter's text, with exemplars
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! The exporter's families are whole and follow one another already. What differs: a counter's family is named without
//! `_total`, HELP escapes quotes, edges are written as `1.0`, empty lines are not allowed, and `# EOF` is last.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::exemplars::Exemplar;

/// Writes the exporter's text as OpenMetrics, with these exemplars by their bucket's series.
pub(super) fn from_text(text: &str, exemplars: &HashMap<String, Exemplar>) -> String {
    // Exemplars are the most that is added, and few lines have one.
    let mut page = String::with_capacity(text.len() + text.len() / 4);
    // HELP comes before TYPE, and only TYPE says what its family is called.
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_name, text)| text);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            family(&mut page, name, kind, help.take());
        } else if let Some((series, value)) = line.rsplit_once(' ') {
            sample(&mut page, series, value, exemplars.get(series));
        }
    }
    page + "# EOF\n"
}

/// A family's first lines. A counter without `_total` has no form in OpenMetrics: it keeps its name, and is
/// `unknown`.
fn family(page: &mut String, name: &str, kind: &str, help: Option<&str>) {
    let (family, kind) = match (kind, name.strip_suffix("_total")) {
        ("counter", Some(family)) => (family, kind),
        ("counter", None) => (name, "unknown"),
        _ => (name, kind),
    };
    page.extend(["# TYPE ", family, " ", kind, "\n"]);
    if let Some(text) = help {
        // The exporter has escaped all else.
        page.extend(["# HELP ", family, " ", &text.replace('"', "\\\""), "\n"]);
    }
}

fn sample(page: &mut String, series: &str, value: &str, exemplar: Option<&Exemplar>) {
    let edge =
        series.strip_suffix("\"}").and_then(|series| series.rsplit_once(['{', ','])?.1.strip_prefix("le=\""));
    // Whole numbers as Go writes them: Prometheus from 3.0 on has this form from either format.
    if edge.is_some_and(|edge| edge.bytes().all(|byte| byte.is_ascii_digit())) {
        page.extend([series.trim_end_matches("\"}"), ".0\"} ", value]);
    } else {
        page.extend([series, " ", value]);
    }
    if let Some(Exemplar { trace: (trace_id, span_id), value, at }) = exemplar {
        let (seconds, millis) = (at.as_secs(), at.subsec_millis());
        // Writing to a string does not fail.
        let _ = write!(
            page,
            " # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} {value} {seconds}.{millis:03}"
        );
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn exemplar(value: f64, at: u64) -> Exemplar {
        let trace = (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.into(), 0xb7ad_6b71_6920_3331_u64.into());
        Exemplar { trace, value, at: Duration::from_millis(at) }
    }

    #[test]
    fn each_family_gets_the_form_of_open_metrics() {
        let text = concat!(
            "# HELP seen_total What was \"seen\".\n# TYPE seen_total counter\nseen_total{of=\"a \\\"b\\\"\"} 2\n\n",
            "# TYPE parked counter\nparked 1\n\n",
            "# HELP open How many.\n# TYPE open gauge\nopen 1.5\n\n",
        );
        let expected = concat!(
            "# TYPE seen counter\n# HELP seen What was \\\"seen\\\".\nseen_total{of=\"a \\\"b\\\"\"} 2\n",
            "# TYPE parked unknown\nparked 1\n",
            "# TYPE open gauge\n# HELP open How many.\nopen 1.5\n",
            "# EOF\n",
        );
        assert_eq!(from_text(text, &HashMap::new()), expected);
        assert_eq!(from_text("", &HashMap::new()), "# EOF\n");
    }

    #[test]
    fn an_exemplar_stands_behind_its_own_bucket() {
        let text = concat!(
            "# TYPE took histogram\n",
            "took_bucket{of=\"a\",le=\"0.5\"} 0\ntook_bucket{of=\"a\",le=\"1\"} 1\ntook_bucket{of=\"a\",le=\"+Inf\"} 2\n",
            "took_sum{of=\"a\"} 3.75\ntook_count{of=\"a\"} 2\n",
            "took_bucket{of=\"b,le=\\\"1\\\"}\",le=\"0.5\"} 1\ntook_bucket{of=\"b,le=\\\"1\\\"}\",le=\"1\"} 1\n",
        );
        let exemplars = HashMap::from([
            ("took_bucket{of=\"a\",le=\"1\"}".into(), exemplar(0.75, 1_700_000_000_042)),
            ("took_bucket{of=\"a\",le=\"+Inf\"}".into(), exemplar(3.0, 2_000)),
            ("took_bucket{of=\"b,le=\\\"1\\\"}\",le=\"0.5\"}".into(), exemplar(0.25, 1)),
        ]);
        let ids = "# {trace_id=\"0af7651916cd43dd8448eb211c80319c\",span_id=\"b7ad6b7169203331\"}";
        let expected = [
            "# TYPE took histogram".to_owned(),
            "took_bucket{of=\"a\",le=\"0.5\"} 0".to_owned(),
            format!("took_bucket{{of=\"a\",le=\"1.0\"}} 1 {ids} 0.75 1700000000.042"),
            format!("took_bucket{{of=\"a\",le=\"+Inf\"}} 2 {ids} 3 2.000"),
            "took_sum{of=\"a\"} 3.75".to_owned(),
            "took_count{of=\"a\"} 2".to_owned(),
            format!("took_bucket{{of=\"b,le=\\\"1\\\"}}\",le=\"0.5\"}} 1 {ids} 0.25 0.001"),
            "took_bucket{of=\"b,le=\\\"1\\\"}\",le=\"1.0\"} 1".to_owned(),
            "# EOF\n".to_owned(),
        ];
        assert_eq!(from_text(text, &exemplars), expected.join("\n"));
    }
}
