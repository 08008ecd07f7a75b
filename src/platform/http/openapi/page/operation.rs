//! One operation on the page: what it takes, a call to copy, and what it answers.

use super::{escape, field, inline, items, members, prose, resolved, schema};
use serde_json::Value;

/// The operations of a group: their rows in the contents, and themselves.
pub(super) fn group(document: &Value, tag: &str) -> (String, String) {
    let (mut rows, mut all) = (String::new(), String::new());
    for (path, item) in members(document, "/paths") {
        for (method, operation) in members(item, "") {
            if items(operation, "/tags").any(|name| name == tag) {
                let (id, summary) =
                    (escape(field(operation, "operationId")), escape(field(operation, "summary")));
                rows += &format!("<li><a href=\"#{id}\">{summary}</a></li>");
                all += &one(document, &method.to_uppercase(), path, operation);
            }
        }
    }
    (rows, all)
}

fn one(document: &Value, method: &str, path: &str, operation: &Value) -> String {
    let (id, summary) = (escape(field(operation, "operationId")), escape(field(operation, "summary")));
    let about = prose(field(operation, "description"));
    let parameters = parameters(document, operation);
    let body = body(document, operation);
    let call = call(method, path, operation);
    let answers: String = members(operation, "/responses")
        .map(|(status, told)| answer(document, status, resolved(document, told)))
        .collect();
    let (method, path) = (escape(method), escape(path));
    format!(
        "<article id=\"{id}\"><h3>{summary}</h3><p class=call><b class={method}>{method}</b> <code>{path}</code></p>\
         {about}{parameters}{body}<pre class=copy>{call}</pre>{answers}</article>"
    )
}

fn parameters(document: &Value, operation: &Value) -> String {
    let row = |parameter: &Value| {
        let (name, place) = (escape(field(parameter, "name")), escape(field(parameter, "in")));
        let must = if parameter.get("required") == Some(&Value::Bool(true)) { " · required" } else { "" };
        let about = inline(field(parameter, "description"));
        let form = parameter.get("schema").map(|told| schema::inline(document, told)).unwrap_or_default();
        format!("<tr><td><code>{name}</code><td>{place}{must}<td>{form}<td>{about}</tr>")
    };
    let rows: String = items(operation, "/parameters").map(row).collect();
    if rows.is_empty() { rows } else { format!("<table>{rows}</table>") }
}

fn body(document: &Value, operation: &Value) -> String {
    let of = |(kind, content): (&str, &Value)| {
        let form = content.get("schema").map(|told| schema::inline(document, told)).unwrap_or_default();
        format!("<p>Body: {form} as <code>{}</code></p>", escape(kind))
    };
    members(operation, "/requestBody/content").map(of).collect()
}

/// The call as a shell command, with the examples of parameters that have to be there and of the body.
fn call(method: &str, path: &str, operation: &Value) -> String {
    let mut path = path.to_owned();
    for parameter in items(operation, "/parameters").filter(|parameter| field(parameter, "in") == "path") {
        let place = format!("{{{}}}", field(parameter, "name"));
        path = path.replace(&place, field(parameter, "example"));
    }
    let mut call = format!("curl -X {method} \"$URL{path}\"");
    if field(operation, "x-scope") != "none" {
        call += " \\\n  -H \"authorization: Bearer $KEY\"";
    }
    for (kind, content) in members(operation, "/requestBody/content").take(1) {
        if let Some(example) = members(content, "/examples").find_map(|(_, example)| example.get("value")) {
            let text = example.to_string().replace('\'', "'\\''");
            call += &format!(" \\\n  -H 'content-type: {kind}' \\\n  -d '{text}'");
        }
    }
    escape(&call)
}

fn answer(document: &Value, status: &str, told: &Value) -> String {
    let (status, about) = (escape(status), inline(field(told, "description")));
    let headers: Vec<String> =
        members(told, "/headers").map(|(name, _)| format!("<code>{}</code>", escape(name))).collect();
    let headers = if headers.is_empty() { String::new() } else { format!("<p>{}</p>", headers.join(" ")) };
    let bodies: String =
        members(told, "/content").map(|(kind, content)| content_of(document, kind, content)).collect();
    format!("<details><summary><b>{status}</b> {about}</summary>{headers}{bodies}</details>")
}

fn content_of(document: &Value, kind: &str, content: &Value) -> String {
    let form = content.get("schema").map(|told| schema::inline(document, told)).unwrap_or_default();
    let named = members(content, "/examples").filter_map(|(_, example)| example.get("value"));
    let shown = content.get("example").into_iter().chain(named).map(|example| {
        format!("<pre>{}</pre>", escape(&serde_json::to_string_pretty(example).unwrap_or_default()))
    });
    let shown: String = shown.collect();
    format!("<p>{form} as <code>{}</code></p>{shown}", escape(kind))
}
