//! The API's description: the document, and a page that shows it offline.

use crate::{Problem, ProblemBody};
use axum::Router;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tower::util::MapResponseLayer;
use tower_http::compression::CompressionLayer;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, ResponseBuilder};
use utoipa::{Modify, PartialSchema, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

/// The name of the scheme by which operations say that they take an API key: `security(("bearer" = ["send"]))`.
pub const SECURITY: &str = "bearer";

/// Serves the document at `json` and a page that shows it at `page`, compressed for callers that take it.
pub fn router(page: &'static str, json: &'static str, document: OpenApi) -> Router {
    let named = MapResponseLayer::new(|answer: Response| match answer.status() {
        StatusCode::NOT_FOUND => Problem::not_found("Nothing is served at this path.").into_response(),
        _ => answer,
    });
    Router::from(SwaggerUi::new(page).url(json, document)).layer((CompressionLayer::new(), named))
}

/// Adds what all operations share: the schema of problems, the security scheme, and the problems that the layers answer
/// with. `#[openapi(modifiers(&openapi::Common))]`.
#[derive(Clone, Copy, Debug)]
pub struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
        ProblemBody::schemas(&mut schemas);
        components.schemas.extend(schemas);
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme(SECURITY, bearer);
        for item in document.paths.paths.values_mut() {
            let operations =
                [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
            operations.into_iter().flatten().for_each(add);
        }
    }
}

fn add(operation: &mut Operation) {
    let secured = operation.security.is_some();
    let body = operation.request_body.is_some();
    let parameters = operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    let answers = [
        ("400", "The request cannot be read.", true),
        ("401", "No known API key.", secured),
        ("403", "The key lacks the scope.", secured),
        ("408", "The body did not arrive in time.", body),
        ("413", "The body is too large.", body),
        ("415", "The body is not declared as JSON.", body),
        ("421", "Served under loopback names only, since no API keys are configured.", true),
        ("422", "The request is not valid; see errors.", body || parameters),
        ("429", "Too many requests; one passes after Retry-After.", true),
        ("500", "A defect of the service.", true),
        ("503", "Not now; see type.", true),
    ];
    for (status, words, _) in answers.into_iter().filter(|(.., here)| *here) {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| problem(words).into());
    }
}

fn problem(words: &str) -> utoipa::openapi::Response {
    let content = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
    ResponseBuilder::new().description(words).content("application/problem+json", content).build()
}
