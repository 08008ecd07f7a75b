//! The routes that a domain offers, as it writes them down. Finding one is [`super::table`]'s matter.

use super::{StaticPage, extract::LARGEST_BODY};
use crate::platform::{admission::Needs, auth::Scope, resilience::Feature};
use axum::{Router, handler::Handler, routing::MethodFilter};
use http::{HeaderMap, Method};
use std::sync::{Arc, LazyLock};

/// A body's largest size in bytes where a route says nothing else.
pub(super) const USUAL_BODY: usize = 64 * 1024;

/// Makes a page.
type Make = Box<dyn FnOnce() -> StaticPage + Send + Sync>;

/// Routes under construction: whole templates (`/api/v1/patients/{patientId}`), a handler for each method.
pub struct Routes<S = ()> {
    pub(super) router: Router<S>,
    pub(super) templates: Vec<Template>,
}

/// What is said of one template.
pub(super) struct Template {
    pub path: &'static str,
    pub methods: Vec<(Method, Needs)>,
    pub largest_body: usize,
    pub compressed: bool,
    pub shed_as: Option<Feature>,
    pub watched: bool,
}

impl Template {
    /// Nothing is served at it yet.
    pub fn new(path: &'static str) -> Self {
        Self {
            path,
            methods: Vec::new(),
            largest_body: USUAL_BODY,
            compressed: false,
            shed_as: None,
            watched: false,
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet.
    pub fn new() -> Self {
        Self { router: Router::new(), templates: Vec::new() }
    }

    /// Serves GET, and HEAD with it, to keys of this scope.
    pub fn get<T: 'static>(self, path: &'static str, scope: Scope, handler: impl Handler<T, S>) -> Self {
        self.on(MethodFilter::GET, &[Method::GET, Method::HEAD], path, Needs::Scope(scope), handler)
    }

    /// Serves GET, and HEAD with it, to everybody: what holds no data of anybody.
    pub fn public<T: 'static>(self, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.on(MethodFilter::GET, &[Method::GET, Method::HEAD], path, Needs::Nothing, handler)
    }

    /// Serves a page that is always the same to everybody, made when it is asked for first.
    pub fn page(self, path: &'static str, make: impl Fn() -> StaticPage + Send + Sync + 'static) -> Self {
        let page: Arc<LazyLock<StaticPage, Make>> = Arc::new(LazyLock::new(Box::new(make)));
        self.public(path, async move |headers: HeaderMap| page.answer(&headers))
    }

    /// Serves POST to keys of this scope.
    pub fn post<T: 'static>(self, path: &'static str, scope: Scope, handler: impl Handler<T, S>) -> Self {
        self.on(MethodFilter::POST, &[Method::POST], path, Needs::Scope(scope), handler)
    }

    /// Serves PUT to keys of this scope.
    pub fn put<T: 'static>(self, path: &'static str, scope: Scope, handler: impl Handler<T, S>) -> Self {
        self.on(MethodFilter::PUT, &[Method::PUT], path, Needs::Scope(scope), handler)
    }

    /// Serves DELETE to keys of this scope.
    pub fn delete<T: 'static>(self, path: &'static str, scope: Scope, handler: impl Handler<T, S>) -> Self {
        self.on(MethodFilter::DELETE, &[Method::DELETE], path, Needs::Scope(scope), handler)
    }

    /// Lets bodies on `path` be up to `bytes` (at most 1 MiB) instead of 64 KiB.
    pub fn largest_body(mut self, path: &'static str, bytes: usize) -> Self {
        self.template(path).largest_body = bytes.min(LARGEST_BODY);
        self
    }

    /// Compresses the answers of `path` for those who take it and where it pays: long ones that hold no
    /// secret.
    pub fn compressed(mut self, path: &'static str) -> Self {
        self.template(path).compressed = true;
        self
    }

    /// Answers every call of `path` with 503 while this feature is shed, before anybody has asked who calls.
    pub fn shed_as(mut self, path: &'static str, feature: Feature) -> Self {
        self.template(path).shed_as = Some(feature);
        self
    }

    /// Holds the time that calls of `path` take against the objective: of routes that wait for nobody outside.
    pub fn watched(mut self, path: &'static str) -> Self {
        self.template(path).watched = true;
        self
    }

    /// These routes and those; a template's methods may come from both.
    pub fn merge(mut self, other: Self) -> Self {
        for theirs in other.templates {
            let ours = self.template(theirs.path);
            ours.methods.extend(theirs.methods);
            ours.largest_body = ours.largest_body.max(theirs.largest_body);
            ours.compressed |= theirs.compressed;
            ours.shed_as = ours.shed_as.or(theirs.shed_as);
            ours.watched |= theirs.watched;
        }
        self.router = self.router.merge(other.router);
        self
    }

    /// What is served: each method of each template, and what a call of it needs.
    pub fn list(&self) -> Vec<Listed> {
        let of = |template: &Template| {
            let (path, shed_as) = (template.path, template.shed_as);
            template
                .methods
                .iter()
                .map(move |(method, needs)| Listed { path, method: method.clone(), needs: *needs, shed_as })
                .collect::<Vec<_>>()
        };
        self.templates.iter().flat_map(of).collect()
    }

    /// Gives the handlers their state.
    pub fn with_state<S2>(self, state: S) -> Routes<S2> {
        Routes { router: self.router.with_state(state), templates: self.templates }
    }

    fn on<T: 'static>(
        mut self,
        filter: MethodFilter,
        methods: &[Method],
        path: &'static str,
        needs: Needs,
        handler: impl Handler<T, S>,
    ) -> Self {
        self.template(path).methods.extend(methods.iter().map(|method| (method.clone(), needs)));
        self.router = self.router.route(path, axum::routing::on(filter, handler));
        self
    }

    fn template(&mut self, path: &'static str) -> &mut Template {
        let at = self.templates.iter().position(|template| template.path == path).unwrap_or_else(|| {
            self.templates.push(Template::new(path));
            self.templates.len() - 1
        });
        &mut self.templates[at]
    }
}

/// One method on one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub path: &'static str,
    pub method: Method,
    pub needs: Needs,
    pub shed_as: Option<Feature>,
}

impl Listed {
    /// Whether it is this method on this template.
    pub fn is(&self, method: &Method, path: &str) -> bool {
        self.method == *method && self.path == path
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}
