//! Signs in, once for all requests that wait, and holds the tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::Utc;
use futures::future::BoxFuture;
use sluice_model::{Request, Secret, TokenPlace, TokenSource};
use tokio::time::Instant;

use crate::account_client::{AccountClient, Inner};
use crate::body::WireResponse;
use crate::error::Error;
use crate::issued::MAX_TOKEN_BYTES;
use crate::redact::Redactor;
use crate::render::Rendered;
use crate::session::{SignIn, TokenState, usable};
use crate::sign_in_response::{MAX_SIGN_IN_BYTES, SignInResponse};
use crate::template::TokenValues;
use crate::token_store::TokenPersistence;
use crate::wire::Wire;

/// Longer lifetimes are shortened to this, so that sums of times don't overflow.
const MAX_LIFETIME_SECS: f64 = 10.0 * 365.0 * 86_400.0;

/// The tokens that a request uses.
#[derive(Default)]
pub(crate) struct LiveTokens {
    pub(crate) values: TokenValues,
    pub(crate) used: Vec<UsedToken>,
}

/// A token's state when a request used it.
#[derive(Clone, Debug)]
pub(crate) struct UsedToken {
    pub(crate) token: String,
    pub(crate) generation: u64,
    pub(crate) issued: Instant,
    pub(crate) good_until: Option<Instant>,
}

/// The tokens in a sign-in's response.
#[derive(Default)]
pub(crate) struct Granted {
    pub(crate) values: BTreeMap<String, Secret>,
    pub(crate) refresh: BTreeMap<String, Secret>,
    pub(crate) lifetime: Option<Duration>,
}

impl AccountClient {
    /// The tokens that a request names. Signs in for those that aren't live.
    pub(crate) async fn live_tokens(&self, request: &Request) -> Result<LiveTokens, Error> {
        let mut live = LiveTokens::default();
        let needed = self.inner().session.needed_by(request).map_err(|unknown| Error::Template {
            network: self.inner().network.clone(),
            request: request.key.clone(),
            place: "token".to_owned(),
            reason: format!("the manifest has no token source `{unknown}`"),
        })?;
        for sign_in in needed {
            let ended = sign_in.ended.load(Ordering::Acquire);
            let mut state = sign_in.state.clone().lock_owned().await;
            if !state.is_live(Instant::now()) {
                // Another request signed in while this one waited: the same sign-in would fail the same way, and twenty
                // failed logins in a row lock an account.
                if let Some((at, error)) = &state.failed
                    && *at > ended
                {
                    return Err(error.clone());
                }
                // A task of its own: the request may be cancelled, and the response may hold the only valid refresh token.
                let (client, task_sign_in) = (self.clone(), sign_in.clone());
                let task = tokio::spawn(async move {
                    let outcome = client.sign_in(&task_sign_in, &mut state).await;
                    let at = task_sign_in.end();
                    let outcome = outcome.map_err(|error| state.count_failure(error));
                    state.failed = outcome.as_ref().err().map(|error| (at, error.clone()));
                    outcome.map(|()| state)
                });
                state = task.await.map_err(|error| self.store_error(sign_in, "obtain", error))??;
            }
            live.add(&state);
        }
        Ok(live)
    }

