//! Finding a route before its handler runs: the span and the metrics of a request need its template first.
//! Calling the handler is axum's matter.

use super::{
    endpoint::{Endpoint, METHODS, index},
    routes::{Routes, Template},
};
use crate::platform::{admission::Needs, resilience::Feature};
use axum::Router;
use http::{HeaderValue, Method};

/// What stands behind one template.
pub(super) struct Resource {
    endpoints: [Endpoint; METHODS.len()],
    served: Vec<(Method, Needs)>,
    /// The `Allow` header's value.
    pub allow: HeaderValue,
    pub largest_body: usize,
    pub compressed: bool,
    /// What it goes as when there is too much to do.
    pub shed_as: Option<Feature>,
    /// Whether its time is held against the objective.
    pub watched: bool,
}

impl Resource {
    fn new(template: Template) -> Self {
        let Template { path, methods: served, largest_body, compressed, shed_as, watched } = template;
        let mut allowed: Vec<&str> =
            served.iter().map(|(method, _)| method.as_str()).chain(["OPTIONS"]).collect();
        allowed.sort_unstable();
        // Method names are visible ASCII.
        let allow = HeaderValue::from_str(&allowed.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"));
        let endpoints = METHODS.map(|method| Endpoint::new(method, path));
        Self { endpoints, served, allow, largest_body, compressed, shed_as, watched }
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
    use crate::platform::{auth::Scope, http::routes::USUAL_BODY};

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
    fn what_is_said_of_a_route_in_two_rooms_holds_together() {
        let feature = Feature { name: "a", level: 1 };
        let one = Routes::<()>::new().get("/a", Scope::Read, async || {}).shed_as("/a", feature);
        let two = Routes::new().post("/a", Scope::Send, async || {}).watched("/a");
        let table = Table::new(one.merge(two)).unwrap();
        let found = table.find("/a").ok().unwrap();
        assert_eq!((found.shed_as, found.watched), (Some(feature), true));
    }

    #[test]
    fn a_route_may_have_a_limit_of_its_own() {
        let table = table();
        assert_eq!(table.find("/b").ok().unwrap().largest_body, 100);
        assert_eq!(table.find("/a/x").ok().unwrap().largest_body, USUAL_BODY);
    }
}
