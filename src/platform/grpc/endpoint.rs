//! One method, with all that calling it and telling of it needs made once: who may, names, metric handles.

use super::codes::{Durations, Side};
use crate::platform::{admission::Needs, resilience::Feature};
use http::{Request, Response};
use std::{collections::HashMap, convert::Infallible, sync::Arc};
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

/// What answers calls.
pub(super) type Handler = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One message in, which is read first; the whole answer has the time that handlers have.
    Answer,
    /// One message in; the answer goes on for as long as both sides like.
    Lasting,
    /// Messages to and fro, which have the time that a request's body has.
    Conversation,
}

/// One method, or what stands for all that are not served.
pub(super) struct Endpoint {
    /// A label, and what a line says.
    pub service: &'static str,
    pub method: &'static str,
    /// The span's name.
    pub span: String,
    /// The span's `rpc.method`.
    pub full: String,
    /// What a call has to show. `None`: nobody is asked, nor limited, nor told of in lines and spans, since
    /// probes come all the time and say nothing.
    pub needs: Option<Needs>,
    pub feature: Option<Feature>,
    /// Whether its time is held against the objective.
    pub watched: bool,
    pub shape: Shape,
    pub handler: Option<Handler>,
    pub durations: Durations,
}

impl Endpoint {
    pub fn new(
        service: &'static str,
        method: &'static str,
        needs: Option<Needs>,
        feature: Option<Feature>,
        shape: Shape,
        handler: Handler,
    ) -> Self {
        let full = format!("{service}/{method}");
        let durations = Durations::new(service, method, Side::Server);
        let (span, handler) = (full.clone(), Some(handler));
        Self { service, method, span, full, needs, feature, watched: false, shape, handler, durations }
    }

    /// Every method that is not served, whatever its name: named as the conventions want it.
    fn unmatched() -> Self {
        let (service, method) = ("unmatched", "unmatched");
        Self {
            service,
            method,
            span: "grpc".to_owned(),
            full: "_OTHER".to_owned(),
            needs: Some(Needs::Key),
            feature: None,
            watched: false,
            shape: Shape::Answer,
            handler: None,
            durations: Durations::new(service, method, Side::Server),
        }
    }
}

/// The methods by their paths.
pub(super) struct Table {
    served: HashMap<String, Arc<Endpoint>>,
    unmatched: Arc<Endpoint>,
}

impl Table {
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        let served =
            endpoints.into_iter().map(|endpoint| (format!("/{}", endpoint.full), Arc::new(endpoint)));
        Self { served: served.collect(), unmatched: Arc::new(Endpoint::unmatched()) }
    }

    /// What serves a path.
    pub fn find(&self, path: &str) -> &Arc<Endpoint> {
        self.served.get(path).unwrap_or(&self.unmatched)
    }
}
