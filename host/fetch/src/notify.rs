//! Sends messages to an operator's own receivers: webhooks and mail. Networks aren't among them.

mod mail;
mod secure_stream;
mod starttls;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, header};
use sluice_model::{Hash, Secret};

use crate::function::hmac;

pub use mail::{Mail, MailServer};

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What a key begins with that is written in base64.
const KEY_PREFIX: &str = "whsec_";
/// The media type of messages without a signature.
const JSON: &str = "application/json";

/// Why a message wasn't delivered. It never holds an address, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// No HTTP client could be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// The address is none.
    #[error("the receiver's address is not a URL")]
    Address,
    /// The key isn't base64.
    #[error("the key begins with whsec_, and what follows is not base64")]
    Key,
    /// There was no answer.
    #[error("the receiver can't be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The receiver refused it.
    #[error("the receiver answered with HTTP {}", .0.as_u16())]
    Refused(StatusCode),
    /// An address or a subject that mail can't have.
    #[error("the mail can't be written: {0}")]
    Mail(String),
    /// The server couldn't be reached, or refused the mail.
    #[error("the mail server didn't take the mail")]
    MailServer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A message that its receiver can check: Standard Webhooks.
#[derive(Clone, Debug)]
pub struct SignedMessage {
    /// Names it; the same at each attempt, so that a receiver knows what it has.
    pub id: String,
    /// When this attempt is made.
    pub sent_at: DateTime<Utc>,
    /// The body's media type, `application/json` or a kind of it.
    pub content_type: &'static str,
    /// JSON.
    pub body: String,
}

/// Sends messages.
#[derive(Clone, Debug)]
pub struct Notifier {
    client: Client,
}

impl Notifier {
    /// One that follows no redirect.
    ///
    /// # Errors
    /// [`NotifyError::Client`].
    #[expect(clippy::disallowed_methods, reason = "receivers are the operator's own, in whatever network")]
    pub fn new(user_agent: &str) -> Result<Self, NotifyError> {
        let client = Client::builder().user_agent(user_agent).timeout(TIMEOUT).redirect(Policy::none());
        Ok(Self { client: client.build().map_err(NotifyError::Client)? })
    }

    /// Sends a message with its signature by the receiver's key: text, or `whsec_` and base64.
    ///
    /// # Errors
    /// Whatever keeps it from being accepted.
    pub async fn webhook(&self, url: &Secret, key: &Secret, message: &SignedMessage) -> Result<(), NotifyError> {
        let request = self.request(url)?;
        let request = request
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", message.sent_at.timestamp().to_string())
            .header("webhook-signature", signature(key, message)?);
        send(request, message.content_type, message.body.clone()).await
    }

    /// Sends JSON without a signature, as Slack takes it.
    ///
    /// # Errors
    /// Whatever keeps it from being accepted.
    pub async fn post(&self, url: &Secret, body: String) -> Result<(), NotifyError> {
        send(self.request(url)?, JSON, body).await
    }

    fn request(&self, url: &Secret) -> Result<RequestBuilder, NotifyError> {
        let url = url::Url::parse(url.expose().trim()).map_err(|_| NotifyError::Address)?;
        Ok(self.client.post(url))
    }
}

async fn send(request: RequestBuilder, content_type: &str, body: String) -> Result<(), NotifyError> {
    let request = request.header(header::CONTENT_TYPE, content_type).body(body);
    let response = request.send().await.map_err(|error| NotifyError::Unreachable(error.without_url()))?;
    if response.status().is_success() { Ok(()) } else { Err(NotifyError::Refused(response.status())) }
}

/// `v1,` and HMAC-SHA256 of `id.timestamp.body`.
fn signature(key: &Secret, SignedMessage { id, sent_at, body, .. }: &SignedMessage) -> Result<String, NotifyError> {
    let key = match key.expose().strip_prefix(KEY_PREFIX) {
        Some(encoded) => STANDARD.decode(encoded.trim()).map_err(|_| NotifyError::Key)?,
        None => key.expose().as_bytes().to_vec(),
    };
    let content = format!("{id}.{}.{body}", sent_at.timestamp());
    Ok(format!("v1,{}", STANDARD.encode(hmac(Hash::Sha256, &key, content.as_bytes()))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn a_message_is_signed_as_the_specification_has_it() {
        let message = SignedMessage {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            sent_at: DateTime::from_timestamp(1_614_265_330, 0).unwrap(),
            content_type: JSON,
            body: r#"{"test": 2432232314}"#.to_owned(),
        };
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        assert_eq!(signature(&key, &message).unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(signature(&Secret::new("whsec_!".to_owned()), &message).is_err());
    }

    #[tokio::test]
    async fn an_address_is_in_no_error() {
        let notifier = Notifier::new("sluice").unwrap();
        for url in ["http://127.0.0.1:1/T0/hunter2", "hunter2"] {
            let error = notifier.post(&Secret::new(url.to_owned()), String::new()).await.unwrap_err();
            assert!(!format!("{error:?} {}", sluice_model::describe(&error)).contains("hunter2"), "{error:?}");
        }
    }
}
