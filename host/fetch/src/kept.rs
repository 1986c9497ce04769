//! Signing in where a refresh token is at stake: claim → spend → keep → use.
//!
//! - A token is kept before it is used, and a claim is kept before one is spent, so that of many processes one spends
//!   it and the others wait for what it gets.
//! - The answer that brings a new one is waited for by a task that nobody cancels, and kept at once, again and again
//!   if the store fails; until then nothing uses it.
//! - A process that dies between the answer and that leaves its claim behind. The next one tries the old refresh
//!   token, which the network may still take, then signs in anew; if both are refused, the error says since when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::{Op, Secret};
use tokio::time::Instant;

use crate::account_client::AccountClient;
use crate::error::Error;
use crate::fetcher::fingerprint;
use crate::keep::{Claim, Record, SealKey, TokenKey, TokenStore, TokenStoreError};
use crate::session::{SignIn, State};
use crate::token::Granted;

/// How often a claim of another process is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Tries to keep a new token before the request that wanted it fails.
const TRIES: u32 = 5;

/// The kept record of one sign-in.
struct Place<'a> {
    keeper: &'a dyn TokenStore,
    key: &'a SealKey,
    name: TokenKey,
    /// A digest of the secrets that the sign-in is made with.
    made_with: String,
}

impl AccountClient {
    /// Fills the state from the kept record if another process has signed in, else by a sign-in that is kept.
    pub(crate) async fn sign_in_kept(
        &self,
        sign_in: &SignIn,
        state: &mut State,
        keeper: &dyn TokenStore,
        key: &SealKey,
    ) -> Result<(), Error> {
        let inner = self.inner();
        let name = TokenKey {
            network: inner.network.clone(),
            account: inner.account.clone(),
            sign_in: sign_in.name().to_owned(),
        };
        let place = Place { keeper, key, name, made_with: self.made_with(sign_in) };
        if state.unsaved {
            self.keep_granted(sign_in, state, &place).await?;
            if state.is_live(Instant::now()) {
                return Ok(());
            }
        }
        let Some(doubtful_since) = self.claim(sign_in, state, &place).await? else { return Ok(()) };
        match self.grant_claimed(sign_in, state, &place, doubtful_since).await {
            Ok(granted) => {
                self.keep(state, granted);
                self.keep_granted(sign_in, state, &place).await
            }
            Err(error) => {
                // The network may have answered what never came.
                let unsure = error.is_retryable() && !matches!(error, Error::Connect { .. } | Error::SignIn { .. });
                let doubtful_since = doubtful_since.or(unsure.then(Utc::now));
                let record = place.record(state, None, doubtful_since);
                if self.save(sign_in, &place, state.version, &record).await.is_ok_and(|saved| saved) {
                    state.version += 1;
                }
                Err(with_doubt(error, doubtful_since))
            }
        }
    }

