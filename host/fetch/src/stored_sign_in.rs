//! Sign-ins whose refresh token is stored: claim → sign in → store → use.
//!
//! - Tokens are stored before they are used, and a claim is stored before a refresh token is used: of many processes one
//!   uses it and the others wait for its result.
//! - The sign-in runs in a task that isn't cancelled with the request. Its result is stored at once, with further
//!   attempts if the store fails; until it is stored nothing uses it.
//! - A process that dies between the response and the store leaves its claim behind. The next one tries the old refresh
//!   token, which the network may still accept, then a full sign-in; if both are rejected, the error names the moment since
//!   when the token may be lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{Op, Secret};
use tokio::time::Instant;

use crate::account_client::AccountClient;
use crate::error::Error;
use crate::fetcher::fingerprint;
use crate::seal::{Claim, SealKey, TokenRecord};
use crate::session::{SignIn, TokenState};
use crate::token::Granted;
use crate::token_store::{StoredToken, TokenKey, TokenStore, TokenStoreError};

/// How often the claim of another process is read.
const CLAIM_POLL: Duration = Duration::from_millis(200);
/// Attempts to store new tokens before the request that needs them fails.
const STORE_ATTEMPTS: u32 = 5;

struct RecordSlot<'a> {
    client: &'a AccountClient,
    sign_in: &'a SignIn,
    store: &'a dyn TokenStore,
    seal: &'a SealKey,
    key: TokenKey,
    /// A digest of the secrets that the sign-in uses.
    secrets_digest: String,
}

/// The outcome of claiming a refresh token.
enum ClaimOutcome {
    /// Another process has signed in: the state is live.
    Live,
    /// This process may sign in.
    Claimed {
        /// Since when the network may have replaced the refresh token.
        maybe_replaced_since: Option<DateTime<Utc>>,
    },
}

impl AccountClient {
    /// Fills the state from the stored record if another process has signed in, else by a sign-in that is stored.
    pub(crate) async fn sign_in_stored(
        &self,
        sign_in: &SignIn,
        state: &mut TokenState,
        store: &dyn TokenStore,
        seal: &SealKey,
    ) -> Result<(), Error> {
        let key = TokenKey {
            network: self.inner().network.clone(),
            account: self.inner().account.clone(),
            sign_in: sign_in.name().to_owned(),
        };
        let slot = RecordSlot { client: self, sign_in, store, seal, key, secrets_digest: self.secrets_digest(sign_in) };
        if state.unsaved {
            slot.store_granted(state).await?;
            if state.is_live(Instant::now()) {
                return Ok(());
            }
        }
        let ClaimOutcome::Claimed { maybe_replaced_since } = slot.claim(state).await? else { return Ok(()) };
        match slot.grant_claimed(state, maybe_replaced_since).await {
            Ok(granted) => {
                self.accept(state, granted);
                slot.store_granted(state).await
            }
            Err(error) => {
                // A response that was lost may have replaced the refresh token.
                let is_unsure = error.is_retryable() && !matches!(error, Error::Connect { .. } | Error::SignIn { .. });
                let maybe_replaced_since = maybe_replaced_since.or(is_unsure.then(Utc::now));
                let record = slot.record(state, None, maybe_replaced_since);
                slot.save_next(state, &record).await;
                Err(with_lost_token(error, maybe_replaced_since))
            }
        }
    }

    /// Replaces the state by what another process has stored.
    fn adopt(&self, state: &mut TokenState, record: Option<&TokenRecord>, version: i64) {
        state.forget();
        state.refresh.clear();
        state.version = version;
        let Some(record) = record else { return };
        let secrets = |of: &BTreeMap<String, String>| -> BTreeMap<String, Secret> {
            of.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect()
        };
        state.refresh = secrets(&record.refresh);
        state.values = secrets(&record.values);
        state.generation += 1;
        let known = state.values.iter().chain(&state.refresh);
        self.inner().session.learn(known.map(|(name, value)| (name.as_str(), value.clone())));
        let now = Instant::now();
        let since = |moment: DateTime<Utc>| (Utc::now() - moment).to_std().unwrap_or_default();
        state.issued = record.issued_at.map(|at| now.checked_sub(since(at)).unwrap_or(now));
        state.good_until = record.good_until.map(|until| now + (until - Utc::now()).to_std().unwrap_or_default());
    }

