//! OpenMetrics 1.0 from the exporter's text, with exemplars
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! The exporter's families are whole and follow one another already. What differs: a counter's family is named without
//! `_total`, HELP escapes quotes, edges are written as `1.0`, empty lines are not allowed, and `# EOF` is last.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use super::exemplars::{Buckets, Exemplar};

const TOTAL: &str = "_total";
const EDGE: &str = "le=\"";

/// Writes the exporter's text as OpenMetrics.
pub(super) fn from_text(text: &str, exemplars: &HashMap<Arc<str>, Buckets>) -> String {
    // Exemplars are the most that is added, and few lines have one.
    let mut page = String::with_capacity(text.len() + text.len() / 4);
    // HELP comes before TYPE, and only TYPE says what its family is called.
    let mut help = None;
    let mut buckets = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            family(&mut page, name, kind, help.take());
        } else if let Some((before, edge, count)) = bucket(line) {
            bucket_line(&mut page, &mut buckets, exemplars, before, edge, count);
        } else if !line.is_empty() {
            page.push_str(line);
            page.push('\n');
        }
    }
    page.push_str("# EOF\n");
    page
}

/// A family's first lines. A counter without `_total` has no form in OpenMetrics: it keeps its name, and is
/// `unknown`.
fn family(page: &mut String, name: &str, kind: &str, help: Option<(&str, &str)>) {
    let (family, kind) = match (kind, name.strip_suffix(TOTAL)) {
        ("counter", Some(family)) => (family, kind),
        ("counter", None) => (name, "unknown"),
        _ => (name, kind),
    };
    page.extend(["# TYPE ", family, " ", kind, "\n"]);
    if let Some((_, text)) = help.filter(|(helped, _)| *helped == name) {
        page.extend(["# HELP ", family, " "]);
        // The exporter has escaped all else.
        text.split_inclusive('"').for_each(|piece| match piece.strip_suffix('"') {
            Some(before) => page.extend([before, "\\\""]),
            None => page.push_str(piece),
        });
        page.push('\n');
    }
}

/// What stands before a bucket's edge, the edge, and what stands after its quote: ` count` behind the brace.
fn bucket(line: &str) -> Option<(&str, &str, &str)> {
    // The exporter writes the edge last, and quotes inside of other labels are escaped.
    let (head, count) = line.rsplit_once("\"}")?;
    let (before, edge) = head.rsplit_once(EDGE)?;
    let of_a_bucket = before.split_once('{').is_some_and(|(name, _)| name.ends_with("_bucket"));
    of_a_bucket.then_some((before, edge, count))
}

/// The series whose buckets are being written, and those that are left of it.
type Left<'a> = (&'a str, std::slice::Iter<'a, Option<Exemplar>>);

fn bucket_line<'a>(
    page: &mut String,
    left: &mut Option<Left<'a>>,
    exemplars: &'a HashMap<Arc<str>, Buckets>,
    before: &'a str,
    edge: &str,
    count: &str,
) {
    if left.as_ref().is_none_or(|(series, _)| *series != before) {
        *left = exemplars.get(before).map(|buckets| (before, buckets.iter()));
    }
    // Whole numbers as Go writes them: Prometheus from 3.0 on has this form from either format.
    let whole = if edge.bytes().all(|byte| byte.is_ascii_digit()) { ".0" } else { "" };
    page.extend([before, EDGE, edge, whole, "\"}", count]);
    let exemplar = left.as_mut().and_then(|(_, buckets)| buckets.next()).and_then(Option::as_ref);
    if let Some(Exemplar { trace, value, at }) = exemplar {
        // Writing to a string does not fail.
        let _ = write!(
            page,
            " # {{trace_id=\"{}\",span_id=\"{}\"}} {value} {}.{:03}",
            trace.trace_id(),
            trace.span_id(),
            at.as_secs(),
            at.subsec_millis(),
        );
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TraceContext;
    use std::time::Duration;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn exemplar(value: f64, at: u64) -> Option<Exemplar> {
        TraceContext::parse(TRACE).map(|trace| Exemplar { trace, value, at: Duration::from_millis(at) })
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
            (
                "took_bucket{of=\"a\",".into(),
                vec![None, exemplar(0.75, 1_700_000_000_042), exemplar(3.0, 2_000)],
            ),
            ("took_bucket{of=\"b,le=\\\"1\\\"}\",".into(), vec![exemplar(0.25, 1), None]),
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
