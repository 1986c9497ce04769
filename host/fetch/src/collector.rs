//! Sends what a service has traced to the operator's own collector.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};

use crate::NotifyError;

/// How long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of a collector, which follows no redirect.
#[derive(Clone, Debug)]
pub struct CollectorClient(Client);

impl CollectorClient {
    /// A client.
    ///
    /// # Errors
    /// [`NotifyError::Client`].
    #[expect(clippy::disallowed_methods, reason = "the collector is the operator's own, in whatever network")]
    pub fn new(user_agent: &str) -> Result<Self, NotifyError> {
        let client = Client::builder().user_agent(user_agent).timeout(TIMEOUT).redirect(Policy::none());
        Ok(Self(client.build().map_err(NotifyError::Client)?))
    }

    /// Posts a body with its headers, and gives the answer's status and body.
    ///
    /// # Errors
    /// An address or a header that is none; no answer.
    pub async fn post(
        &self,
        url: &str,
        headers: Vec<(String, Vec<u8>)>,
        body: Bytes,
    ) -> Result<(u16, Bytes), NotifyError> {
        let url = url::Url::parse(url).map_err(|_| NotifyError::Address)?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::try_from(name).map_err(|_| NotifyError::Address)?;
            map.append(name, HeaderValue::from_bytes(&value).map_err(|_| NotifyError::Address)?);
        }
        let sent = self.0.request(Method::POST, url).headers(map).body(body).send().await;
        let response = sent.map_err(|error| NotifyError::Unreachable(error.without_url()))?;
        let status = response.status().as_u16();
        Ok((status, response.bytes().await.map_err(|error| NotifyError::Unreachable(error.without_url()))?))
    }
}
