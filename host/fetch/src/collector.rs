//! Sends what a service has traced to the operator's own collector.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};

use crate::NotifyError;

/// How long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most that is read of an answer: it says what was refused.
const MAX_ANSWER_BYTES: usize = 64 << 10;

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

    /// Posts a body with its headers, and gives the answer's status and the beginning of its body.
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
        let unreachable = |error: reqwest::Error| NotifyError::Unreachable(error.without_url());
        let mut response = sent.map_err(unreachable)?;
        let mut answer = BytesMut::new();
        while answer.len() < MAX_ANSWER_BYTES
            && let Some(chunk) = response.chunk().await.map_err(unreachable)?
        {
            answer.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), answer.freeze()))
    }
}
