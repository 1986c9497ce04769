//! How far other systems have got the lake's changes, and when one is tried again that failed.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::State;
use crate::error::Error;

/// A receiver of the change feed, or a published database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlet {
    /// `feed/<receiver>` or `publish/<database>`.
    pub name: String,
    /// Where a feed goes on; empty for its beginning, none before it was decided.
    pub cursor: Option<String>,
    /// Attempts since the last that succeeded.
    pub attempts: u32,
}

impl State {
    /// All outlets that were ever tried, by name.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn outlets(&self) -> Result<Vec<Outlet>, Error> {
        let query = sqlx::query("SELECT outlet, cursor, attempts FROM outlets ORDER BY outlet");
        self.database.fetch_all(query).await?.iter().map(outlet).collect()
    }

    /// Claims an outlet for one attempt, and gives it as it was before: nobody else tries it for this time. None while
    /// another process does, or until it is due again.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn claim_outlet(&self, name: &str, time: Duration) -> Result<Option<Outlet>, Error> {
        let clock = self.database.clock();
        let upsert = format!(
            "INSERT INTO outlets (outlet, cursor, attempts, due_at) VALUES ($1, NULL, 1, {clock} + $2)
             ON CONFLICT (outlet) DO UPDATE SET attempts = outlets.attempts + 1, due_at = excluded.due_at
             WHERE outlets.due_at <= {clock} RETURNING outlet, cursor, attempts"
        );
        let query = sqlx::query(AssertSqlSafe(upsert)).bind(name.to_owned()).bind(millis(time));
        let row = self.database.execute_returning(query).await?;
        let claimed = row.as_ref().map(outlet).transpose()?;
        Ok(claimed.map(|claimed| Outlet { attempts: claimed.attempts.saturating_sub(1), ..claimed }))
    }

    /// Notes that an attempt succeeded, and lets go of the claim. False if the outlet isn't where it was claimed: another
    /// process took it over meanwhile.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn advance_outlet(&self, claimed: &Outlet, cursor: Option<&str>) -> Result<bool, Error> {
        let query = sqlx::query(
            "UPDATE outlets SET cursor = $2, attempts = 0, due_at = 0
             WHERE outlet = $1 AND (cursor = $3 OR (cursor IS NULL AND $3 IS NULL))",
        );
        let query = query.bind(claimed.name.clone()).bind(cursor.map(str::to_owned)).bind(claimed.cursor.clone());
        Ok(self.database.execute(query).await? == 1)
    }

    /// Lets go of the claim of an attempt that failed: the next is due after a pause.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn delay_outlet(&self, name: &str, pause: Duration) -> Result<(), Error> {
        let update = format!("UPDATE outlets SET due_at = {} + $2 WHERE outlet = $1", self.database.clock());
        let query = sqlx::query(AssertSqlSafe(update)).bind(name.to_owned()).bind(millis(pause));
        self.database.execute(query).await?;
        Ok(())
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn outlet(row: &AnyRow) -> Result<Outlet, Error> {
    let attempts: i64 = row.try_get(2)?;
    Ok(Outlet { name: row.try_get(0)?, cursor: row.try_get(1)?, attempts: u32::try_from(attempts).unwrap_or(u32::MAX) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::database::tests::two_stores;

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn one_process_at_a_time_goes_on_where_the_last_got() {
        let (_folder, here, there) = two_stores().await;
        let claimed = here.claim_outlet("feed/shop", LONG).await.unwrap().unwrap();
        assert_eq!((claimed.cursor.as_deref(), claimed.attempts), (None, 0));
        assert_eq!(there.claim_outlet("feed/shop", LONG).await.unwrap(), None, "it is claimed");
        assert!(there.claim_outlet("feed/other", LONG).await.unwrap().is_some(), "others aren't");
        assert!(here.advance_outlet(&claimed, Some("3.0.t")).await.unwrap());
        let next = there.claim_outlet("feed/shop", Duration::ZERO).await.unwrap().unwrap();
        assert_eq!((next.cursor.as_deref(), next.attempts), (Some("3.0.t"), 0));
        // Its claim has run out, and another takes over.
        let taken_over = here.claim_outlet("feed/shop", LONG).await.unwrap().unwrap();
        assert!(here.advance_outlet(&taken_over, Some("4.0.t")).await.unwrap());
        assert!(!there.advance_outlet(&next, Some("3.5.t")).await.unwrap(), "it never goes back");
        assert_eq!(here.outlets().await.unwrap()[1].cursor.as_deref(), Some("4.0.t"));
    }

    #[tokio::test]
    async fn attempts_are_counted_until_one_succeeds() {
        let (_folder, here, there) = two_stores().await;
        for attempts in 0..3 {
            let claimed = here.claim_outlet("publish/reporting", LONG).await.unwrap().unwrap();
            assert_eq!(claimed.attempts, attempts);
            here.delay_outlet("publish/reporting", Duration::ZERO).await.unwrap();
        }
        assert_eq!(there.outlets().await.unwrap()[0].attempts, 3);
        let claimed = there.claim_outlet("publish/reporting", LONG).await.unwrap().unwrap();
        assert!(there.advance_outlet(&claimed, None).await.unwrap());
        assert_eq!(here.outlets().await.unwrap()[0].attempts, 0);
        let claimed = here.claim_outlet("publish/reporting", LONG).await.unwrap().unwrap();
        here.delay_outlet(&claimed.name, LONG).await.unwrap();
        assert_eq!(there.claim_outlet("publish/reporting", LONG).await.unwrap(), None, "it isn't due");
    }
}
