//! gRPC for the bench: the report that is read, the least that a handler can do to answer with it, and load of
//! many calls at a time over a few connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use epro_notify::proto::epro::{
    GetLatestReportRequest, GetLatestReportResponse, Report, SubmitReportRequest, SubmitReportResponse,
    epro_service_client::EproServiceClient, epro_service_server::EproService,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::Result;
use crate::histogram::Histogram;
use crate::http::KEY;
use crate::load::{Asks, Outcome};

pub const PATIENT: &str = "p-000001";
/// Of a usual length.
pub const CONTENT: &str = "Pain 3 of 10 in the morning and 5 of 10 in the evening; slept six hours, woke up twice. \
    Took the medicine at eight and at twenty past eight, with food. No fever. A little dizzy after getting up.";
/// As those of the service.
const ID: &str = "0193d1f0-0000-7000-8000-000000000000";
const CONNECTIONS: usize = 4;

/// Knows one report.
pub struct Bare;

#[tonic::async_trait]
impl EproService for Bare {
    async fn get_latest_report(
        &self,
        _request: Request<GetLatestReportRequest>,
    ) -> std::result::Result<Response<GetLatestReportResponse>, Status> {
        let (report_id, content) = (ID.to_owned(), CONTENT.to_owned());
        let report = Report { report_id, content, submitted_at: 1_700_000_000 };
        Ok(Response::new(GetLatestReportResponse { report: Some(report) }))
    }

    async fn submit_report(
        &self,
        _request: Request<SubmitReportRequest>,
    ) -> std::result::Result<Response<SubmitReportResponse>, Status> {
        Err(Status::unimplemented("reads alone"))
    }
}

/// Calls on a runtime of one thread, each made again as soon as it has been answered.
pub struct Calls {
    runtime: Runtime,
    clients: Vec<EproServiceClient<Channel>>,
    at_once: usize,
    key: MetadataValue<Ascii>,
}

impl Calls {
    /// So many calls at once.
    ///
    /// # Errors
    /// When it can't connect.
    pub fn open(address: SocketAddr, at_once: usize) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connect = async || Endpoint::from_shared(format!("http://{address}"))?.connect().await;
        let clients: std::result::Result<_, _> =
            (0..CONNECTIONS).map(|_| runtime.block_on(connect()).map(EproServiceClient::new)).collect();
        Ok(Self { runtime, clients: clients?, at_once, key: format!("Bearer {KEY}").parse()? })
    }
}

/// Counts of one run.
#[derive(Clone)]
struct Run {
    until: Instant,
    left: Arc<AtomicU64>,
}

impl Run {
    fn goes_on(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        Instant::now() < self.until
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

impl Asks for Calls {
    /// What is in flight when the time is over is waited for.
    fn run(&mut self, time: Duration, most: u64) -> io::Result<Outcome> {
        let started = Instant::now();
        let run = Run { until: started + time, left: Arc::new(AtomicU64::new(most)) };
        let mut outcome =
            Outcome { answered: 0, refused: 0, broken: 0, elapsed: time, latency: Histogram::new() };
        let Self { runtime, clients, at_once, key } = self;
        runtime.block_on(async {
            let mut callers = JoinSet::new();
            for client in clients.iter().cycle().take(*at_once) {
                callers.spawn(call_again(client.clone(), key.clone(), run.clone()));
            }
            while let Some(called) = callers.join_next().await {
                let (latencies, refused) = called.map_err(io::Error::other)?;
                outcome.answered += latencies.len() as u64;
                outcome.refused += refused;
                latencies.into_iter().for_each(|nanos| outcome.latency.record(nanos));
            }
            io::Result::Ok(())
        })?;
        outcome.elapsed = started.elapsed();
        Ok(outcome)
    }
}

/// Nanoseconds of each call that was answered, and how many were not.
async fn call_again(
    mut client: EproServiceClient<Channel>,
    key: MetadataValue<Ascii>,
    run: Run,
) -> (Vec<u64>, u64) {
    let (mut latencies, mut refused) = (Vec::new(), 0);
    while run.goes_on() {
        let asked = Instant::now();
        let mut request = Request::new(GetLatestReportRequest { patient_id: PATIENT.to_owned() });
        request.metadata_mut().insert("authorization", key.clone());
        match client.get_latest_report(request).await {
            Ok(_) => latencies.push(asked.elapsed().as_nanos() as u64),
            Err(_) => refused += 1,
        }
    }
    (latencies, refused)
}
