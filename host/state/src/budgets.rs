//! Rate budgets: requests of a credential, granted in batches to all processes that share the store.
//!
//! What processes ask for at once is answered in one transaction, and a process whose lease has gone gets nothing: what it
//! was about is another's by now, and would be requested twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sluice_fetch::{Grant, GrantError, GrantRequest, RateGrants};
use sqlx::Row;
use tokio::sync::oneshot;

use crate::State;
use crate::database::{Database, Statements};
use crate::error::Error;
use crate::leases::LeaseStore;

/// The most grants that are remembered one by one.
const MOST_ENTRIES: usize = 64;
/// How long after its last grant has ended a budget is forgotten.
const KEPT_MS: i64 = 86_400_000;
/// The shortest time after which it is of use to ask again.
const SHORTEST_WAIT_MS: i64 = 10;

/// Who grants requests to the processes of a state store.
pub fn rate_grants(state: &State) -> Arc<dyn RateGrants> {
    let (database, leases) = (state.database.clone(), state.leases.clone());
    Arc::new(Budgets(Arc::new(Queue {
        database,
        leases,
        waiting: Mutex::default(),
        answering: tokio::sync::Mutex::default(),
    })))
}

struct Budgets(Arc<Queue>);

/// Requests that wait to be granted.
struct Queue {
    database: Database,
    leases: LeaseStore,
    waiting: Mutex<Vec<(GrantRequest, Reply)>>,
    /// Held by who answers those that wait.
    answering: tokio::sync::Mutex<()>,
}

type Reply = oneshot::Sender<Result<Grant, GrantError>>;

impl RateGrants for Budgets {
    fn grant(&self, request: GrantRequest) -> BoxFuture<'_, Result<Grant, GrantError>> {
        let (reply, answer) = oneshot::channel();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((request, reply));
        let queue = self.0.clone();
        // Whoever comes first asks for all; not even a caller that is cancelled takes the others with it.
        tokio::spawn(async move { queue.answer_waiting().await });
        async move { answer.await.unwrap_or_else(|error| Err(error.into())) }.boxed()
    }
}

impl Queue {
    async fn answer_waiting(&self) {
        let _answering = self.answering.lock().await;
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return;
        }
        let (requests, replies): (Vec<GrantRequest>, Vec<Reply>) = waiting.into_iter().unzip();
        let granted = self.grant_all(&requests).await;
        for (place, reply) in replies.into_iter().enumerate() {
            let own = match &granted {
                Ok(grants) => grants.get(place).copied().ok_or_else(|| GrantError::from("nothing was granted")),
                Err(error) => Err(GrantError::from(sluice_model::describe(error))),
            };
            // Who was cancelled doesn't wait.
            let _ = reply.send(own);
        }
    }

    async fn grant_all(&self, requests: &[GrantRequest]) -> Result<Vec<Grant>, Error> {
        let lease = self.leases.last_lease().await;
        let (resource, token) =
            lease.map(|lease| (lease.resource().to_owned(), lease.token().to_owned())).unwrap_or_default();
        let mut statements = self.database.begin("budgets").await?;
        let clock = self.database.clock();
        let query = format!(
            "SELECT {clock}, (SELECT count(*) FROM leases WHERE resource = $1 AND holder = $2 AND expires_at > {clock})"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(&resource).bind(&token);
        let row = statements.fetch_optional(query).await?.ok_or(sqlx::Error::RowNotFound)?;
        let (now, holds): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if holds == 0 && !resource.is_empty() {
            return Err(Error::Value(format!("the lease {resource} isn't held any more")));
        }
        let mut grants = Vec::with_capacity(requests.len());
        for request in requests {
            let known = Budget::read(&mut statements, &request.credential).await?;
            if known.is_none() {
                // Each new one gives way to those that aren't used any more.
                let forget = sqlx::query("DELETE FROM budgets WHERE ends_at > 0 AND ends_at < $1").bind(now - KEPT_MS);
                statements.execute(forget).await?;
            }
            let mut budget = known.unwrap_or_default();
            grants.push(budget.grant(request, now));
            budget.write(&mut statements, &request.credential).await?;
        }
        statements.commit().await?;
        Ok(grants)
    }
}

/// What was granted of a credential and still counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Budget {
    /// Until when it counts, milliseconds since 1970, and how many requests.
    grants: Vec<(i64, u32)>,
    /// Until when the network wants no request.
    paused_until: i64,
    /// When it was used last.
    noted_at: i64,
}

