//! Sends the requests of one account with one set of secrets: allow → authenticate → pace → send → redact.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use sluice_model::{Request, Secret, SentRequest};
use tokio::time::Instant;

use crate::allow::Allow;
use crate::body::{CleanBody, WireResponse, clean};
use crate::clock::network_time;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::fetcher::{Access, Shared};
use crate::pace::{Admission, Budget, RequestSlot};
use crate::redact::{MASK, Redactor};
use crate::render::{Context, Rendered, tokens_of};
use crate::retry::Retry;
use crate::retry_after::requested_pause;
use crate::session::Session;
use crate::template::TokenValues;
use crate::token::LiveTokens;
use crate::token_cycles::check_cycles;
use crate::wire::Wire;

/// The longest name of a response's header that is kept: it is searched for every form of every secret, byte by byte.
const MAX_HEADER_NAME_BYTES: usize = 256;
/// After a longer wait for the budget, the lifetimes of the tokens are checked again.
const NOTABLE_WAIT: Duration = Duration::from_secs(1);

/// Sends an account's requests with one set of secrets. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AccountClient(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) network: String,
    pub(crate) account: String,
    pub(crate) allow: Allow,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) session: Arc<Session>,
    pub(crate) shared: Arc<Shared>,
}

impl AccountClient {
    /// `budget`: that of the previous client, if only the secrets have changed.
    pub(crate) fn new(shared: Arc<Shared>, access: &Access, budget: Option<Arc<Budget>>) -> Result<Self, Error> {
        let rate = access.rate;
        if rate.requests == 0 || rate.per_secs == 0 || rate.concurrency == 0 {
            let reason = "`requests`, `per_secs` and `concurrency` of `rate` must be at least 1".to_owned();
            return Err(Error::Settings { network: access.network.clone(), reason });
        }
        check_cycles(&access.network, &access.tokens)?;
        let (budget, session) = (budget.unwrap_or_else(|| shared.budget(access)), shared.session(access));
        let Access { network, account, manifest_hosts, operator_hosts, base_url, settings, secrets, .. } =
            access.clone();
        let allow = Allow::new(network.clone(), manifest_hosts, operator_hosts, base_url)?;
        Ok(Self(Arc::new(Inner { network, account, allow, settings, secrets, budget, session, shared })))
    }

    pub(crate) async fn send<A: Admission>(
        &self,
        request: &Request,
        admission: &A,
    ) -> Result<(Exchange, A::Permit), Error> {
        let started = Instant::now();
        let inner = self.inner();
        inner.allow.request(request)?;
        let rotates = self.rotates(request);
        let _rotation = if rotates { Some(inner.session.rotation.lock().await) } else { None };
        let (live, slot, mut permit) = self.admitted(request, admission).await?;
        let sent_at = Utc::now();
        let rendered = self.context(&live.values, sent_at).render(request)?;
        let derived = self.derived(&rendered);
        let redactor = inner.session.redactor().preceded_by(&derived);
        admission.sent();
        let raw = self.wire(&redactor).exchange(&rendered, &[]).await?;
        drop(slot);
        let received_at = Utc::now();
        let retry_after = self.keep_to_pause(raw.status, &raw.headers, received_at);
        if rotates {
            self.rotate(&live, &raw).await;
        }
        // The current one: this response may have brought a value to mask.
        let redactor = inner.session.redactor().preceded_by(&derived);
        let body = clean(&raw, inner.shared.options.limits(), &redactor, &mut permit).await;
        let (headers, header_masked) = headers_of(&raw, &body, &redactor);
        tracing::debug!(
            network = %inner.network, account = %inner.account, request = %request.key, status = raw.status,
            wire_bytes = body.wire.len(), body_bytes = body.body.len(), "response received"
        );
        if let Some(mismatch) = &body.mismatch {
            tracing::debug!(network = %inner.network, request = %request.key, %mismatch, "content encoding corrected");
        }
        let expired = live.used.iter().find(|used| used.issued < started).map(|used| used.token.clone());
        let exchange = Exchange {
            sent: rendered.shown(&redactor),
            sent_at,
            received_at,
            network_time: network_time(&raw.headers),
            status: raw.status,
            headers,
            retry_after,
            token_expired: expired.filter(|_| raw.status == 401),
            wire: body.wire,
            body: body.body,
            framing: raw.framing,
            encoding_mismatch: body.mismatch,
            masked: body.masked || header_masked,
            problem: body.problem,
            used: live.used,
        };
        Ok((exchange, permit))
    }

