//! The whole document: what domains tell of their routes, and what the layers do to every one of them.

use super::{answers, headers, operation::Operation, publish};
use crate::platform::{
    admission::{Needs, Refused},
    auth::Scope,
    http::{Problem, admit, extract, problems, routes::Listed},
    limits::config::PerClient,
};
use http::Method;
use std::{collections::BTreeMap, time::Duration};
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr,
    Response, SecurityRequirement, ServerBuilder,
    extensions::Extensions,
    path::HttpMethod,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};

/// The name of the one way to authenticate.
const BEARER: &str = "bearer";

/// The description of an API.
pub struct Document(pub(super) OpenApi);

impl Document {
    /// Describes these routes, [`Document::listed`] among them. A route without an operation is left out, and so is an operation without a
    /// route: that there is neither is for a test to say.
    ///
    /// `tags`: each group's name and what it is about.
    pub fn new(
        (title, version, about): (&str, &str, &str),
        tags: &[(&str, &str)],
        routes: &[Listed],
        operations: Vec<Operation>,
    ) -> Self {
        let mut components = components();
        let mut paths = PathsBuilder::new();
        for operation in operations.into_iter().chain(publish::operations()) {
            let listed = routes.iter().find(|listed| listed.is(&operation.method, operation.path));
            let (Some(listed), Some(method)) = (listed, known(&operation.method)) else { continue };
            components.schemas.extend(operation.schemas.iter().cloned());
            let path = operation.path;
            paths = paths.path(path, PathItem::new(method, describe(operation, listed, &components)));
        }
        let tags = tags
            .iter()
            .chain(&publish::TAGS)
            .map(|(name, about)| TagBuilder::new().name(*name).description(Some(*about)).build());
        let info = InfoBuilder::new().title(title).version(version).description(Some(about));
        let document = OpenApiBuilder::new()
            .info(info)
            .servers(Some([ServerBuilder::new().url("/").build()]))
            .tags(Some(tags))
            .paths(paths)
            .components(Some(components));
        Self(document.build())
    }

    /// As JSON on several lines, for people and version control.
    ///
    /// # Errors
    /// Never for what this module makes; serde says that it could.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        self.0.to_pretty_json()
    }
}

/// What every document has: headers, the schema of problems, the way to authenticate, common answers.
fn components() -> Components {
    let about = "A key of the key file. Its scopes decide which operations it may call.";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
    let mut components = ComponentsBuilder::new()
        .schemas_from_iter(answers::schemas())
        .security_scheme(BEARER, SecurityScheme::Http(bearer));
    for (name, header) in headers::components() {
        components = components.header(name, header);
    }
    for (status, answer) in answers::problems(&common(true)) {
        components = components.response(status.to_string(), answer);
    }
    components.build()
}

/// The problems that the layers answer with, whatever the operation.
fn common(body: bool) -> Vec<Problem> {
    let refused = |refused| {
        let usual = PerClient { rate: 100, burst: 200 };
        admit::problem(refused, Duration::from_secs(1), usual)
    };
    let mut all = vec![
        refused(Refused::Unauthenticated),
        refused(Refused::Forbidden(Scope::Operate)),
        refused(Refused::Limited),
        Problem::internal(),
    ];
    if body {
        all.extend([
            extract::not_json(1, 13),
            problems::broken_body(),
            problems::slow_body(),
            problems::too_large(64 * 1024),
            extract::not_declared_as_json(),
            Problem::invalid(vec![]),
        ]);
    }
    all
}

fn describe(
    operation: Operation,
    listed: &Listed,
    components: &Components,
) -> utoipa::openapi::path::Operation {
    let Operation { method, about, told, body, answers, problems: own, .. } = operation;
    let mut own = own;
    own.push(problems::slow_handler(&method));
    let common = common(body.is_some());
    let statuses: Vec<u16> = own.iter().map(|problem| problem.status().as_u16()).collect();
    // What the operation says of a status itself, and what the layers say of it, is one answer.
    let shared: Vec<u16> = common.iter().map(|problem| problem.status().as_u16()).collect();
    own.extend(common.into_iter().filter(|problem| statuses.contains(&problem.status().as_u16())));
    let mut all: BTreeMap<u16, RefOr<Response>> =
        shared.into_iter().map(|status| (status, common_answer(status, components))).collect();
    all.extend(answers::problems(&own).into_iter().map(|(status, answer)| (status, answer.into())));
    all.extend(answers.into_iter().map(|(status, answer)| (status, answer.into())));
    let (scope, words, security) = match listed.needs {
        Needs::Scope(scope) => (
            scope.as_str(),
            format!("Needs the scope `{scope}`."),
            vec![SecurityRequirement::new(BEARER, [scope.as_str()])],
        ),
        Needs::Key => ("any", "Needs a key.".to_owned(), vec![SecurityRequirement::new(BEARER, [""; 0])]),
        Needs::Nothing => {
            all.remove(&401);
            all.remove(&403);
            ("none", "Needs no key.".to_owned(), Vec::new())
        }
    };
    let about = format!("{about} {words}").trim_start().to_owned();
    let told = all.into_iter().fold(told, |told, (status, answer)| told.response(status.to_string(), answer));
    told.description(Some(about))
        .parameter(headers::traceparent())
        .request_body(body)
        .securities(Some(security))
        .extensions(Some(Extensions::from_iter([("x-scope", scope)])))
        .build()
}

fn common_answer(status: u16, components: &Components) -> RefOr<Response> {
    debug_assert!(components.responses.contains_key(&status.to_string()));
    Ref::from_response_name(status.to_string()).into()
}

fn known(method: &Method) -> Option<HttpMethod> {
    match *method {
        Method::GET => Some(HttpMethod::Get),
        Method::POST => Some(HttpMethod::Post),
        Method::PUT => Some(HttpMethod::Put),
        Method::DELETE => Some(HttpMethod::Delete),
        _ => None,
    }
}
