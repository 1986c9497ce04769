//! Traces by OTLP (the feature `otlp`): spans of runs, slices and requests, sent to the collector that
//! `OTEL_EXPORTER_OTLP_ENDPOINT` names.

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use sluice_fetch::CollectorClient;
use tokio::runtime::Handle;

/// What names the collector, as OpenTelemetry has it.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Which spans are sent: those with ids, none of what is below a request.
pub(crate) const SPANS: &str = "off,sluice_runtime=info";

/// Sends what was traced, until it is shut down.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// None unless a collector is named.
    ///
    /// # Errors
    /// What is wrong with how it is named.
    pub(crate) fn start(runtime: &Handle) -> anyhow::Result<Option<Self>> {
        if std::env::var_os(ENDPOINT).is_none() {
            return Ok(None);
        }
        let client = CollectorClient::new(concat!("sluice/", env!("CARGO_PKG_VERSION")))?;
        let client = OtlpClient { client, runtime: runtime.clone() };
        let exporter = SpanExporter::builder().with_http().with_http_client(client).build()?;
        let service = Resource::builder().with_service_name("sluice").build();
        Ok(Some(Self(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(service).build())))
    }

    /// What makes spans of it.
    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer("sluice")
    }

    /// Sends what is left. The runtime must still be there.
    pub(crate) fn shut_down(&self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!("not all traces were sent: {error}");
        }
    }
}

/// Sends on the runtime: the exporter has threads of its own, where nothing is polled.
#[derive(Debug)]
struct OtlpClient {
    client: CollectorClient,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        let (client, url) = (self.client.clone(), parts.uri.to_string());
        let sent = self.runtime.spawn(async move { client.post(&url, headers, body).await });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}
