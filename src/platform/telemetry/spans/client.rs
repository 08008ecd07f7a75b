//! One call to the collector: OTLP over gRPC or HTTP, with bytes that are encoded already.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::retry::{Again, Failure};
use crate::platform::telemetry::config::{Export, Protocol};

const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer answers are cut off: all that is read of one is a number.
const MAX_ANSWER: usize = 64 * 1024;

/// The collector. Connects on first use and again after a break.
pub(super) enum Client {
    Grpc { grpc: tonic::client::Grpc<Channel>, metadata: MetadataMap },
    Http { http: reqwest::Client, url: String, headers: http::HeaderMap },
}

/// `ExportTraceServiceResponse`, of which only the number of rejected spans is read.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}

impl Client {
    /// Must be called inside the runtime that it will be used in.
    pub fn new(export: &Export) -> Result<Self, ClientError> {
        let headers = export.headers.to_map();
        Ok(match export.endpoint.protocol {
            Protocol::Grpc => {
                let mut endpoint = Endpoint::from_shared(export.endpoint.url.clone())?;
                if endpoint.uri().scheme_str() == Some("https") {
                    endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
                }
                let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy();
                Self::Grpc {
                    grpc: tonic::client::Grpc::new(channel),
                    metadata: MetadataMap::from_headers(headers),
                }
            }
            Protocol::HttpProtobuf => {
                let redirects = reqwest::redirect::Policy::none();
                let http = reqwest::Client::builder()
                    .redirect(redirects)
                    .connect_timeout(CONNECT_TIMEOUT)
                    .build()?;
                Self::Http { http, url: export.endpoint.url.clone(), headers }
            }
        })
    }

    /// Sends one message; answers how many of its spans the collector rejected.
    pub async fn send(&mut self, message: Bytes) -> Result<u64, Failure> {
        let answer = match self {
            Self::Grpc { grpc, metadata } => {
                // A connection that cannot be made is as much "unavailable" as one that breaks.
                grpc.ready().await.map_err(|_| Failure { kind: "unavailable", again: Again::Later })?;
                let request = Request::from_parts(metadata.clone(), Default::default(), message);
                let answer = grpc.unary(request, EXPORT.clone(), Raw).await;
                answer.map_err(|status| Failure::of_grpc(&status))?.into_inner()
            }
            Self::Http { http, url, headers } => post(http, url, headers.clone(), message).await?,
        };
        Ok(answer.partial_success.map_or(0, |partial| partial.rejected_spans.try_into().unwrap_or(0)))
    }
}

async fn post(
    http: &reqwest::Client,
    url: &str,
    headers: http::HeaderMap,
    message: Bytes,
) -> Result<Answer, Failure> {
    let request =
        http.post(url).headers(headers).header(CONTENT_TYPE, "application/x-protobuf").body(message);
    let unavailable = |_| Failure { kind: "unavailable", again: Again::Later };
    let mut response = request.send().await.map_err(unavailable)?;
    if !response.status().is_success() {
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        return Err(Failure::of_http(response.status().as_u16(), retry_after));
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(unavailable)? {
        body.extend_from_slice(&part);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    // Whatever a 2xx says beside, the spans were accepted.
    Ok(Answer::decode(body.as_slice()).unwrap_or_default())
}

/// Why no client can be made of a configuration that reads well.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the OTLP endpoint cannot be used: {0}")]
    Grpc(#[from] tonic::transport::Error),
    #[error("the OTLP endpoint cannot be used: {0}")]
    Http(#[from] reqwest::Error),
}

/// A codec that leaves the request's bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Answer;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.remaining());
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Answer;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Answer>, Status> {
        Answer::decode(buffer).map(Some).map_err(|_| Status::internal("not an answer of OTLP"))
    }
}