impl Budget {
    async fn read(statements: &mut Statements, credential: &str) -> Result<Option<Self>, Error> {
        let query = sqlx::query("SELECT grants, paused_until, noted_at FROM budgets WHERE credential = $1");
        let Some(row) = statements.fetch_optional(query.bind(credential.to_owned())).await? else {
            return Ok(None);
        };
        let grants: String = row.try_get(0)?;
        let grants = serde_json::from_str(&grants).map_err(Error::value)?;
        Ok(Some(Self { grants, paused_until: row.try_get(1)?, noted_at: row.try_get(2)? }))
    }

    async fn write(&self, statements: &mut Statements, credential: &str) -> Result<(), Error> {
        let query = sqlx::query(
            "INSERT INTO budgets (credential, grants, paused_until, ends_at, noted_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (credential) DO UPDATE SET grants = excluded.grants, paused_until = excluded.paused_until,
                 ends_at = excluded.ends_at, noted_at = excluded.noted_at",
        );
        let grants = serde_json::to_string(&self.grants).map_err(Error::value)?;
        let query = query.bind(credential.to_owned()).bind(grants).bind(self.paused_until);
        statements.execute(query.bind(self.ends_at()).bind(self.noted_at)).await?;
        Ok(())
    }

    /// When nothing of it counts any more.
    fn ends_at(&self) -> i64 {
        self.grants.iter().map(|(until, _)| *until).max().unwrap_or_default().max(self.paused_until)
    }

    /// Follows a clock that went back since the last use: what counts does so for as long as it would have then.
    fn follow_clock(&mut self, now: i64) {
        let back = self.noted_at - now;
        if back > 0 {
            self.grants.iter_mut().for_each(|(until, _)| *until -= back);
            self.paused_until -= back;
        }
        self.noted_at = now;
    }

    /// Grants as many requests as the rate allows at `now`.
    fn grant(&mut self, request: &GrantRequest, now: i64) -> Grant {
        self.follow_clock(now);
        self.paused_until = self.paused_until.max(now.saturating_add(millis(request.pause)));
        self.grants.retain(|(until, _)| *until > now);
        let counted = self.grants.iter().fold(0_u32, |sum, (_, requests)| sum.saturating_add(*requests));
        let requests = request.rate.requests.saturating_sub(counted).min(request.most);
        let first_end = self.grants.iter().map(|(until, _)| *until).min();
        let free_at =
            if self.paused_until > now { Some(self.paused_until) } else { first_end.filter(|_| requests == 0) };
        if let Some(free_at) = free_at {
            let wait = Duration::from_millis((free_at - now).max(SHORTEST_WAIT_MS).unsigned_abs());
            return Grant { requests: 0, wait };
        }
        self.grants.push((now + millis(request.counted_for()), requests));
        if self.grants.len() > MOST_ENTRIES {
            self.merge();
        }
        Grant { requests, wait: Duration::ZERO }
    }

    /// Merges pairs of grants: the earlier ones count as long as the later ones.
    fn merge(&mut self) {
        self.grants.sort_unstable();
        self.grants = self
            .grants
            .chunks(2)
            .map(|pair| pair.iter().fold((0, 0), |(until, sum), (end, requests)| (until.max(*end), sum + requests)))
            .collect();
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use sluice_model::Rate;

    use super::*;
    use crate::database::tests::two_stores;

    fn request(rate: Rate, most: u32) -> GrantRequest {
        let valid_for = Duration::from_millis(500);
        GrantRequest { credential: "awin/1f".to_owned(), rate, most, valid_for, pause: Duration::ZERO }
    }

    const RATE: Rate = Rate { requests: 20, per_secs: 60, concurrency: 4 };

    #[tokio::test]
    async fn processes_share_a_credential() {
        let (_folder, here, there) = two_stores().await;
        let (here, there) = (rate_grants(&here), rate_grants(&there));
        let mut granted = 0;
        for place in 0..10 {
            let of = if place % 2 == 0 { &here } else { &there };
            granted += of.grant(request(RATE, 3)).await.unwrap().requests;
        }
        assert_eq!(granted, 20);
        let refused = there.grant(request(RATE, 1)).await.unwrap();
        assert!(refused.requests == 0 && refused.wait > Duration::from_secs(50), "{refused:?}");
        let other = GrantRequest { credential: "awin/2f".to_owned(), ..request(RATE, 1) };
        assert_eq!(there.grant(other.clone()).await.unwrap().requests, 1, "another credential has its own");
        let paused = GrantRequest { pause: Duration::from_secs(9), ..other.clone() };
        assert_eq!(here.grant(paused).await.unwrap().requests, 0);
        let wait = there.grant(other).await.unwrap().wait;
        assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(9), "a pause holds for all: {wait:?}");
    }

