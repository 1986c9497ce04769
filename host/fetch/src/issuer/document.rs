//! What an issuer publishes: its configuration, and its keys.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};

use super::key::{Jwk, KeySet};

/// How long the issuer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest document.
const MOST_BYTES: usize = 512 << 10;
/// Where the configuration is, below the issuer's URL.
const CONFIGURATION: &str = ".well-known/openid-configuration";

/// Why the keys of an issuer can't be read.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// An address that isn't encrypted and leaves this machine, or none at all.
    #[error("`{0}` is neither an https URL nor one of this machine")]
    Url(String),
    /// No HTTP client could be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// There was no answer.
    #[error("`{url}` can't be read")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer isn't the document.
    #[error("`{url}` answered with HTTP {}", .status.as_u16())]
    Status {
        /// What was asked for.
        url: String,
        /// The answer's status.
        status: StatusCode,
    },
    /// The document is larger than any that is sensible.
    #[error("`{0}` is larger than {MOST_BYTES} bytes")]
    TooLarge(String),
    /// The document isn't what it should be.
    #[error("`{url}` isn't what an issuer publishes there")]
    Document {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The configuration is that of another issuer.
    #[error("`{url}` is the configuration of the issuer `{issuer}`")]
    Other {
        /// What was asked for.
        url: String,
        /// The issuer that it states.
        issuer: String,
    },
    /// It failed a moment ago.
    #[error("they couldn't be read a moment ago")]
    Again,
}

/// Reads the documents of an issuer.
#[derive(Debug)]
pub(super) struct Documents {
    issuer: String,
    client: Client,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeyDocument {
    keys: Vec<Jwk>,
}

impl Documents {
    #[expect(clippy::disallowed_methods, reason = "the issuer is the operator's own, in whatever network")]
    pub(super) fn new(issuer: &str, user_agent: &str) -> Result<Self, IssuerError> {
        secure(issuer)?;
        let client = Client::builder().user_agent(user_agent).timeout(TIMEOUT).redirect(Policy::none());
        Ok(Self { issuer: issuer.to_owned(), client: client.build().map_err(IssuerError::Client)? })
    }

    /// The issuer, as its tokens name it.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The keys that it publishes now.
    pub(super) async fn keys(&self) -> Result<KeySet, IssuerError> {
        let url = secure(&format!("{}/{CONFIGURATION}", self.issuer.trim_end_matches('/')))?;
        let configuration: Configuration = self.read(&url).await?;
        if configuration.issuer != self.issuer {
            return Err(IssuerError::Other { url: url.to_string(), issuer: configuration.issuer });
        }
        let document: KeyDocument = self.read(&secure(&configuration.jwks_uri)?).await?;
        Ok(KeySet::of(&document.keys))
    }

    async fn read<T: DeserializeOwned>(&self, url: &Url) -> Result<T, IssuerError> {
        let failed = |source| IssuerError::Unreachable { url: url.to_string(), source };
        let mut response = self.client.get(url.clone()).send().await.map_err(|error| failed(error.without_url()))?;
        if response.status() != StatusCode::OK {
            return Err(IssuerError::Status { url: url.to_string(), status: response.status() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(error.without_url()))? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(IssuerError::TooLarge(url.to_string()));
            }
        }
        serde_json::from_slice(&body).map_err(|source| IssuerError::Document { url: url.to_string(), source })
    }
}

/// A URL that nobody between here and there can answer for: encrypted, or of this machine.
fn secure(text: &str) -> Result<Url, IssuerError> {
    let bad = || IssuerError::Url(text.to_owned());
    let url = Url::parse(text).map_err(|_| bad())?;
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && is_local) { Ok(url) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_encryption() {
        for url in ["https://login.example.com/a", "http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:1"] {
            assert!(secure(url).is_ok(), "{url}");
        }
        for url in ["http://login.example.com", "http://10.0.0.1", "http://localhost.example.com", "ftp://a", "a", ""] {
            assert!(secure(url).is_err(), "{url}");
        }
    }
}