    /// A digest of the sign-in's origin and secrets. A stored record with another digest is void: the operator has
    /// replaced the secrets.
    fn secrets_digest(&self, sign_in: &SignIn) -> String {
        let request = sign_in.sources.first().map(|source| &source.request);
        let templates = request.iter().flat_map(|request| {
            let headers = request.headers.iter().map(|(_, template)| template);
            std::iter::once(&request.url).chain(headers).chain(&request.body)
        });
        let slots = templates.flatten().filter_map(|op| match op {
            Op::Secret(slot) => Some(slot),
            _ => None,
        });
        let secrets = slots.filter_map(|slot| Some((slot, self.inner().secrets.get(slot)?)));
        let parts = secrets.flat_map(|(slot, secret)| [slot.as_bytes(), secret.expose().as_bytes()]);
        hex::encode(fingerprint(std::iter::once(self.inner().allow.base().as_bytes()).chain(parts)))
    }

    pub(crate) fn store_error(
        &self,
        sign_in: &SignIn,
        doing: &'static str,
        source: impl Into<TokenStoreError>,
    ) -> Error {
        Error::TokenStore {
            network: self.inner().network.clone(),
            account: self.inner().account.clone(),
            token: sign_in.name().to_owned(),
            doing,
            source: Arc::from(source.into()),
        }
    }
}

