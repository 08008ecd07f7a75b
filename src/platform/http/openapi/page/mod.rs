//! The document as one page of plain HTML, made at start: no script, nothing fetched from anywhere, so that
//! it works offline and under the strictest policy. It shows what the document says, and nothing else.

mod operation;
mod schema;

use serde_json::Value;

const STYLE: &str = include_str!("style.css");
/// Nothing is loaded or run but the style above, which is named by its hash.
pub(super) const POLICY: &str = "default-src 'none'; style-src \
'sha256-Cl+RQOCIrtLiujnrIxRBvnyyiiTJsq2ph3UqzI09i8U='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page; `source` is where the document itself is.
pub(super) fn render(document: &Value, source: &str) -> String {
    let at = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (title, version) = (escape(at("/info/title")), escape(at("/info/version")));
    let mut groups = String::new();
    let mut contents = String::new();
    for tag in items(document, "/tags") {
        let (name, about) = (field(tag, "name"), prose(field(tag, "description")));
        let (rows, operations) = operation::group(document, field(tag, "name"));
        let name = escape(name);
        contents += &format!("<h3>{name}</h3><ul>{rows}</ul>");
        groups += &format!("<section><h2>{name}</h2>{about}{operations}</section>");
    }
    let about = prose(at("/info/description"));
    let bearer = prose(at("/components/securitySchemes/bearer/description"));
    let schemas = schema::all(document);
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>{title} {version}</title>\
         <style>{STYLE}</style></head><body><nav><h1>{title}</h1><p>{version} · \
         <a href=\"{source}\">OpenAPI</a></p>{contents}<h3><a href=\"#schemas\">schemas</a></h3></nav>\
         <main>{about}<p>Authenticate with <code>Authorization: Bearer KEY</code>.</p>{bearer}{groups}\
         <section><h2 id=schemas>schemas</h2>{schemas}</section></main></body></html>\n"
    )
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn members<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let object = value.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    object.map(|(name, value)| (name.as_str(), value))
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What a value stands for: the component that it refers to, or itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = field(value, "$ref").strip_prefix('#').and_then(|pointer| document.pointer(pointer));
    target.unwrap_or(value)
}

/// A text as HTML: it can't open an element, nor leave an attribute in double quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A description, in which backticks mark code; nothing where there is none.
fn prose(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<p>{}</p>", inline(text)) }
}

fn inline(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_names_the_style_that_the_page_has() {
        let mut base64 = String::new();
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for chunk in Sha256::digest(STYLE).chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for place in 0..=chunk.len() {
                base64.push(char::from(digits[(bits >> (18 - 6 * place) & 63) as usize]));
            }
        }
        assert!(POLICY.contains(&format!("'sha256-{base64}='")), "{base64}=");
    }

    #[test]
    fn no_text_of_the_document_becomes_an_element() {
        let evil = "<script>\"`<img>`";
        let document = json!({
            "info": { "title": evil, "version": evil, "description": evil },
            "tags": [{ "name": evil, "description": evil }],
            "paths": { "/<img>": { "get": {
                "tags": [evil], "summary": evil, "description": evil, "operationId": evil, "x-scope": evil,
                "parameters": [{ "name": evil, "in": evil, "description": evil, "example": evil,
                                 "schema": { "type": evil, "pattern": evil } }],
                "requestBody": { "content": { evil: { "schema": { "$ref": evil },
                                 "examples": { evil: { "value": { evil: evil } } } } } },
                "responses": { evil: { "description": evil, "headers": { evil: {} },
                               "content": { evil: { "example": evil, "schema": { "enum": [evil] } } } } },
            } } },
            "components": { "schemas": { evil: { "description": evil, "properties": { evil: { "type": evil } } } } },
        });
        let page = render(&document, "/openapi.json");
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(page.contains("&lt;script&gt;"));
    }
}
