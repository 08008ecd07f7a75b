//! The way of a call through the layers, in order, on one screen.

use super::{GrpcConfig, Services};
use crate::platform::{
    admission::{Admission, Caller},
    http::{Peer, Service},
    resilience::Degradation,
};
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use std::{convert::Infallible, sync::Arc};
use tonic::service::Routes;
use tower::ServiceExt;

/// Everything between a connection and the services. Cheap to clone.
#[derive(Clone)]
pub struct GrpcStack(Arc<Inner>);

struct Inner {
    routes: Routes,
}

impl GrpcStack {
    /// Make it after the metrics recorder is installed: handles are kept. Without `admission` everybody may
    /// do everything without limit, which is for measuring what it costs.
    pub fn new(
        services: Services,
        _config: &GrpcConfig,
        _admission: Option<Admission>,
        _degradation: Degradation,
    ) -> Self {
        Self(Arc::new(Inner { routes: services.routes.prepare() }))
    }
}

impl Service for GrpcStack {
    async fn call(&self, mut request: Request<Incoming>, peer: Peer) -> Result<Response, Infallible> {
        request.extensions_mut().insert(Caller::of(peer.address.ip()));
        let answer = self.0.routes.clone().oneshot(request).await?;
        Ok(answer.map(axum::body::Body::new))
    }
}
