//! Schemas on the page: on one line where they are used, with all their fields where they are explained.

use super::{escape, field, inline as text, items, members, prose};
use serde_json::Value;

/// All schemas of the document, each at the place that the others point to.
pub(super) fn all(document: &Value) -> String {
    members(document, "/components/schemas").map(|(name, schema)| one(document, name, schema)).collect()
}

fn one(document: &Value, name: &str, schema: &Value) -> String {
    let about = prose(field(schema, "description"));
    let rows: String =
        members(schema, "/properties").map(|(name, of)| row(document, schema, name, of)).collect();
    let form = if rows.is_empty() {
        format!("<p>{}</p>", inline(document, schema))
    } else {
        format!("<table>{rows}</table>")
    };
    let name = escape(name);
    format!("<article id=\"schema-{name}\"><h3>{name}</h3>{about}{form}</article>")
}

fn row(document: &Value, schema: &Value, name: &str, of: &Value) -> String {
    let must = if items(schema, "/required").any(|required| required == name) { "required" } else { "" };
    let (form, about) = (inline(document, of), text(field(of, "description")));
    format!("<tr><td><code>{}</code><td>{must}<td>{form}<td>{about}</tr>", escape(name))
}

/// A schema in a few words; one that has a name is linked by it.
pub(super) fn inline(document: &Value, schema: &Value) -> String {
    if let Some((_, name)) = field(schema, "$ref").rsplit_once('/') {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for (keyword, word) in [("allOf", " and "), ("oneOf", " or "), ("anyOf", " or ")] {
        let parts: Vec<String> =
            items(schema, &format!("/{keyword}")).map(|part| inline(document, part)).collect();
        if !parts.is_empty() {
            return parts.join(word);
        }
    }
    let narrowed = members(schema, "/properties")
        .map(|(name, of)| format!("<code>{}</code>: {}", escape(name), inline(document, of)));
    let narrowed: Vec<String> = narrowed.collect();
    if !narrowed.is_empty() {
        return narrowed.join(", ");
    }
    let one_of: Vec<String> =
        items(schema, "/enum").map(|value| format!("<code>{}</code>", escape(&plain(value)))).collect();
    if !one_of.is_empty() {
        return one_of.join(" | ");
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}{}", inline(document, items), bounds(schema));
    }
    escape(&kind(schema)) + &bounds(schema)
}

fn kind(schema: &Value) -> String {
    let kinds: Vec<&str> = items(schema, "/type").filter_map(Value::as_str).collect();
    let kind = if kinds.is_empty() { field(schema, "type").to_owned() } else { kinds.join(" or ") };
    let format = field(schema, "format");
    if format.is_empty() { kind } else { format!("{kind} ({format})") }
}

fn bounds(schema: &Value) -> String {
    let said = |keyword: &str, word: &str| {
        schema.get(keyword).map(|value| format!(", {word} {}", escape(&plain(value)))).unwrap_or_default()
    };
    let pattern = match field(schema, "pattern") {
        "" => String::new(),
        pattern => format!(", <code>{}</code>", escape(pattern)),
    };
    [
        said("minLength", "at least"),
        said("maxLength", "at most"),
        said("minimum", "from"),
        said("maximum", "to"),
        said("minItems", "at least"),
        said("maxItems", "at most"),
        said("default", "by default"),
        pattern,
    ]
    .concat()
}

/// A value as it is read: a text without its quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