    /// Claims the refresh token: outer none if the kept record makes that needless, inner the moment since when it
    /// may already be spent.
    async fn claim(
        &self,
        sign_in: &SignIn,
        state: &mut State,
        place: &Place<'_>,
    ) -> Result<Option<Option<DateTime<Utc>>>, Error> {
        loop {
            let (version, record) = self.load(sign_in, place).await?;
            let record = record.filter(|record| record.made_with == place.made_with);
            if version != state.version {
                // Someone else has signed in, or this process has just begun.
                self.adopt(state, record.as_ref(), version);
            }
            if state.is_live(Instant::now()) {
                return Ok(None);
            }
            let mut doubtful_since = record.as_ref().and_then(|record| record.doubtful_since);
            let others = record.as_ref().and_then(|record| record.claim.as_ref());
            if let Some(claim) = others.filter(|claim| claim.by != self.inner().shared.process) {
                if Utc::now().signed_duration_since(claim.since) < self.lease() {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                doubtful_since = doubtful_since.or(Some(claim.since));
                tracing::warn!(
                    network = place.name.network, account = place.name.account, since = %claim.since,
                    "a process was cut off while it signed in"
                );
            }
            if self.save(sign_in, place, version, &self.claimed(state, place, doubtful_since)).await? {
                state.version = version + 1;
                return Ok(Some(doubtful_since));
            }
        }
    }

    /// Spends, and renews the claim meanwhile.
    async fn grant_claimed(
        &self,
        sign_in: &SignIn,
        state: &mut State,
        place: &Place<'_>,
        doubtful_since: Option<DateTime<Utc>>,
    ) -> Result<Granted, Error> {
        let beat = self.inner().shared.options.claim_lease / 3;
        let mut grant = std::pin::pin!(self.grant(sign_in, state.refresh.clone()));
        loop {
            match tokio::time::timeout(beat, &mut grant).await {
                Ok(outcome) => return outcome,
                Err(_) => {
                    let record = self.claimed(state, place, doubtful_since);
                    if self.save(sign_in, place, state.version, &record).await.is_ok_and(|saved| saved) {
                        state.version += 1;
                    }
                }
            }
        }
    }

    /// Keeps what was granted, over whatever is kept: it is the newest that the network has given.
    async fn keep_granted(&self, sign_in: &SignIn, state: &mut State, place: &Place<'_>) -> Result<(), Error> {
        state.unsaved = true;
        let record = place.record(state, None, None);
        let mut attempt = 0;
        loop {
            let outcome = match self.save(sign_in, place, state.version, &record).await {
                Ok(true) => {
                    state.version += 1;
                    state.unsaved = false;
                    return Ok(());
                }
                Ok(false) => self.version(sign_in, place).await.map(|version| state.version = version),
                Err(error) => Err(error),
            };
            attempt += 1;
            match outcome {
                Err(error) if attempt == TRIES => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20 << attempt)).await,
                Ok(()) => {}
            }
        }
    }

    /// Takes over what another process has got.
    fn adopt(&self, state: &mut State, record: Option<&Record>, version: i64) {
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

    fn claimed(&self, state: &State, place: &Place<'_>, doubtful_since: Option<DateTime<Utc>>) -> Record {
        let claim = Claim { by: self.inner().shared.process.clone(), since: Utc::now() };
        place.record(state, Some(claim), doubtful_since)
    }

    /// A digest of where and with which secrets the sign-in is made. A kept record that was made with others is void:
    /// the operator has given new ones.
    fn made_with(&self, sign_in: &SignIn) -> String {
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

    fn lease(&self) -> TimeDelta {
        TimeDelta::from_std(self.inner().shared.options.claim_lease).unwrap_or_default()
    }

    async fn version(&self, sign_in: &SignIn, place: &Place<'_>) -> Result<i64, Error> {
        let kept = place.keeper.load(&place.name).await.map_err(|error| self.keeper_error(sign_in, "read", error))?;
        Ok(kept.map_or(0, |kept| kept.version))
    }

    async fn load(&self, sign_in: &SignIn, place: &Place<'_>) -> Result<(i64, Option<Record>), Error> {
        let kept = place.keeper.load(&place.name).await.map_err(|error| self.keeper_error(sign_in, "read", error))?;
        let Some(kept) = kept else { return Ok((0, None)) };
        // To sign in with what the operator once gave could show the network a token that is long spent, which some
        // answer by revoking all of them.
        let record = place.key.open(&place.name, &kept.sealed).ok_or_else(|| Error::Sealed {
            network: place.name.network.clone(),
            account: place.name.account.clone(),
            token: place.name.sign_in.clone(),
        })?;
        Ok((kept.version, Some(record)))
    }

    async fn save(&self, sign_in: &SignIn, place: &Place<'_>, seen: i64, record: &Record) -> Result<bool, Error> {
        let sealed = place
            .key
            .seal(&place.name, record)
            .ok_or_else(|| self.keeper_error(sign_in, "keep", "they can't be sealed"))?;
        let saved = place.keeper.save(&place.name, seen, &sealed).await;
        saved.map_err(|error| self.keeper_error(sign_in, "keep", error))
    }

    pub(crate) fn keeper_error(
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

impl Place<'_> {
    /// The state as it is kept.
    fn record(&self, state: &State, claim: Option<Claim>, doubtful_since: Option<DateTime<Utc>>) -> Record {
        let texts = |of: &BTreeMap<String, Secret>| -> BTreeMap<String, String> {
            of.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
        };
        let moment = |at: Instant| {
            let now = Instant::now();
            let distance = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
            let (ahead, behind) = (at.saturating_duration_since(now), now.saturating_duration_since(at));
            let utc = Utc::now();
            utc.checked_add_signed(distance(ahead))
                .and_then(|utc| utc.checked_sub_signed(distance(behind)))
                .unwrap_or(utc)
        };
        Record {
            made_with: self.made_with.clone(),
            values: texts(&state.values),
            refresh: texts(&state.refresh),
            issued_at: state.issued.map(moment),
            good_until: state.good_until.map(moment),
            claim,
            doubtful_since,
        }
    }
}

/// A refusal that may be due to a token that was lost says so.
fn with_doubt(mut error: Error, doubtful_since: Option<DateTime<Utc>>) -> Error {
    if let (Error::Credentials { reason, .. }, Some(since)) = (&mut error, doubtful_since) {
        reason.push_str(&format!(
            "; a sign-in was cut off at {} before its answer was kept, so the network may have replaced the refresh \
             token: get a new one from it",
            since.format("%Y-%m-%d %H:%M:%S UTC")
        ));
    }
    error
}
