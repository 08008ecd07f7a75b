//! A server of the platform's own gRPC stack with a small service, and a caller that speaks it. Which of the
//! things it does a call meets is told by the message.

use super::http::{LONG, Meeting};
use epro_notify::{
    config::Config,
    platform::{
        admission::Admission,
        auth::Scope,
        grpc::{Deadline, GrpcStack, LARGEST_MESSAGE, Method, Services, status},
        health::Health,
        http::{Listener, ResourceId, bind, serve},
        resilience::{Degradation, Feature},
        task,
        tls::{Tls, TlsConfig},
    },
    proto::epro::{
        DESCRIPTOR, GetLatestReportRequest, GetLatestReportResponse, Report, SubmitReportRequest,
        SubmitReportResponse,
        epro_service_client::EproServiceClient,
        epro_service_server::{EproService, EproServiceServer},
    },
};
use prost::Message as _;
use std::{net::SocketAddr, time::Instant};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, transport::Channel};

pub const SERVICE: &str = "epro.v1.EproService";
/// What submitting is shed as.
pub const FEATURE: Feature = Feature { name: "submit", level: 1 };
/// A report that the line may name.
pub const REPORT_ID: &str = "0192-report";

/// How a server is set up.
pub struct Setup {
    /// Time-outs that a test can wait for, and whatever else.
    pub settings: Vec<(&'static str, &'static str)>,
    pub door: Option<Admission>,
    pub degradation: Degradation,
    pub trusted: bool,
    pub tls: Option<TlsConfig>,
}

impl Setup {
    pub fn new() -> Self {
        let short = ["http.header_timeout", "http.body_timeout", "http.handler_timeout"];
        Self {
            settings: short.map(|key| (key, "300ms")).to_vec(),
            door: None,
            degradation: Degradation::new(&[FEATURE]),
            trusted: true,
            tls: None,
        }
    }

    pub async fn start(self) -> Server {
        let config = Config::for_tests(&self.settings).unwrap();
        let (meeting, health, stop) = (Meeting::default(), Health::default(), CancellationToken::new());
        let services =
            services(meeting.clone()).with_health(&health, stop.clone()).with_reflection().unwrap();
        let stack = GrpcStack::new(services, &config.grpc, self.door, self.degradation);
        let tcp = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = tcp.local_addr().unwrap();
        let tls = self.tls.as_ref().map(|tls| Tls::open("grpc", tls).unwrap());
        let listener = Listener::new("grpc", tcp, tls);
        let limits = config.http.limits();
        let served = task::spawn(serve(listener, stack, limits, move |_| self.trusted, stop.clone()));
        Server { address, meeting, health, stop, served }
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub meeting: Meeting,
    pub health: Health,
    pub stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub async fn client(&self) -> EproServiceClient<Channel> {
        EproServiceClient::new(self.channel().await)
    }

    /// Stops it, and waits until all is drained.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.served).await.unwrap().unwrap();
    }
}

/// Asks for the report of whom the handler takes as an order.
pub fn get(order: &str) -> Request<GetLatestReportRequest> {
    Request::new(GetLatestReportRequest { patient_id: order.to_owned() })
}

/// Submits a content of so many bytes.
pub fn submit(bytes: usize) -> Request<SubmitReportRequest> {
    Request::new(SubmitReportRequest { patient_id: "p".to_owned(), content: "x".repeat(bytes) })
}

/// The service that tests call.
pub fn services(meeting: Meeting) -> Services {
    let method = |name, scope, feature| Method { service: SERVICE, name, scope, feature };
    let methods =
        [method("GetLatestReport", Scope::Read, None), method("SubmitReport", Scope::Send, Some(FEATURE))];
    let server = EproServiceServer::new(Rpc(meeting)).max_decoding_message_size(LARGEST_MESSAGE);
    Services::new().add(server, &methods).described_by(DESCRIPTOR)
}

struct Rpc(Meeting);

#[tonic::async_trait]
impl EproService for Rpc {
    async fn get_latest_report(
        &self,
        request: Request<GetLatestReportRequest>,
    ) -> Result<Response<GetLatestReportResponse>, Status> {
        let Deadline(until) = *request.extensions().get().unwrap();
        match request.get_ref().patient_id.as_str() {
            "panic" => panic!("as the test wants"),
            "never" => std::future::pending().await,
            "missing" => return Err(Status::not_found("no report")),
            "invalid" => return Err(status::invalid([("patient_id", "must be another".into())])),
            "wait" => {
                self.0.begun.notify_one();
                self.0.go_on.0.acquire().await.unwrap().forget();
            }
            _ => {}
        }
        let left = until.saturating_duration_since(Instant::now());
        let report = Report {
            report_id: REPORT_ID.to_owned(),
            content: request.into_inner().patient_id,
            submitted_at: i64::try_from(left.as_millis()).unwrap(),
        };
        let mut answer = Response::new(GetLatestReportResponse { report: Some(report) });
        answer.extensions_mut().insert(ResourceId(REPORT_ID.to_owned()));
        Ok(answer)
    }

    async fn submit_report(
        &self,
        request: Request<SubmitReportRequest>,
    ) -> Result<Response<SubmitReportResponse>, Status> {
        let submitted_at = i64::try_from(request.get_ref().content.len()).unwrap();
        Ok(Response::new(SubmitReportResponse { report_id: REPORT_ID.to_owned(), submitted_at }))
    }
}

/// Makes a call that asks for this `grpc-timeout` and, unlike tonic's client, keeps no time itself.
pub async fn within(server: &Server, order: &str, timeout: &str) -> Code {
    let message = get(order).into_inner();
    let length = u32::try_from(message.encoded_len()).unwrap();
    let body = [&[0][..], &length.to_be_bytes(), &message.encode_to_vec()].concat();
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let call = client
        .post(format!("http://{}/{SERVICE}/GetLatestReport", server.address))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(body);
    let answer = call.send().await.unwrap();
    // Without an answer the status is in the head.
    answer.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// The code of an outcome.
pub fn code<T>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().map_or_else(Status::code, |_| Code::Ok)
}
