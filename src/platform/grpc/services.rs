//! The services that are offered, and what a call of each method needs. Which a domain has is its matter;
//! health and reflection are the platform's.

use super::{
    endpoint::{Endpoint, Handler, Shape, Table},
    probe, reflect,
};
use crate::platform::{admission::Needs, auth::Scope, health::Health, resilience::Feature};
use http::{Request, Response};
use std::convert::Infallible;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService};
use tower::{Service, util::BoxCloneSyncService};

/// The largest message that is read, in bytes; a service may ask for less, and has its answers within it.
pub const LARGEST_MESSAGE: usize = 256 * 1024;

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
    endpoints: Vec<Endpoint>,
    descriptors: Vec<&'static [u8]>,
}

impl Services {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a generated service, whose methods are these: each takes one message. One that is not named here
    /// is not served.
    #[must_use]
    pub fn add<S>(mut self, service: S, methods: &[Method]) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let handler = BoxCloneSyncService::new(service);
        for &Method { service, name, scope, feature } in methods {
            let needs = Some(Needs::Scope(scope));
            self = self.serve(service, name, Offer { needs, feature, shape: Shape::Answer }, &handler);
        }
        self
    }

    /// Holds the time that calls of this method take against the objective: of one that waits for nobody outside.
    #[must_use]
    pub fn watched(mut self, service: &str, method: &str) -> Self {
        let of_it = |endpoint: &&mut Endpoint| endpoint.service == service && endpoint.method == method;
        self.endpoints.iter_mut().filter(of_it).for_each(|endpoint| endpoint.watched = true);
        self
    }

    /// Tells reflection of a protocol: its compiled file descriptors.
    #[must_use]
    pub fn described_by(mut self, descriptors: &'static [u8]) -> Self {
        self.descriptors.push(descriptors);
        self
    }

    /// Serves `grpc.health.v1.Health` for all services added so far, to everybody, as `health` says; what
    /// watches it is let go at `stop`.
    #[must_use]
    pub fn with_health(self, health: &Health, stop: CancellationToken) -> Self {
        let mut names: Vec<_> = self.endpoints.iter().map(|endpoint| endpoint.service).collect();
        names.dedup();
        let handler = BoxCloneSyncService::new(probe::service(health, names, stop));
        let offer = |shape| Offer { needs: None, feature: None, shape };
        self.described_by(probe::DESCRIPTOR)
            .serve(probe::SERVICE, "Check", offer(Shape::Answer), &handler)
            .serve(probe::SERVICE, "Watch", offer(Shape::Lasting), &handler)
    }

    /// Serves reflection of everything described so far, to every known key.
    ///
    /// # Errors
    /// A descriptor can't be read.
    pub fn with_reflection(mut self) -> Result<Self, reflect::Unreadable> {
        for (name, handler) in reflect::services(&self.descriptors)? {
            let offer = Offer { needs: Some(Needs::Key), feature: None, shape: Shape::Conversation };
            self = self.serve(name, reflect::METHOD, offer, &handler);
        }
        Ok(self)
    }

    fn serve(mut self, service: &'static str, name: &'static str, offer: Offer, handler: &Handler) -> Self {
        let Offer { needs, feature, shape } = offer;
        self.endpoints.push(Endpoint::new(service, name, needs, feature, shape, handler.clone()));
        self
    }

    pub(super) fn table(self) -> Table {
        Table::new(self.endpoints)
    }
}

/// What a call of a method needs, and how it goes.
struct Offer {
    needs: Option<Needs>,
    feature: Option<Feature>,
    shape: Shape,
}
