//! Spans for a collector of OpenTelemetry: OTLP, protobuf over plain HTTP, to a collector beside the service.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What sends spans. Dropped, it sends those that wait.
pub(crate) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(TIMEOUT) {
            tracing::warn!("the last spans aren't sent: {error}");
        }
    }
}

/// Sends by the runtime, from whatever thread exports.
#[derive(Clone, Debug)]
struct RuntimeClient {
    runtime: Handle,
    client: Arc<HyperClient>,
}

#[async_trait::async_trait]
impl HttpClient for RuntimeClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}

/// Where spans go, by the variables of OpenTelemetry's specification; nowhere without one.
pub(crate) fn endpoint() -> Option<String> {
    let of_traces = std::env::var("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").ok();
    let of_all = || std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
    of_traces.or_else(|| of_all().map(|url| format!("{}/v1/traces", url.trim_end_matches('/'))))
}

/// What sends spans, and the layer that gives them; none where they can't be sent.
pub(crate) fn start<S>(runtime: &Handle, endpoint: &str) -> Option<(Traces, Box<dyn Layer<S> + Send + Sync>)>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let client = HyperClient::with_default_connector(TIMEOUT, None);
    let client = RuntimeClient { runtime: runtime.clone(), client: Arc::new(client) };
    let exporter = match SpanExporter::builder().with_http().with_http_client(client).with_endpoint(endpoint).build() {
        Ok(exporter) => exporter,
        Err(error) => {
            eprintln!("warning: no spans are sent: {error}");
            return None;
        }
    };
    let resource = Resource::builder().with_service_name("sluice").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    // Independent of what is logged: SLUICE_TRACES takes a filter, too.
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("sluice"));
    let layer = match EnvFilter::try_from_env("SLUICE_TRACES") {
        Ok(filter) => layer.with_filter(filter).boxed(),
        Err(_) => layer.with_filter(Targets::new().with_target("sluice", LevelFilter::INFO)).boxed(),
    };
    Some((Traces(provider), layer))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Takes one request, and gives its first line and its body.
    fn collect(listener: &TcpListener) -> (String, Vec<u8>) {
        let mut connection = listener.accept().unwrap().0;
        let mut received = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            let read = connection.read(&mut buffer).unwrap();
            received.extend_from_slice(&buffer[..read]);
            let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let header = String::from_utf8_lossy(&received[..end]).to_lowercase();
            let length = header.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let body = received[end + 4..].to_vec();
            if body.len() >= length.parse().unwrap() {
                connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                return (header.lines().next().unwrap().to_owned(), body);
            }
        }
    }

    #[test]
    fn our_spans_go_to_the_collector() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let collector = std::thread::spawn(move || collect(&listener));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (traces, layer) = start(runtime.handle(), &endpoint).unwrap();
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            tracing::info_span!(target: "sluice_runtime::run", "run", network = "awin", run_id = "0199")
                .in_scope(|| {});
            tracing::info_span!(target: "hyper", "another").in_scope(|| {});
        });
        drop(traces);
        let (line, body) = collector.join().unwrap();
        assert_eq!(line, "post /v1/traces http/1.1");
        let has = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has("run") && has("run_id") && has("0199") && has("awin") && has("sluice"), "protobuf keeps texts");
        assert!(!has("another"), "only our own");
    }
}
