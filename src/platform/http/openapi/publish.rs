//! The description on the API itself: as JSON for programs, as a page for people. Both are public, since
//! neither holds anybody's data, and made once. The pages of problems are described here with them.

use super::{Document, Operation, page};
use crate::platform::http::{Listed, Routes, StaticPage};
use http::{Method, header};
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
        let nothing = || StaticPage::new("text/plain", "");
        routes(nothing, nothing).list()
    }

    /// Serves the document that `make` makes, once somebody asks for it: a start does not wait for it, and
    /// the memory that it takes to make is not taken where nobody reads it.
    pub fn routes(make: fn() -> Self) -> Routes {
        // What has no value in JSON would be a defect, which printing the document shows as an error.
        let value = move || serde_json::to_value(&make().0).unwrap_or_default();
        let json = move || StaticPage::new("application/json", value().to_string());
        let policy = [(header::CONTENT_SECURITY_POLICY, page::POLICY)];
        let html =
            move || StaticPage::with("text/html; charset=utf-8", page::render(&value(), JSON), &policy);
        routes(json, html)
    }
}

fn routes(
    json: impl Fn() -> StaticPage + Send + Sync + 'static,
    html: impl Fn() -> StaticPage + Send + Sync + 'static,
) -> Routes {
    Routes::new().page(JSON, json).page(PAGE, html)
}
