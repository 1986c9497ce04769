//! Connections to workers, each call with a proof of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use datafusion::error::DataFusionError;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use http::{HeaderValue, Request};
use tonic::body::Body;
use tonic::transport::Channel;
use tower::ServiceExt;
use url::Url;

use super::key::{HEADER, WorkerKey};

/// How long a connection may take.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// How often a worker is asked whether it is there, and how long it may take to answer: one that hangs fails the query.
pub(super) const PING: Duration = Duration::from_secs(10);

/// Connections that are open.
#[derive(Clone)]
pub(super) struct Channels {
    key: WorkerKey,
    open: Arc<Mutex<HashMap<Url, BoxCloneSyncChannel>>>,
}

impl Channels {
    pub(super) fn new(key: WorkerKey) -> Self {
        Self { key, open: Arc::default() }
    }

    fn known(&self, url: &Url) -> Option<BoxCloneSyncChannel> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned()
    }

    async fn connect(&self, url: &Url) -> Result<BoxCloneSyncChannel, DataFusionError> {
        let endpoint = Channel::from_shared(url.to_string())
            .map_err(|error| DataFusionError::External(Box::new(error)))?
            .connect_timeout(CONNECTED_WITHIN)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let channel = endpoint.connect().await.map_err(|error| {
            DataFusionError::Context(
                format!("cannot reach {url}"),
                Box::new(DataFusionError::External(Box::new(error))),
            )
        })?;
        let (key, address) = (self.key.clone(), Arc::<str>::from(url.as_str()));
        let proven = channel.map_request(move |mut request: Request<Body>| {
            // It is of digits and points. Without it the call would be refused.
            if let Ok(proof) = HeaderValue::from_str(&key.proof(&address, Utc::now())) {
                request.headers_mut().insert(HEADER, proof);
            }
            request
        });
        Ok(BoxCloneSyncChannel::new(proven))
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        let channel = match self.known(url) {
            Some(channel) => channel,
            None => {
                let channel = self.connect(url).await?;
                self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(url.clone(), channel.clone());
                channel
            }
        };
        Ok(create_worker_client(channel))
    }
}
