//! One account's client, with the secrets that it has now: allow → auth → pace → send → redact.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::RETRY_AFTER;
use sluice_model::{Request, Secret, SentRequest};
use tokio::time::Instant;

use crate::allow::Allow;
use crate::body::{Opened, Raw, open};
use crate::clock::network_time;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::fetcher::{Access, Shared};
use crate::pace::{Admission, Budget, Place};
use crate::redact::Redactor;
use crate::render::{Context, tokens_of};
use crate::retry::retry_after;
use crate::session::{Session, check_cycles};
use crate::template::TokenValues;
use crate::token::Live;
use crate::wire::Wire;

/// Tokens are looked at again after a wait for the budget that was longer than this.
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
    /// `budget`: that of the client before this one, if only the secrets have changed.
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
        let _turn = if rotates { Some(inner.session.turn.lock().await) } else { None };
        let (live, place, permit) = self.admitted(request, admission).await?;
        let sent_at = Utc::now();
        let rendered = self.context(&live.values, sent_at).render(request)?;
        let redactor = inner.session.redactor();
        admission.sent();
        let raw = self.wire(&redactor).exchange(&rendered, &[]).await?;
        drop(place);
        let received_at = Utc::now();
        if rotates {
            self.rotate(&live, &raw).await;
        }
        // Anew: this very answer may have brought a value to mask.
        let redactor = inner.session.redactor();
        let opened = open(&raw, inner.shared.options.limits(), &redactor).await;
        let (headers, header_masked) = headers_of(&raw, &opened, &redactor);
        tracing::debug!(
            network = %inner.network, account = %inner.account, request = %request.key, status = raw.status,
            wire_bytes = opened.wire.len(), body_bytes = opened.body.len(), "answered"
        );
        let stale = |live: &Live| live.used.iter().find(|used| used.issued < started).map(|used| used.token.clone());
        let exchange = Exchange {
            sent: rendered.shown(&redactor),
            sent_at,
            received_at,
            network_time: network_time(&raw.headers),
            status: raw.status,
            headers,
            retry_after: retry_after_of(&raw, received_at),
            token_expired: stale(&live).filter(|_| raw.status == 401),
            wire: opened.wire,
            body: opened.body,
            masked: opened.masked || header_masked,
            problem: opened.problem,
            used: live.used,
        };
        Ok((exchange, permit))
    }

    /// Forgets the token that `after` used, so that the next send signs in anew. Does nothing if someone else has
    /// done so since: of twenty requests that fail together, one renews.
    pub(crate) async fn renew(&self, token: &str, after: &Exchange) {
        let Some(sign_in) = self.0.session.sign_ins.iter().find(|sign_in| sign_in.gives(token)) else { return };
        let mut state = sign_in.state.lock().await;
        let used = after.used.iter().find(|used| used.token == token);
        if used.is_none_or(|used| used.generation == state.generation) {
            state.forget();
        }
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

    /// Tokens, a place in the budget and a permit, all good at once.
    async fn admitted<A: Admission>(
        &self,
        request: &Request,
        admission: &A,
    ) -> Result<(Live, Place, A::Permit), Error> {
        loop {
            let live = self.live_tokens(request).await?;
            let asked = Instant::now();
            let (place, permit) = self.0.budget.enter(admission).await;
            if asked.elapsed() < NOTABLE_WAIT || live.is_good(Instant::now()) || tokens_of(request).is_empty() {
                return Ok((live, place, permit));
            }
        }
    }

    pub(crate) fn context<'a>(&'a self, tokens: &'a TokenValues, now: DateTime<Utc>) -> Context<'a> {
        let Inner { network, account, allow, settings, secrets, .. } = self.inner();
        Context { network, account, allow, secrets, settings, tokens, now }
    }

    pub(crate) fn wire<'a>(&'a self, redactor: &'a Redactor) -> Wire<'a> {
        let Inner { network, shared, allow, budget, .. } = self.inner();
        Wire { network, shared, allow, budget, redactor }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Whether both are the same client, and not only alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The headers that may be kept, and whether one of them held a secret that isn't there by its name. What is kept
/// unpacked must not be called packed.
fn headers_of(raw: &Raw, opened: &Opened, redactor: &Redactor) -> (Vec<(String, String)>, bool) {
    let mut masked = false;
    let headers = raw
        .headers
        .iter()
        .filter(|(name, _)| !(opened.is_other() && matches!(name.as_str(), "content-encoding" | "content-length")))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            masked |= redactor.finds(&value);
            (name.as_str().to_owned(), redactor.header(name.as_str(), &value))
        })
        .collect();
    (headers, masked)
}

fn retry_after_of(raw: &Raw, now: DateTime<Utc>) -> Option<Duration> {
    raw.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|value| retry_after(value, now))
}
