//! The description on the API itself: as JSON for programs, as a page for people. Both are public, since
//! neither holds anybody's data, and made once. The pages of problems are described here with them.

use super::{Document, Operation, page};
use crate::platform::http::{Listed, Routes, StaticPage};
use http::{Method, header};
use serde_json::Value;
use utoipa::ToSchema;

const JSON: &str = "/api/v1/openapi.json";
const PAGE: &str = "/api/v1/docs";
const PROBLEM: &str = "/problems/{slug}";
const TAG: &str = "this document";

/// The group of [`operations`].
pub(super) const TAGS: [(&str, &str); 1] = [(TAG, "The API described, for programs and for people.")];

/// What describes the publishing itself.
pub(super) fn operations() -> Vec<Operation> {
    let of = |path, id, summary, kind| {
        Operation::new(Method::GET, path, id, TAG, summary)
            .about("Made once, and the same for everybody; compressed with gzip where that is accepted.")
            .in_header("If-None-Match", "The `ETag` of the copy that the caller has.", "\"1f6a0b\"")
            .answers_text(200, "It is here.", kind)
            .answers_nothing(304, "The caller's copy is the current one.")
            .header(200, "ETag")
            .header(200, "Cache-Control")
            .header(304, "ETag")
    };
    vec![
        of(JSON, "getOpenApi", "Get this document", "application/json"),
        of(PAGE, "getDocs", "Read this document", "text/html"),
        of(PROBLEM, "getProblem", "Read what a type of problem means", "text/plain")
            .in_path::<Slug>("slug", "The last part of a problem's `type`.", "not-found")
            .problems([super::super::problem_pages::no_such_type()]),
    ]
}

/// The last part of a problem's type.
#[derive(ToSchema)]
#[schema(pattern = "^[a-z-]+$")]
#[expect(dead_code, reason = "it tells a form, and is never made")]
struct Slug(String);

impl Document {
    /// What [`Document::routes`] serves.
    pub fn listed() -> Vec<Listed> {
        let nothing = StaticPage::new("text/plain", "");
        routes(nothing.clone(), nothing).list()
    }

    /// Serves it.
    ///
    /// # Errors
    /// As [`Document::to_json`].
    pub fn routes(&self) -> Result<Routes, serde_json::Error> {
        let document: Value = serde_json::to_value(&self.0)?;
        let json = StaticPage::new("application/json", document.to_string());
        let policy = (header::CONTENT_SECURITY_POLICY, page::POLICY);
        let html = page::render(&document, JSON);
        Ok(routes(json, StaticPage::with("text/html; charset=utf-8", html, &[policy])))
    }
}

fn routes(json: StaticPage, html: StaticPage) -> Routes {
    Routes::new().page(JSON, json).page(PAGE, html)
}
