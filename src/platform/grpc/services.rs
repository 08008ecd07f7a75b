//! The services that a domain offers, and what a call of each method needs.

use crate::platform::{auth::Scope, resilience::Feature};
use http::{Request, Response};
use std::convert::Infallible;
use tonic::{body::Body, server::NamedService, service::Routes};
use tower::Service;

/// One method of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// With its package, as `package.v1.Name`.
    pub service: &'static str,
    pub name: &'static str,
    /// What the caller's key has to allow.
    pub scope: Scope,
    /// What it is shed as, if it can be.
    pub feature: Option<Feature>,
}

/// What is served: services, and their methods.
#[derive(Default)]
pub struct Services {
    pub(super) routes: Routes,
    pub(super) methods: Vec<Method>,
}

impl Services {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a generated service, whose methods are these. One that is not named here is not served.
    #[must_use]
    pub fn add<S>(mut self, service: S, methods: &[Method]) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.routes = self.routes.add_service(service);
        self.methods.extend_from_slice(methods);
        self
    }
}
