//! One operation as its domain tells of it: what it takes, and what it answers besides what the layers
//! answer to every request.

use super::headers::with_headers;
use crate::platform::http::Problem;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
        example::ExampleBuilder,
        link::Link,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        schema::Type,
    },
};

/// An operation under description. Its path and method are those of its route.
pub struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    pub(super) told: OperationBuilder,
    pub(super) body: Option<RequestBody>,
    pub(super) answers: BTreeMap<u16, Response>,
    pub(super) problems: Vec<Problem>,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

impl Operation {
    /// `id` is a name for generated clients, unique in the document; `tag` the group that it is shown in.
    pub fn new(method: Method, path: &'static str, id: &str, tag: &str, summary: &str) -> Self {
        Self {
            method,
            path,
            about: "",
            told: OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary)),
            body: None,
            answers: BTreeMap::new(),
            problems: Vec::new(),
            schemas: Vec::new(),
        }
    }

    /// What is worth knowing beyond the summary, in a few sentences.
    #[must_use]
    pub fn about(mut self, text: &'static str) -> Self {
        self.about = text;
        self
    }

    /// A part of the path, of `T`'s form.
    #[must_use]
    pub fn in_path<T: ToSchema>(mut self, name: &str, about: &str, example: &str) -> Self {
        self.problems.push(Problem::bad_request("The path cannot be read."));
        self.takes::<T>(parameter(name, ParameterIn::Path).required(Required::True), about, json!(example))
    }

    /// A parameter of the query that may be left out.
    #[must_use]
    pub fn in_query<T: ToSchema>(self, name: &str, about: &str, example: Value) -> Self {
        self.takes::<T>(parameter(name, ParameterIn::Query).required(Required::False), about, example)
    }

    /// A header of any text that may be left out.
    #[must_use]
    pub fn in_header(mut self, name: &str, about: &str, example: &str) -> Self {
        let header = parameter(name, ParameterIn::Header)
            .required(Required::False)
            .description(Some(about))
            .schema(Some(text()))
            .example(Some(json!(example)));
        self.told = self.told.parameter(header);
        self
    }

    /// Takes `Idempotency-Key`: the answers that were said before are the ones that are kept under it.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some("^[!-~]{1,255}$"));
        let about = "The same key with the same body within 24 hours gets the first answer again, and creates nothing.";
        let header = parameter("Idempotency-Key", ParameterIn::Header)
            .required(Required::False)
            .description(Some(about))
            .schema(Some(key))
            .example(Some(json!("visit-3")));
        self.told = self.told.parameter(header);
        let statuses: Vec<u16> = self.answers.keys().copied().collect();
        statuses.into_iter().fold(self, |told, status| told.header(status, "Idempotency-Replayed"))
    }

    /// A JSON body of `T`'s form, with examples by name. Each example is one that is answered with 2xx.
    #[must_use]
    pub fn body<T: ToSchema>(self, about: &str, examples: &[(&str, Value)]) -> Self {
        self.reads::<T>(about, examples, Required::True)
    }

    /// The same, where the body may be left out.
    #[must_use]
    pub fn optional_body<T: ToSchema>(self, about: &str, examples: &[(&str, Value)]) -> Self {
        self.reads::<T>(about, examples, Required::False)
    }

    fn reads<T: ToSchema>(mut self, about: &str, examples: &[(&str, Value)], required: Required) -> Self {
        let named = examples.iter().map(|(name, value)| {
            ((*name).to_owned(), ExampleBuilder::new().value(Some(value.clone())).build())
        });
        let content = ContentBuilder::new().schema(Some(self.refer::<T>())).examples_from_iter(named).build();
        let body = RequestBodyBuilder::new()
            .description(Some(about))
            .required(Some(required))
            .content("application/json", content);
        self.body = Some(body.build());
        self
    }

    /// A JSON answer of `T`'s form. Links and headers are said after it.
    #[must_use]
    pub fn answers<T: ToSchema>(self, status: u16, about: &str, example: Value) -> Self {
        self.answers_with::<T>(status, about, "application/json", example)
    }

    /// The same in another content type, as a problem with fields of its own.
    #[must_use]
    pub fn answers_with<T: ToSchema>(mut self, status: u16, about: &str, kind: &str, example: Value) -> Self {
        let content = ContentBuilder::new().schema(Some(self.refer::<T>())).example(Some(example)).build();
        let answer = ResponseBuilder::new().description(about).content(kind, content);
        self.answers.insert(status, with_headers(answer, &[]).build());
        self
    }

    /// An answer without a body.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, about: &str) -> Self {
        let answer = ResponseBuilder::new().description(about);
        self.answers.insert(status, with_headers(answer, &[]).build());
        self
    }

    /// An answer of another content type, whatever is in it.
    #[must_use]
    pub fn answers_text(mut self, status: u16, about: &str, kind: &str) -> Self {
        let answer = ResponseBuilder::new().description(about).content(kind, ContentBuilder::new().build());
        self.answers.insert(status, with_headers(answer, &[]).build());
        self
    }

    /// A header of the answer of this status, one of those that the document knows.
    #[must_use]
    pub fn header(mut self, status: u16, name: &str) -> Self {
        if let Some(answer) = self.answers.get_mut(&status) {
            let header = Ref::new(format!("#/components/headers/{name}"));
            answer.headers.insert(name.to_owned(), RefOr::Ref(header));
        }
        self
    }

    /// Says that this answer names what another operation takes: its `parameter` is this `field` of the body, a JSON pointer without its first slash.
    #[must_use]
    pub fn link(mut self, status: u16, operation: &str, parameter: &str, field: &str) -> Self {
        let link = Link::builder()
            .operation_id(operation)
            .parameter(parameter, format!("$response.body#/{field}"))
            .build();
        if let Some(answer) = self.answers.get_mut(&status) {
            answer.links.insert(operation.to_owned(), link.into());
        }
        self
    }

    /// The problems that its handler answers with: the very ones, so that the document can't say others.
    #[must_use]
    pub fn problems(mut self, problems: impl IntoIterator<Item = Problem>) -> Self {
        self.problems.extend(problems);
        self
    }

    fn takes<T: ToSchema>(mut self, parameter: ParameterBuilder, about: &str, example: Value) -> Self {
        let schema = self.refer::<T>();
        let parameter = parameter.description(Some(about)).schema(Some(schema)).example(Some(example));
        self.told = self.told.parameter(parameter);
        self
    }

    /// A reference to `T`'s schema, which the document then has.
    fn refer<T: ToSchema>(&mut self) -> Ref {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(T::name())
    }
}

pub(super) fn parameter(name: &str, place: ParameterIn) -> ParameterBuilder {
    ParameterBuilder::new().name(name).parameter_in(place)
}

/// The schema of any text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
