//! Problems as answers of the document: one schema, with the types and an example of each status.

use super::headers::{TRACE_ID, with_headers};
use crate::platform::http::Problem;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::{
    ToSchema,
    openapi::{
        AllOfBuilder, ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema,
        example::{Example, ExampleBuilder},
        schema::Type,
    },
};

const PROBLEM_JSON: &str = "application/problem+json";

/// An error, after RFC 9457. A value of the request is never repeated.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "it tells what `Problem` serialises to")]
pub(super) struct ProblemBody {
    /// Which error it is: callers may match on it.
    #[schema(pattern = "^/problems/[a-z-]+$")]
    r#type: String,
    /// The same in words.
    title: String,
    /// The answer's status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time, and what helps.
    detail: String,
    /// The trace that tells more of it.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    trace_id: String,
    /// Each fault of the body, by its place.
    #[schema(required = false, min_items = 1)]
    errors: Vec<FaultBody>,
}

/// What is wrong with one place of a body or a query.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it tells what `Fault` serialises to")]
pub(super) struct FaultBody {
    /// JSON pointer (RFC 6901).
    #[schema(pattern = "^(/.*)?$")]
    pointer: String,
    detail: String,
}

/// The schemas that [`problems`] refers to.
pub(super) fn schemas() -> [(String, RefOr<Schema>); 2] {
    use utoipa::PartialSchema;
    [
        (ProblemBody::name().into_owned(), ProblemBody::schema()),
        (FaultBody::name().into_owned(), FaultBody::schema()),
    ]
}

/// One answer for each status among these problems, with an example of each type.
pub(super) fn problems(all: &[Problem]) -> BTreeMap<u16, Response> {
    let mut by_status: BTreeMap<u16, Vec<&Problem>> = BTreeMap::new();
    for problem in all {
        by_status.entry(problem.status().as_u16()).or_default().push(problem);
    }
    by_status.into_iter().map(|(status, problems)| (status, answer(status, &problems))).collect()
}

fn answer(status: u16, problems: &[&Problem]) -> Response {
    let mut titles: Vec<String> = Vec::new();
    let mut examples: BTreeMap<String, Example> = BTreeMap::new();
    for problem in problems {
        let body = problem.example(TRACE_ID);
        let title = body.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !titles.contains(&title) {
            titles.push(title);
        }
        let example = ExampleBuilder::new().value(Some(body)).build();
        examples.insert(problem.slug().to_owned(), example);
    }
    let types = examples.keys().map(|slug| json!(format!("/problems/{slug}")));
    let narrowed = ObjectBuilder::new()
        .property("type", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(types)))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])));
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(ProblemBody::name())).item(narrowed).build();
    let content =
        ContentBuilder::new().schema(Some(Schema::AllOf(schema))).examples_from_iter(examples).build();
    let answer = ResponseBuilder::new().description(titles.join("; ") + ".").content(PROBLEM_JSON, content);
    let further: &[&'static str] = match status {
        401 | 403 => &["WWW-Authenticate"],
        _ if problems.iter().any(|problem| problem.retries()) => &["Retry-After"],
        _ => &[],
    };
    with_headers(answer, further).build()
}