impl RecordSlot<'_> {
    /// Claims the refresh token, unless the stored record makes that needless. Waits while another process has a claim
    /// that isn't expired.
    async fn claim(&self, state: &mut TokenState) -> Result<ClaimOutcome, Error> {
        let process = &self.client.inner().shared.process;
        loop {
            let (version, record) = self.load().await?;
            let record = record.filter(|record| record.secrets_digest == self.secrets_digest);
            if version != state.version {
                // Another process has signed in, or this one has just started.
                self.client.adopt(state, record.as_ref(), version);
            }
            if state.is_live(Instant::now()) {
                return Ok(ClaimOutcome::Live);
            }
            let mut maybe_replaced_since = record.as_ref().and_then(|record| record.maybe_replaced_since);
            let claim = record.as_ref().and_then(|record| record.claim.as_ref());
            if let Some(claim) = claim.filter(|claim| claim.by != *process) {
                if Utc::now().signed_duration_since(claim.since) < self.lease() {
                    tokio::time::sleep(CLAIM_POLL).await;
                    continue;
                }
                maybe_replaced_since = maybe_replaced_since.or(Some(claim.since));
                tracing::warn!(
                    network = self.key.network, account = self.key.account, since = %claim.since,
                    "a process was interrupted while it signed in"
                );
            }
            if self.save(version, &self.claimed(state, maybe_replaced_since)).await? {
                state.version = version + 1;
                return Ok(ClaimOutcome::Claimed { maybe_replaced_since });
            }
        }
    }

    /// Signs in, and renews the claim meanwhile.
    async fn grant_claimed(
        &self,
        state: &mut TokenState,
        maybe_replaced_since: Option<DateTime<Utc>>,
    ) -> Result<Granted, Error> {
        let renewal = self.client.inner().shared.options.claim_lease / 3;
        let mut grant = std::pin::pin!(self.client.grant(self.sign_in, state.refresh.clone()));
        loop {
            match tokio::time::timeout(renewal, &mut grant).await {
                Ok(outcome) => return outcome,
                Err(_) => {
                    let record = self.claimed(state, maybe_replaced_since);
                    self.save_next(state, &record).await;
                }
            }
        }
    }

    /// Stores what was granted over any other version: it is the newest that the network has issued.
    async fn store_granted(&self, state: &mut TokenState) -> Result<(), Error> {
        state.unsaved = true;
        let record = self.record(state, None, None);
        let mut attempt = 0;
        loop {
            let outcome = match self.save(state.version, &record).await {
                Ok(true) => {
                    state.version += 1;
                    state.unsaved = false;
                    return Ok(());
                }
                Ok(false) => self.stored().await.map(|stored| state.version = stored.map_or(0, |it| it.version)),
                Err(error) => Err(error),
            };
            attempt += 1;
            match outcome {
                Err(error) if attempt == STORE_ATTEMPTS => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20 << attempt)).await,
                Ok(()) => {}
            }
        }
    }

    fn claimed(&self, state: &TokenState, maybe_replaced_since: Option<DateTime<Utc>>) -> TokenRecord {
        let claim = Claim { by: self.client.inner().shared.process.clone(), since: Utc::now() };
        self.record(state, Some(claim), maybe_replaced_since)
    }

    /// The state as it is stored.
    fn record(
        &self,
        state: &TokenState,
        claim: Option<Claim>,
        maybe_replaced_since: Option<DateTime<Utc>>,
    ) -> TokenRecord {
        let texts = |of: &BTreeMap<String, Secret>| -> BTreeMap<String, String> {
            of.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
        };
        TokenRecord {
            secrets_digest: self.secrets_digest.clone(),
            values: texts(&state.values),
            refresh: texts(&state.refresh),
            issued_at: state.issued.map(utc),
            good_until: state.good_until.map(utc),
            claim,
            maybe_replaced_since,
        }
    }

    fn lease(&self) -> TimeDelta {
        TimeDelta::from_std(self.client.inner().shared.options.claim_lease).unwrap_or_default()
    }

    async fn stored(&self) -> Result<Option<StoredToken>, Error> {
        self.store.load(&self.key).await.map_err(|error| self.client.store_error(self.sign_in, "read", error))
    }

    /// The stored version and record; version 0 without one.
    async fn load(&self) -> Result<(i64, Option<TokenRecord>), Error> {
        let Some(stored) = self.stored().await? else { return Ok((0, None)) };
        // A sign-in with the operator's first refresh token could show the network one that was used long ago, to which
        // some react by revoking all of them.
        let record = self.seal.open(&self.key, &stored.sealed).ok_or_else(|| Error::Sealed {
            network: self.key.network.clone(),
            account: self.key.account.clone(),
            token: self.key.sign_in.clone(),
        })?;
        Ok((stored.version, Some(record)))
    }

    async fn save(&self, seen: i64, record: &TokenRecord) -> Result<bool, Error> {
        let failed = |source: TokenStoreError| self.client.store_error(self.sign_in, "store", source);
        let sealed = self.seal.seal(&self.key, record).ok_or_else(|| failed("they can't be sealed".into()))?;
        self.store.save(&self.key, seen, &sealed).await.map_err(failed)
    }

    /// Saves a record as the next version if that is possible: claims and their end aren't worth a failure.
    async fn save_next(&self, state: &mut TokenState, record: &TokenRecord) {
        if self.save(state.version, record).await.is_ok_and(|saved| saved) {
            state.version += 1;
        }
    }
}

/// A moment of the monotonic clock by the wall clock.
fn utc(at: Instant) -> DateTime<Utc> {
    let (now, utc) = (Instant::now(), Utc::now());
    let delta = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
    let (ahead, behind) = (at.saturating_duration_since(now), now.saturating_duration_since(at));
    utc.checked_add_signed(delta(ahead)).and_then(|at| at.checked_sub_signed(delta(behind))).unwrap_or(utc)
}

/// Adds to a rejection that the refresh token may have been lost.
fn with_lost_token(mut error: Error, maybe_replaced_since: Option<DateTime<Utc>>) -> Error {
    if let (Error::Credentials { reason, .. }, Some(since)) = (&mut error, maybe_replaced_since) {
        reason.push_str(&format!(
            "; a sign-in was interrupted at {} before its response was stored, so the network may have replaced the \
             refresh token: get a new one from it",
            since.format("%Y-%m-%d %H:%M:%S UTC")
        ));
    }
    error
}