    /// Fills the state of a sign-in. Boxed because a sign-in's own request may need another sign-in.
    fn sign_in<'a>(&'a self, sign_in: &'a SignIn, state: &'a mut TokenState) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            match (&self.inner().shared.persistence, sign_in.refresh()) {
                (TokenPersistence::With(store, seal), Some(_)) => {
                    self.sign_in_stored(sign_in, state, store.as_ref(), seal).await
                }
                (TokenPersistence::Refused(hint), Some(_)) => Err(Error::NoTokenStore {
                    network: self.inner().network.clone(),
                    account: self.inner().account.clone(),
                    token: sign_in.name().to_owned(),
                    hint: hint.clone(),
                }),
                _ => {
                    let granted = self.grant(sign_in, state.refresh.clone()).await;
                    granted.map(|granted| self.accept(state, granted))
                }
            }
        })
    }

    /// Uses the refresh token if there is one; signs in from the account's secrets if there is none or it is rejected.
    pub(crate) async fn grant(&self, sign_in: &SignIn, refresh: BTreeMap<String, Secret>) -> Result<Granted, Error> {
        if let Some(request) = sign_in.refresh().filter(|_| !refresh.is_empty()) {
            match self.obtain(sign_in, request, refresh.clone()).await {
                Ok(mut granted) => {
                    // Without a new refresh token the old one stays valid (RFC 6749 section 6).
                    for (name, value) in refresh {
                        granted.refresh.entry(name).or_insert(value);
                    }
                    return Ok(granted);
                }
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    let Inner { network, account, .. } = self.inner();
                    if let Some(rejected) = sign_in.count_rejection() {
                        tracing::warn!(%network, %account, rejected, %error, "refresh token rejected, signing in");
                    }
                }
            }
        }
        let Some(source) = sign_in.sources.first() else { return Ok(Granted::default()) };
        self.obtain(sign_in, &source.request, BTreeMap::new()).await
    }

    /// Fills the state with a sign-in's tokens.
    pub(crate) fn accept(&self, state: &mut TokenState, granted: Granted) {
        let now = Instant::now();
        let known = granted.values.iter().chain(&granted.refresh);
        self.inner().session.learn(known.map(|(name, value)| (name.as_str(), value.clone())));
        state.values = granted.values;
        state.refresh = granted.refresh;
        state.generation += 1;
        state.empty_sign_ins = 0;
        state.issued = Some(now);
        state.good_until = granted.lifetime.map(|lifetime| now + usable(lifetime));
    }

    /// Sends a sign-in or a refresh, and reads the tokens out of its response, which is neither stored nor logged.
    async fn obtain(
        &self,
        sign_in: &SignIn,
        request: &Request,
        refresh: BTreeMap<String, Secret>,
    ) -> Result<Granted, Error> {
        let inner = self.inner();
        inner.allow.request(request)?;
        let mut tokens = self.live_tokens(request).await?.values;
        tokens.refresh = refresh;
        let (slot, ()) = inner.budget.enter(&()).await;
        let rendered = self.context(&tokens, Utc::now()).render(request)?;
        let redactor = self.sign_in_redactor(&rendered, &tokens);
        let places: Vec<&TokenPlace> = sign_in.sources.iter().map(|source| &source.value).collect();
        let limits = inner.shared.options.sign_in_limits();
        let wire = Wire { max_body_bytes: limits.max_bytes, ..self.wire(&redactor) };
        let raw = wire.exchange(&rendered, &places).await?;
        drop(slot);
        if let Some(error) = raw.cut {
            return Err(error);
        }
        let (status, response) = (raw.status, raw.response(limits).await?);
        let name = sign_in.name();
        tracing::debug!(network = %inner.network, account = %inner.account, token = name, status, "signed in");
        if status >= 400 {
            return Err(self.rejection(name, status, &response, &redactor));
        }
        // On a blocking thread: a body is searched for each place.
        let (client, sources) = (self.clone(), sign_in.sources.clone());
        let granted = tokio::task::spawn_blocking(move || client.granted(&sources, &response, status, &redactor));
        let granted = granted.await.map_err(|error| self.store_error(sign_in, "read", error))??;
        if inner.session.has_room(granted.values.iter().chain(&granted.refresh)) {
            return Ok(granted);
        }
        let reason = format!("the account's tokens would have more than {MAX_TOKEN_BYTES} bytes");
        Err(self.without_token(name, status, reason))
    }

    /// Masks in what is shown of a sign-in's response whatever its request held: secrets, tokens of any look, and what was
    /// made of them.
    fn sign_in_redactor(&self, rendered: &Rendered, tokens: &TokenValues) -> Redactor {
        let sent = tokens.live.values().chain(tokens.refresh.values()).map(|token| token.expose().as_bytes());
        let derived = rendered.derived.iter().map(|value| value.as_slice());
        let sent = Redactor::new(sent.chain(derived), Vec::new());
        self.inner().session.redactor().preceded_by(&sent)
    }

    /// The tokens in a successful response; the error describes it without its values.
    fn granted(
        &self,
        sources: &[TokenSource],
        response: &SignInResponse,
        status: u16,
        redactor: &Redactor,
    ) -> Result<Granted, Error> {
        let mut granted = Granted::default();
        for source in sources {
            let value = response.value_at(&source.value).ok_or_else(|| {
                let reason =
                    format!("there is no value at {}; {}", place_name(&source.value), response.shape(redactor));
                self.without_token(&source.name, status, reason)
            })?;
            granted.values.insert(source.name.clone(), Secret::new(value));
            if let Some(value) = source.refresh_value.as_ref().and_then(|place| response.value_at(place)) {
                granted.refresh.insert(source.name.clone(), Secret::new(value));
            }
            let lifetime = lifetime_of(source, response);
            granted.lifetime = granted.lifetime.into_iter().chain(lifetime).min();
        }
        Ok(granted)
    }

    /// The error for a response of success that has no token, or none that can be used.
    fn without_token(&self, token: &str, status: u16, reason: String) -> Error {
        let (network, account) = (self.inner().network.clone(), self.inner().account.clone());
        Error::SignIn { network, account, token: token.to_owned(), status, reason, retry_after: None, attempts: 0 }
    }

    /// The error for a sign-in's error status. An error page holds no new token, so its first 200 characters are shown,
    /// redacted.
    fn rejection(&self, token: &str, status: u16, response: &SignInResponse, redactor: &Redactor) -> Error {
        let (network, account) = (self.inner().network.clone(), self.inner().account.clone());
        let token = token.to_owned();
        // As it was received: decoded, cut or joined it may be none of a secret's forms any more.
        let masked = redactor.body(&response.body).unwrap_or_else(|| response.body.clone());
        let text = String::from_utf8_lossy(&masked);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_readable = !text.is_empty() && !text.starts_with('<');
        let reason =
            if is_readable { redactor.text(&text).chars().take(200).collect() } else { response.shape(redactor) };
        let retry_after = self.keep_to_pause(status, &response.headers, Utc::now());
        if matches!(status, 400 | 401 | 403) && retry_after.is_none() {
            return Error::Credentials { network, account, token, status, reason };
        }
        Error::SignIn { network, account, token, status, reason, retry_after, attempts: 0 }
    }

    /// Whether a request uses a token that every response replaces.
    pub(crate) fn rotates(&self, request: &Request) -> bool {
        let needed = self.inner().session.needed_by(request).unwrap_or_default();
        needed.iter().any(|sign_in| sign_in.sources.iter().any(|source| source.rotates))
    }

    /// Takes the new values of rotating tokens out of a response, even if its body can't be used. Of a body of more than
    /// `MAX_SIGN_IN_BYTES` none are taken: no memory is reserved for it yet.
    pub(crate) async fn rotate(&self, live: &LiveTokens, raw: &WireResponse) {
        let session = &self.inner().session;
        let mut rotating = session.sources().filter(|source| source.rotates);
        let in_body = |source: &TokenSource| !matches!(source.value, TokenPlace::Header(_) | TokenPlace::Cookies);
        let response = if raw.wire.len() <= MAX_SIGN_IN_BYTES && rotating.any(in_body) {
            raw.response(self.inner().shared.options.sign_in_limits()).await.ok()
        } else {
            None
        };
        let response = Arc::new(response.unwrap_or_else(|| raw.response_without_body()));
        for sign_in in &session.sign_ins {
            let Some(used) = live.used.iter().find(|used| sign_in.provides(&used.token)) else { continue };
            let mut state = sign_in.state.lock().await;
            if state.generation != used.generation {
                continue;
            }
            for source in sign_in.sources.iter().filter(|source| source.rotates) {
                // On a blocking thread: a body is searched for each place.
                let (response, place) = (Arc::clone(&response), source.value.clone());
                let found = tokio::task::spawn_blocking(move || response.value_at(&place)).await;
                let found = found.ok().flatten().map(Secret::new);
                if let Some(value) = found.filter(|value| session.has_room(std::iter::once((&source.name, value)))) {
                    session.learn([(source.name.as_str(), value.clone())]);
                    state.values.insert(source.name.clone(), value);
                }
            }
        }
    }
}

