//! Where the collector sends lines to, in this process: OTLP over HTTP as Loki takes it, kept.

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value as Any},
    logs::v1::LogRecord,
};
use parking_lot::Mutex;
use prost::Message;
use serde_json::{Value, json};
use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// A record with the name of the service that it came from.
#[derive(Clone, Debug)]
pub struct Line {
    pub service: String,
    pub record: LogRecord,
    /// Its resource's, its own attributes' and its body's texts: all that goes further.
    pub all: Value,
}

impl Line {
    pub fn body(&self) -> Value {
        self.record.body.as_ref().map_or(Value::Null, plain)
    }
}

/// Takes lines until it is dropped.
pub struct Lines {
    pub address: SocketAddr,
    kept: Arc<Mutex<Vec<Line>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    pub fn start() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    pub fn at(address: SocketAddr) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route("/otlp/v1/logs", post(keep)).with_state(Arc::clone(&kept));
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
        };
        Self { address, kept, stop: Some(stop), thread: Some(std::thread::spawn(serve)) }
    }

    pub fn kept(&self) -> Vec<Line> {
        self.kept.lock().clone()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(State(kept): State<Arc<Mutex<Vec<Line>>>>, headers: HeaderMap, body: Bytes) -> Vec<u8> {
    let zipped = headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let mut bytes = Vec::new();
    if zipped {
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut bytes).unwrap();
    } else {
        bytes = body.to_vec();
    }
    let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
    for resource in request.resource_logs {
        let of_resource = object(&resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            let all = json!({"resource": of_resource, "attributes": object(&record.attributes),
                "body": record.body.as_ref().map_or(Value::Null, plain)});
            let service = of_resource["service.name"].as_str().unwrap_or_default().to_owned();
            kept.lock().push(Line { service, record, all });
        }
    }
    Vec::new()
}

/// OTLP's attributes as plain JSON.
pub fn object(attributes: &[KeyValue]) -> Value {
    let pairs = attributes.iter();
    pairs.map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Value::Null, plain))).collect()
}

fn plain(value: &AnyValue) -> Value {
    match &value.value {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(value)) => json!(value),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(Any::ArrayValue(list)) => list.values.iter().map(plain).collect(),
        Some(Any::KvlistValue(list)) => object(&list.values),
        _ => Value::Null,
    }
}