    #[tokio::test]
    async fn what_is_asked_at_once_is_answered_together() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let grants = rate_grants(&state);
        let answers = futures::future::join_all((0..30).map(|_| grants.grant(request(RATE, 1)))).await;
        assert_eq!(answers.into_iter().map(|grant| grant.unwrap().requests).sum::<u32>(), 20);
    }

    #[tokio::test]
    async fn a_process_that_lost_its_lease_is_granted_nothing() {
        let (_folder, here, there) = two_stores().await;
        let grants = rate_grants(&here);
        let claim = here.claim("awin", &[]).await.unwrap();
        assert_eq!(grants.grant(request(RATE, 1)).await.unwrap().requests, 1);
        there.database.execute(sqlx::query("UPDATE leases SET holder = 'another'")).await.unwrap();
        let error = grants.grant(request(RATE, 1)).await.unwrap_err();
        assert!(error.to_string().contains("isn't held any more"), "{error}");
        drop(claim);
    }

    #[test]
    fn what_a_clock_that_was_ahead_has_noted_counts_no_longer_than_it_would_have() {
        let year = 365 * 86_400_000;
        let mut budget = Budget::default();
        assert_eq!(budget.grant(&request(RATE, 20), year).requests, 20);
        let wait = budget.grant(&request(RATE, 1), year + 10_000).wait;
        // The clock is put back by a year.
        assert_eq!(budget.grant(&request(RATE, 1), 0), Grant { requests: 0, wait });
        let paused = GrantRequest { pause: Duration::from_secs(600), ..request(RATE, 1) };
        assert_eq!(budget.grant(&paused, year).requests, 0);
        assert_eq!(budget.grant(&request(RATE, 1), 0).wait, Duration::from_secs(600));
        assert_eq!(budget.grant(&request(RATE, 1), 600_001).requests, 1);
    }

    #[tokio::test]
    async fn a_credential_that_is_not_used_any_more_is_forgotten() {
        let state = State::open("sqlite::memory:").await.unwrap();
        let grants = rate_grants(&state);
        let count = async || {
            let row = state.database.fetch_one(sqlx::query("SELECT count(*) FROM budgets")).await.unwrap();
            row.try_get::<i64, _>(0).unwrap()
        };
        for credential in ["awin/1f", "awin/2f"] {
            grants.grant(GrantRequest { credential: credential.to_owned(), ..request(RATE, 1) }).await.unwrap();
        }
        assert_eq!(count().await, 2);
        let age = sqlx::query("UPDATE budgets SET ends_at = ends_at - 90000000 WHERE credential = 'awin/1f'");
        state.database.execute(age).await.unwrap();
        grants.grant(GrantRequest { credential: "awin/3f".to_owned(), ..request(RATE, 1) }).await.unwrap();
        assert_eq!(count().await, 2, "a new one takes its place");
    }

    proptest! {
        /// Processes ask at random moments, and send what they were granted at random moments of its validity.
        #[test]
        fn no_window_holds_more_than_the_rate_whoever_sends(
            limit in 1_u32..9,
            asks in proptest::collection::vec((0_i64..700, 1_u32..5, 50_u64..900, 0_u64..1_000), 1..200),
        ) {
            let rate = Rate { requests: limit, per_secs: 2, concurrency: 1 };
            let (mut budget, mut now, mut sent) = (Budget::default(), 1_000_000_i64, Vec::new());
            for (gap, most, valid_ms, part) in asks {
                now += gap;
                let asked = GrantRequest { valid_for: Duration::from_millis(valid_ms), ..request(rate, most) };
                let at = now + i64::try_from(valid_ms * part / 1_000).unwrap();
                sent.extend((0..budget.grant(&asked, now).requests).map(|_| at));
            }
            sent.sort_unstable();
            let counted = limit as usize + 1;
            prop_assert!(sent.windows(counted).all(|window| window[counted - 1] - window[0] >= 2_000), "{sent:?}");
        }
    }

    #[test]
    fn many_small_grants_are_merged_and_count_for_longer() {
        let rate = Rate { requests: 1_000, per_secs: 3_600, concurrency: 1 };
        let mut budget = Budget::default();
        let granted: u32 = (0..2_000).map(|at| budget.grant(&request(rate, 1), at).requests).sum();
        assert_eq!(granted, 1_000);
        assert!(budget.grants.len() <= MOST_ENTRIES + 1);
    }
}
