//! The routes that a domain offers, and finding one before its handler runs: the span and the metrics of
//! a request need its template first. Calling the handler is axum's matter.

use super::{
    StaticPage,
    endpoint::{Endpoint, METHODS, index},
    extract::LARGEST_BODY,
};
use crate::platform::{admission::Needs, auth::Scope};
use axum::{Router, handler::Handler, routing::MethodFilter};
use http::{HeaderMap, HeaderValue, Method};
use std::sync::{Arc, LazyLock};

/// A body's largest size in bytes where a route says nothing else.
const USUAL_BODY: usize = 64 * 1024;

/// Makes a page.
type Make = Box<dyn FnOnce() -> StaticPage + Send + Sync>;

/// Routes under construction: whole templates (`/api/v1/patients/{patientId}`), a handler for each method.
pub struct Routes<S = ()> {
    router: Router<S>,
    templates: Vec<Template>,
}

struct Template {
    path: &'static str,
    methods: Vec<(Method, Needs)>,
    largest_body: usize,
    compressed: bool,
}

impl Template {
    fn new(path: &'static str) -> Self {
        Self { path, methods: Vec::new(), largest_body: USUAL_BODY, compressed: false }
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

    /// These routes and those; a template's methods may come from both.
    pub fn merge(mut self, other: Self) -> Self {
        for theirs in other.templates {
            let ours = self.template(theirs.path);
            ours.methods.extend(theirs.methods);
            ours.largest_body = ours.largest_body.max(theirs.largest_body);
            ours.compressed |= theirs.compressed;
        }
        self.router = self.router.merge(other.router);
        self
    }

    /// What is served: each method of each template, and what a call of it needs.
    pub fn list(&self) -> Vec<Listed> {
        let of = |template: &Template| {
            let path = template.path;
            template
                .methods
                .iter()
                .map(move |(method, needs)| Listed { path, method: method.clone(), needs: *needs })
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

/// What stands behind one template.
pub(super) struct Resource {
    endpoints: [Endpoint; METHODS.len()],
    served: Vec<(Method, Needs)>,
    /// The `Allow` header's value.
    pub allow: HeaderValue,
    pub largest_body: usize,
    pub compressed: bool,
}

impl Resource {
    fn new(Template { path, methods: served, largest_body, compressed }: Template) -> Self {
        let mut allowed: Vec<&str> =
            served.iter().map(|(method, _)| method.as_str()).chain(["OPTIONS"]).collect();
        allowed.sort_unstable();
        // Method names are visible ASCII.
        let allow = HeaderValue::from_str(&allowed.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"));
        let endpoints = METHODS.map(|method| Endpoint::new(method, path));
        Self { endpoints, served, allow, largest_body, compressed }
    }

    /// What the request is told as, served or not.
    pub fn endpoint(&self, method: &Method) -> &Endpoint {
        &self.endpoints[index(method)]
    }

    /// Whether a handler is there for the method.
    pub fn serves(&self, method: &Method) -> bool {
        self.served.iter().any(|(served, _)| served == method)
    }

    /// What a call of the method needs. OPTIONS needs nothing: browsers ask it without a key. Nor does a
    /// method that is not served where everybody may call whatever is: the answer is 405, not 401.
    pub fn needs(&self, method: &Method) -> Needs {
        let public = self.served.iter().all(|(_, needs)| *needs == Needs::Nothing);
        if method == Method::OPTIONS || (public && !self.served.is_empty()) {
            return Needs::Nothing;
        }
        let served = self.served.iter().find(|(served, _)| served == method);
        served.map_or(Needs::Key, |(_, needs)| *needs)
    }
}

/// The finished routes.
pub(super) struct Table {
    found: matchit::Router<Resource>,
    unmatched: Resource,
    pub router: Router,
}

impl Table {
    /// # Errors
    /// If two templates stand in each other's way: a defect of whoever wrote them, shown at start.
    pub fn new(routes: Routes) -> Result<Self, matchit::InsertError> {
        let mut found = matchit::Router::new();
        for template in routes.templates {
            found.insert(template.path, Resource::new(template))?;
        }
        Ok(Self { found, unmatched: Resource::new(Template::new("unmatched")), router: routes.router })
    }

    /// The resource at a path; `Err` is the one that stands for every unknown path.
    pub fn find(&self, path: &str) -> Result<&Resource, &Resource> {
        self.found.at(path).map(|found| found.value).map_err(|_| &self.unmatched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let routes = Routes::<()>::new()
            .get("/a/{id}", Scope::Read, async || {})
            .delete("/a/{id}", Scope::Send, async || {})
            .post("/b", Scope::Send, async || {})
            .public("/page", async || {})
            .largest_body("/b", 100);
        Table::new(routes).unwrap()
    }

    #[test]
    fn a_path_is_found_by_its_template_and_unknown_ones_share_one() {
        let table = table();
        let found = table.find("/a/some-id").ok().unwrap();
        assert_eq!(found.endpoint(&Method::GET).name, "GET /a/{id}");
        let lost = table.find("/a/some-id/more").err().unwrap();
        assert_eq!(lost.endpoint(&Method::GET).name, "GET unmatched");
    }

    #[test]
    fn allow_names_what_is_served() {
        let table = table();
        let found = table.find("/a/some-id").ok().unwrap();
        assert_eq!(found.allow, "DELETE, GET, HEAD, OPTIONS");
        assert!(found.serves(&Method::HEAD));
        assert!(!found.serves(&Method::POST));
    }

    #[test]
    fn a_call_needs_what_its_method_says_and_an_unknown_one_a_key() {
        let table = table();
        let found = table.find("/a/some-id").ok().unwrap();
        assert_eq!(found.needs(&Method::HEAD), Needs::Scope(Scope::Read));
        assert_eq!(found.needs(&Method::DELETE), Needs::Scope(Scope::Send));
        assert_eq!(found.needs(&Method::PUT), Needs::Key);
        assert_eq!(found.needs(&Method::OPTIONS), Needs::Nothing);
        assert_eq!(table.find("/page").ok().unwrap().needs(&Method::TRACE), Needs::Nothing);
        assert_eq!(table.find("/nowhere").err().unwrap().needs(&Method::GET), Needs::Key);
    }

    #[test]
    fn a_route_may_have_a_limit_of_its_own() {
        let table = table();
        assert_eq!(table.find("/b").ok().unwrap().largest_body, 100);
        assert_eq!(table.find("/a/x").ok().unwrap().largest_body, USUAL_BODY);
    }
}