    /// Masks what a request's templates made of secrets. `Bearer TOKEN` is found by the token in it: another pass over each
    /// body isn't needed.
    pub(crate) fn derived(&self, rendered: &Rendered) -> Redactor {
        let known = self.inner().session.redactor();
        let derived = rendered.derived.iter().filter(|value| !known.covers(value));
        Redactor::new(derived.map(|value| value.as_slice()), Vec::new())
    }

    /// The pause that a response asks for. If the rate limit is exceeded, it applies to all requests of the budget, unless
    /// it's longer than a run waits.
    pub(crate) fn keep_to_pause(
        &self,
        status: u16,
        headers: &HeaderMap,
        received_at: DateTime<Utc>,
    ) -> Option<Duration> {
        let pause = requested_pause(headers, status, received_at);
        let longest = self.inner().shared.options.max_retry_wait;
        if let Some(pause) = pause.filter(|pause| status == 429 && *pause <= longest) {
            self.inner().budget.pause(pause);
        }
        pause
    }

    /// As [`Account::renew`](crate::Account::renew).
    pub(crate) async fn renew(&self, token: &str, after: &Exchange) -> Retry {
        let sign_in = self.0.session.sign_ins.iter().find(|sign_in| sign_in.provides(token));
        let Some(sign_in) = sign_in else { return Retry::Once };
        let mut state = sign_in.state.lock().await;
        let used = after.used.iter().find(|used| used.token == token);
        if used.is_some_and(|used| used.generation != state.generation || state.issued.is_none()) {
            return Retry::Yes;
        }
        state.forget();
        Retry::Once
    }

    /// The request as it would be sent, with secrets, tokens and signatures masked. Nothing is sent.
    pub(crate) fn preview(&self, request: &Request) -> Result<SentRequest, Error> {
        self.0.allow.request(request)?;
        let names = self.0.session.sources().map(|source| source.name.clone());
        let placeholders: BTreeMap<String, Secret> =
            names.map(|name| (name, Secret::new("placeholder".to_owned()))).collect();
        let tokens = TokenValues { live: placeholders.clone(), refresh: placeholders };
        Ok(self.context(&tokens, Utc::now()).render(request)?.shown(&self.0.session.redactor()))
    }

    /// The text with every secret and token of this account masked.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.0.session.redactor().text(text).into_owned()
    }

    /// Tokens, a slot of the budget and a permit, all valid at the same time.
    async fn admitted<A: Admission>(
        &self,
        request: &Request,
        admission: &A,
    ) -> Result<(LiveTokens, RequestSlot, A::Permit), Error> {
        loop {
            let live = self.live_tokens(request).await?;
            let queued = Instant::now();
            let (slot, permit) = self.0.budget.enter(admission).await;
            if queued.elapsed() < NOTABLE_WAIT || live.is_good(Instant::now()) || tokens_of(request).is_empty() {
                return Ok((live, slot, permit));
            }
        }
    }

    pub(crate) fn context<'a>(&'a self, tokens: &'a TokenValues, now: DateTime<Utc>) -> Context<'a> {
        let Inner { network, account, allow, settings, secrets, .. } = self.inner();
        Context { network, account, allow, secrets, settings, tokens, now }
    }

    pub(crate) fn wire<'a>(&'a self, redactor: &'a Redactor) -> Wire<'a> {
        let Inner { network, shared, allow, budget, .. } = self.inner();
        Wire { network, shared, allow, budget, redactor, max_body_bytes: shared.options.limits().max_bytes }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Whether both are clones of one client.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The headers that may be stored, and whether one of them was masked. A changed body isn't encoded
/// any more, and has another length.
fn headers_of(raw: &WireResponse, body: &CleanBody, redactor: &Redactor) -> (Vec<(String, String)>, bool) {
    let mut masked = false;
    let mut headers = Vec::with_capacity(raw.headers.len());
    for (name, value) in &raw.headers {
        let value = match name.as_str() {
            "content-encoding" if body.is_changed() => continue,
            // The length of a sample would hide that the body was cut.
            "content-length" if body.problem.is_some() => continue,
            "content-length" if body.masked => body.wire.len().to_string(),
            name => {
                let shown = redactor.header(name, value.as_bytes());
                masked |= shown != String::from_utf8_lossy(value.as_bytes());
                shown
            }
        };
        let is_secret = name.as_str().len() > MAX_HEADER_NAME_BYTES || redactor.finds_in_name(name.as_str());
        masked |= is_secret;
        headers.push((if is_secret { MASK } else { name.as_str() }.to_owned(), value));
    }
    (headers, masked)
}
