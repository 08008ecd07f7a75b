//! The gRPC API.

use crate::{
    platform::{
        auth::Scope,
        grpc::{Method, Services},
        store::Store,
    },
    proto::epro::{
        DESCRIPTOR, GetLatestReportRequest, GetLatestReportResponse, SubmitReportRequest,
        SubmitReportResponse,
        epro_service_server::{EproService, EproServiceServer},
    },
};
use tonic::{Request, Response, Status};

const SERVICE: &str = "epro.v1.EproService";

struct Rpc {
    #[expect(dead_code, reason = "not read yet")]
    store: Store,
}

/// The service and its methods.
pub fn services(store: Store) -> Services {
    let method = |name, scope| Method { service: SERVICE, name, scope, feature: None };
    let methods = [method("GetLatestReport", Scope::Read), method("SubmitReport", Scope::Send)];
    Services::new().add(EproServiceServer::new(Rpc { store }), &methods).described_by(DESCRIPTOR)
}

#[tonic::async_trait]
impl EproService for Rpc {
    async fn get_latest_report(
        &self,
        _request: Request<GetLatestReportRequest>,
    ) -> Result<Response<GetLatestReportResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn submit_report(
        &self,
        _request: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }
}
