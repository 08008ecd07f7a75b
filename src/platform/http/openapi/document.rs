//! The whole document: what domains tell of their routes, and what the layers do to every one of them.

use super::{answers, headers, operation::Operation, publish};
use crate::platform::{
    admission::{Denied, Needs},
    auth::Scope,
    http::{Fault, Problem, admit, challenge, extract, problems, routes::Listed},
    limits::config::PerClient,
    resilience::Shed,
};
use http::Method;
use std::{collections::BTreeMap, time::Duration};
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr,
    Response, SecurityRequirement, ServerBuilder,
    extensions::Extensions,
    path::{self, HttpMethod},
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
            paths = paths.path(path, PathItem::new(method, describe(operation, listed)));
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
    for (status, answer) in answers::problems(&common(true, Needs::Key)) {
        components = components.response(status.to_string(), answer);
    }
    components.build()
}

/// The problems that the layers answer with, whatever the operation.
fn common(body: bool, needs: Needs) -> Vec<Problem> {
    let mut all = vec![
        admit::limited(Duration::from_secs(1), PerClient { rate: 100, burst: 200 }),
        Problem::internal(),
    ];
    if needs != Needs::Nothing {
        all.push(challenge::problem(Denied::Unauthenticated { presented: false }));
        all.push(challenge::problem(Denied::Forbidden(Scope::Operate)));
    }
    if body {
        let fault = Fault { pointer: "/message".to_owned(), detail: "is required".to_owned() };
        all.extend([
            extract::not_json(1, 13),
            problems::broken_body(),
            problems::slow_body(),
            problems::too_large(64 * 1024),
            extract::not_declared_as_json(),
            Problem::invalid(vec![fault]),
        ]);
    }
    all
}

fn describe(operation: Operation, listed: &Listed) -> path::Operation {
    let needs = Words::of(listed.needs);
    let about = format!("{} {}", operation.about, needs.about).trim_start().to_owned();
    let answers = all_answers(&operation, listed);
    let told = answers
        .into_iter()
        .fold(operation.told, |told, (status, answer)| told.response(status.to_string(), answer));
    told.description(Some(about))
        .parameter(headers::traceparent())
        .request_body(operation.body)
        .securities(Some(needs.security))
        .extensions(Some(Extensions::from_iter([("x-scope", needs.scope)])))
        .build()
}

/// What the operation answers itself, and what the layers answer for it. Where both have problems of one
/// status they are one answer; where only the layers have, it is the one that all operations share.
fn all_answers(operation: &Operation, listed: &Listed) -> BTreeMap<u16, RefOr<Response>> {
    let mut own = operation.problems.clone();
    own.push(problems::slow_handler(&operation.method));
    own.extend(listed.shed_as.map(|feature| Shed { feature, retry_after: Duration::from_secs(7) }.into()));
    let statuses: Vec<u16> = own.iter().map(|problem| problem.status().as_u16()).collect();
    let mut all: BTreeMap<u16, RefOr<Response>> = BTreeMap::new();
    for problem in common(operation.body.is_some(), listed.needs) {
        let status = problem.status().as_u16();
        if statuses.contains(&status) {
            own.push(problem);
        } else {
            all.insert(status, Ref::from_response_name(status.to_string()).into());
        }
    }
    all.extend(answers::problems(&own).into_iter().map(|(status, answer)| (status, answer.into())));
    all.extend(operation.answers.iter().map(|(status, answer)| (*status, answer.clone().into())));
    all
}

/// How a need is told.
struct Words {
    scope: &'static str,
    about: String,
    security: Vec<SecurityRequirement>,
}

impl Words {
    fn of(needs: Needs) -> Self {
        match needs {
            Needs::Scope(scope) => Self {
                scope: scope.as_str(),
                about: format!("Needs the scope `{scope}`."),
                security: vec![SecurityRequirement::new(BEARER, [scope.as_str()])],
            },
            Needs::Key => Self {
                scope: "any",
                about: "Needs a key.".to_owned(),
                security: vec![SecurityRequirement::new(BEARER, [""; 0])],
            },
            Needs::Nothing => Self { scope: "none", about: "Needs no key.".to_owned(), security: Vec::new() },
        }
    }
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
