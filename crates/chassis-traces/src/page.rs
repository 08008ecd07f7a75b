//! The traces as HTML: bars, no script.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use crate::ring::{Line, Lists, Span, Trace};

pub(crate) fn html(lists: &Lists<'_>) -> String {
    let mut page = include_str!("head.html").to_owned() + "<nav><a href=\"\">Reload</a>";
    for (name, list) in lists {
        page += &format!("<a href=\"#{name}\">{name} ({})</a>", list.len());
    }
    page += "</nav>";
    let mut open = " open";
    for (name, list) in lists {
        page += &format!("<h2 id=\"{name}\">{name}</h2>");
        for trace in list {
            page += &format!("<details{}>", std::mem::take(&mut open));
            waterfall(&mut page, trace);
        }
    }
    page + "</body></html>"
}

fn waterfall(page: &mut String, trace: &Trace) {
    let Trace { trace_id, name, failed, longest, spans, lines, left_out, .. } = trace;
    let times = || spans.iter().map(|span| span.start).chain(lines.iter().map(|line| line.at));
    let ends = spans.iter().map(|span| span.start + span.duration).chain(times());
    let begin = times().min().unwrap_or_default();
    let whole = ends.max().unwrap_or_default() - begin;
    let (at, name) =
        (humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_micros(begin)), escaped(name));
    let (all, longest, here) = (millis(whole), millis(*longest), (spans.len(), lines.len()));
    *page += &format!(
        "<summary class=\"failed-{failed}\"><time>{at}</time><span class=\"name\">{name}</span><small>{0} spans</small>\
         <small>{1} lines</small><small>{all} in all</small><span class=\"took\">{longest}</span></summary>\
         <div class=\"id\">trace {trace_id}</div>",
        here.0, here.1
    );
    let known = |id: &str| spans.iter().any(|span| span.span_id == id);
    let mut rows: Vec<&Span> = spans.iter().collect();
    // What comes first is taken last.
    rows.sort_by_key(|span| std::cmp::Reverse(span.start));
    let mut open: Vec<(usize, &Span)> =
        rows.iter().filter(|span| !known(&span.parent_span_id)).map(|span| (0, *span)).collect();
    while let Some((depth, span)) = open.pop() {
        row(page, depth, span, (begin, whole));
        let own = lines.iter().filter(|line| line.span_id == span.span_id);
        own.for_each(|line| log(page, depth + 1, line, begin));
        let below = rows.iter().filter(|other| other.parent_span_id == span.span_id);
        open.extend(below.map(|other| (depth + 1, *other)));
    }
    lines.iter().filter(|line| !known(&line.span_id)).for_each(|line| log(page, 0, line, begin));
    if *left_out > 0 {
        *page += &format!("<p>{left_out} more spans and lines were left out.</p>");
    }
    *page += "</details>\n";
}

fn row(page: &mut String, depth: usize, span: &Span, (begin, whole): (u64, u64)) {
    let percent = |part: u64| 100.0 * part as f64 / whole.max(1) as f64;
    let (left, width) = (percent(span.start - begin), percent(span.duration));
    let (kind, failed, name, took) = (&span.kind, span.failed, escaped(&span.name), millis(span.duration));
    let indent = 20 * depth;
    let mut more: String =
        span.attributes.iter().map(|(key, value)| format!("{key}={} ", escaped(value))).collect();
    if let Some(other) = &span.of_trace_id {
        let _ = write!(more, "(one commit for all that waited: trace {other})");
    }
    *page += &format!(
        "<div class=\"span {kind} failed-{failed}\"><span class=\"name\" style=\"padding-left:{indent}px\"><small>{kind}</small> \
         {name}</span><span class=\"bar\"><i style=\"left:{left:.2}%;width:{width:.2}%\"></i></span><span class=\"took\">\
         {took}</span></div><div class=\"more\" style=\"padding-left:{indent}px\">{more}</div>"
    );
}

fn log(page: &mut String, depth: usize, line: &Line, begin: u64) {
    let (level, indent, after) = (line.level, 20 * depth, millis(line.at - begin));
    let (message, fields) = (escaped(&line.message), escaped(&line.fields.to_string()));
    *page += &format!(
        "<div class=\"log {level}\" style=\"padding-left:{indent}px\"><time>+{after}</time> <b>{level}</b> {message} \
         <code>{fields}</code></div>"
    );
}

fn millis(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1000.0)
}

/// A text in HTML, also inside an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