impl LiveTokens {
    fn add(&mut self, state: &TokenState) {
        let Some(issued) = state.issued else { return };
        for (name, value) in &state.values {
            self.values.live.insert(name.clone(), value.clone());
            let (generation, good_until) = (state.generation, state.good_until);
            self.used.push(UsedToken { token: name.clone(), generation, issued, good_until });
        }
    }

    /// Whether no lifetime has ended.
    pub(crate) fn is_good(&self, now: Instant) -> bool {
        self.used.iter().all(|used| used.good_until.is_none_or(|until| now < until))
    }
}

fn lifetime_of(source: &TokenSource, response: &SignInResponse) -> Option<Duration> {
    let given = source.lifetime.as_ref().and_then(|place| response.value_at(place));
    let secs = given.and_then(|text| text.trim().parse::<f64>().ok()).or(source.lifetime_secs.map(f64::from))?;
    usable_secs(secs)
}

/// A lifetime; none for NaN and negative numbers: then the token is used until it is rejected.
fn usable_secs(secs: f64) -> Option<Duration> {
    (secs >= 0.0).then(|| Duration::from_secs_f64(secs.min(MAX_LIFETIME_SECS)))
}

fn place_name(place: &TokenPlace) -> String {
    match place {
        TokenPlace::Json(pointer) => format!("`{pointer}`"),
        TokenPlace::Xml(path) => format!("`{path}`"),
        TokenPlace::Header(name) => format!("header `{name}`"),
        TokenPlace::Cookies => "the cookies".to_owned(),
        TokenPlace::Body => "the body".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_lifetime_panics(mantissa in "-?[0-9]{1,30}([.][0-9]{1,30})?", exponent in any::<i64>(), digits in "[0-9]{1,60}") {
            let exponents = [exponent.to_string(), "-2147483648".to_owned(), "2147483647".to_owned(), digits];
            let texts = exponents.map(|exponent| format!("{mantissa}e{exponent}"));
            for secs in texts.iter().map(String::as_str).chain(["NaN", "inf", "-inf", "-0"]).filter_map(|text| text.parse().ok()) {
                let longest = Duration::from_secs_f64(MAX_LIFETIME_SECS);
                prop_assert!(usable_secs(secs).is_none_or(|lifetime| lifetime <= longest), "{}", secs);
            }
        }
    }
}
