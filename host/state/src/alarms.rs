//! Alarms that aren't resolved, what the lake doesn't know of them yet, and messages that weren't delivered yet.
//!
//! A change of an alarm, its event for the lake and its messages are one transaction: a process that dies loses none of
//! them, and of several processes that find the same fault one opens its alarm.

use chrono::{DateTime, Utc};
use sluice_model::{Alarm, AlarmState};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::State;
use crate::database::Query;
use crate::error::Error;

/// A step of an alarm from one state to another, or to other words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmChange {
    /// The state that it had; none for one that is new.
    pub before: Option<AlarmState>,
    /// What it is now.
    pub alarm: Alarm,
    /// Whether it is noted in the lake. What is only worded otherwise isn't.
    pub is_event: bool,
}

/// A message to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmMessage {
    /// Names it; the same at each attempt.
    pub message_id: String,
    /// The alarm that it is about.
    pub alarm_id: String,
    /// The receiver's name in the settings.
    pub receiver: String,
    /// `alarm.opened` or `alarm.resolved`.
    pub event: String,
    /// The alarm as it was then.
    pub alarm: Alarm,
    /// Attempts to deliver it so far.
    pub attempts: u32,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// When it is sent.
    pub due_at: DateTime<Utc>,
}

impl State {
    /// Alarms that aren't resolved, oldest first; pending ones too.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, Error> {
        let rows = self.database.fetch_all(sqlx::query("SELECT content FROM alarms")).await?;
        let mut alarms = rows.iter().map(alarm).collect::<Result<Vec<Alarm>, Error>>()?;
        // Those of one look open at one moment; their ids say nothing.
        alarms.sort_by(|a, b| (a.opened_at, &a.rule, &a.subject).cmp(&(b.opened_at, &b.rule, &b.subject)));
        Ok(alarms)
    }

    /// Changes an alarm, with its event for the lake and its messages. Messages that it is resolved are left out for
    /// receivers that weren't notified of it yet, and these aren't notified any more. False, and nothing is done, if another
    /// process has changed it meanwhile.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn change_alarm(&self, change: &AlarmChange, messages: &[AlarmMessage]) -> Result<bool, Error> {
        let AlarmChange { before, alarm, is_event } = change;
        let content = serde_json::to_string(alarm).map_err(Error::value)?;
        let mut further = Vec::new();
        if *is_event {
            let insert = sqlx::query("INSERT INTO alarm_events (event_id, content) VALUES ($1, $2)");
            further.push(insert.bind(uuid::Uuid::now_v7().to_string()).bind(content.clone()));
        }
        for message in messages {
            further.push(insert_message(message)?);
        }
        let is_over = alarm.state == AlarmState::Resolved;
        if is_over {
            let delete = "DELETE FROM alarm_messages WHERE alarm_id = $1 AND event = 'alarm.opened' AND attempts = 0";
            further.push(sqlx::query(delete).bind(alarm.alarm_id.clone()));
        }
        let first = match before {
            None => sqlx::query(
                "INSERT INTO alarms (alarm_id, state, content, rule, subject) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (rule, subject) DO NOTHING",
            )
            .bind(alarm.alarm_id.clone())
            .bind(alarm.state.name())
            .bind(content)
            .bind(alarm.rule.clone())
            .bind(alarm.subject.clone()),
            Some(before) if is_over => sqlx::query("DELETE FROM alarms WHERE alarm_id = $1 AND state = $2")
                .bind(alarm.alarm_id.clone())
                .bind(before.name()),
            Some(before) => {
                sqlx::query("UPDATE alarms SET state = $2, content = $3 WHERE alarm_id = $1 AND state = $4")
                    .bind(alarm.alarm_id.clone())
                    .bind(alarm.state.name())
                    .bind(content)
                    .bind(before.name())
            }
        };
        Ok(self.database.execute_all(first, further).await?)
    }

    /// Changes of alarms that the lake doesn't have yet, with their ids, oldest first.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn alarm_events(&self) -> Result<Vec<(String, Alarm)>, Error> {
        let query = sqlx::query("SELECT content, event_id FROM alarm_events ORDER BY event_id");
        let rows = self.database.fetch_all(query).await?;
        rows.iter().map(|row| Ok((row.try_get(1)?, alarm(row)?))).collect()
    }

    /// Forgets changes that the lake has.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_alarm_events(&self, ids: impl IntoIterator<Item = &str> + Send) -> Result<(), Error> {
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        for id in ids {
            self.database.execute(sqlx::query("DELETE FROM alarm_events WHERE event_id = $1").bind(id)).await?;
        }
        Ok(())
    }

    /// Messages that aren't delivered, oldest first.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn alarm_messages(&self) -> Result<Vec<AlarmMessage>, Error> {
        let query = sqlx::query(
            "SELECT content, message_id, alarm_id, receiver, event, attempts, made_at, due_at FROM alarm_messages
             ORDER BY message_id",
        );
        let rows = self.database.fetch_all(query).await?;
        let at = |row: &AnyRow, column: usize| -> Result<DateTime<Utc>, Error> {
            Ok(DateTime::from_timestamp_millis(row.try_get(column)?).unwrap_or_default())
        };
        let message = |row: &AnyRow| -> Result<AlarmMessage, Error> {
            Ok(AlarmMessage {
                message_id: row.try_get(1)?,
                alarm_id: row.try_get(2)?,
                receiver: row.try_get(3)?,
                event: row.try_get(4)?,
                alarm: alarm(row)?,
                attempts: u32::try_from(row.try_get::<i64, _>(5)?).unwrap_or(u32::MAX),
                made_at: at(row, 6)?,
                due_at: at(row, 7)?,
            })
        };
        rows.iter().map(message).collect()
    }

    /// Claims a message for one attempt: nobody else sends it before `again_at`. False if another process did.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn claim_alarm_message(&self, message: &AlarmMessage, again_at: DateTime<Utc>) -> Result<bool, Error> {
        let query = sqlx::query(
            "UPDATE alarm_messages SET attempts = attempts + 1, due_at = $2 WHERE message_id = $1 AND attempts = $3",
        );
        let query = query.bind(message.message_id.clone()).bind(again_at.timestamp_millis());
        Ok(self.database.execute(query.bind(i64::from(message.attempts))).await? == 1)
    }

    /// Sends a message again at a moment.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn delay_alarm_message(&self, message_id: &str, due_at: DateTime<Utc>) -> Result<(), Error> {
        let query = sqlx::query("UPDATE alarm_messages SET due_at = $2 WHERE message_id = $1").bind(message_id);
        self.database.execute(query.bind(due_at.timestamp_millis())).await?;
        Ok(())
    }

    /// Forgets a message that was delivered, or that is given up.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_alarm_message(&self, message_id: &str) -> Result<(), Error> {
        let query = sqlx::query("DELETE FROM alarm_messages WHERE message_id = $1").bind(message_id);
        self.database.execute(query).await?;
        Ok(())
    }
}

fn insert_message(message: &AlarmMessage) -> Result<Query<'static>, Error> {
    let query = sqlx::query(
        "INSERT INTO alarm_messages (message_id, alarm_id, receiver, event, content, attempts, made_at, due_at)
         SELECT $1, $2, $3, $4, $5, 0, $6, $7
         WHERE $4 <> 'alarm.resolved' OR NOT EXISTS (
             SELECT 1 FROM alarm_messages
             WHERE alarm_id = $2 AND receiver = $3 AND event = 'alarm.opened' AND attempts = 0)",
    );
    let content = serde_json::to_string(&message.alarm).map_err(Error::value)?;
    let query = query.bind(message.message_id.clone()).bind(message.alarm_id.clone()).bind(message.receiver.clone());
    let query = query.bind(message.event.clone()).bind(content);
    Ok(query.bind(message.made_at.timestamp_millis()).bind(message.due_at.timestamp_millis()))
}

/// The alarm in a row's first column.
fn alarm(row: &AnyRow) -> Result<Alarm, Error> {
    serde_json::from_str(&row.try_get::<String, _>(0)?).map_err(Error::value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::TimeDelta;
    use sluice_model::Severity;

    use super::*;
    use crate::database::tests::two_stores;

    fn opened() -> Alarm {
        let at = "2026-01-05T10:00:00Z".parse().unwrap();
        Alarm {
            alarm_id: uuid::Uuid::now_v7().to_string(),
            rule: "gap".to_owned(),
            subject: "awin/uk".to_owned(),
            network: Some("awin".to_owned()),
            account: Some("uk".to_owned()),
            stream: None,
            host: None,
            severity: Severity::Warning,
            state: AlarmState::Open,
            summary: "a window is missing".to_owned(),
            evidence: String::new(),
            advice: "read it".to_owned(),
            opened_at: at,
            acknowledged_at: None,
            acknowledged_by: None,
            snoozed_until: None,
            resolved_at: None,
            noted_at: at,
        }
    }

    fn message(alarm: &Alarm, event: &str) -> AlarmMessage {
        AlarmMessage {
            message_id: uuid::Uuid::now_v7().to_string(),
            alarm_id: alarm.alarm_id.clone(),
            receiver: "ops".to_owned(),
            event: event.to_owned(),
            alarm: alarm.clone(),
            attempts: 0,
            made_at: alarm.noted_at,
            due_at: alarm.noted_at,
        }
    }

    fn resolved(alarm: &Alarm) -> AlarmChange {
        let alarm = Alarm { state: AlarmState::Resolved, resolved_at: Some(alarm.noted_at), ..alarm.clone() };
        AlarmChange { before: Some(AlarmState::Open), alarm, is_event: true }
    }

    #[tokio::test]
    async fn of_two_that_find_a_fault_one_opens_its_alarm() {
        let (_folder, here, there) = two_stores().await;
        let open = |alarm: Alarm| AlarmChange { before: None, alarm, is_event: true };
        let (first, second) = (opened(), opened());
        assert!(here.change_alarm(&open(first.clone()), &[message(&first, "alarm.opened")]).await.unwrap());
        assert!(!there.change_alarm(&open(second.clone()), &[message(&second, "alarm.opened")]).await.unwrap());
        assert_eq!(there.alarms().await.unwrap(), std::slice::from_ref(&first));
        assert_eq!(there.alarm_messages().await.unwrap().len(), 1);
        let events = there.alarm_events().await.unwrap();
        assert_eq!(events.iter().map(|(_, alarm)| alarm).collect::<Vec<_>>(), [&first]);
        there.forget_alarm_events(events.iter().map(|(id, _)| id.as_str())).await.unwrap();
        assert!(here.alarm_events().await.unwrap().is_empty());
        assert!(here.change_alarm(&resolved(&first), &[]).await.unwrap());
        assert!(!there.change_alarm(&resolved(&first), &[]).await.unwrap(), "it is resolved once");
        assert!(there.change_alarm(&open(second), &[]).await.unwrap(), "the fault may come back");
    }

    #[tokio::test]
    async fn a_receiver_that_was_not_notified_is_not_notified_of_the_end() {
        let state = State::open("sqlite::memory:").await.unwrap();
        for was_attempted in [false, true] {
            let alarm = opened();
            let opening = message(&alarm, "alarm.opened");
            let change = AlarmChange { before: None, alarm: alarm.clone(), is_event: true };
            state.change_alarm(&change, std::slice::from_ref(&opening)).await.unwrap();
            if was_attempted {
                let again_at = opening.due_at + TimeDelta::minutes(1);
                assert!(state.claim_alarm_message(&opening, again_at).await.unwrap());
                assert!(!state.claim_alarm_message(&opening, again_at).await.unwrap(), "one sends it at a time");
            }
            state.change_alarm(&resolved(&alarm), &[message(&alarm, "alarm.resolved")]).await.unwrap();
            let left = state.alarm_messages().await.unwrap();
            let events: Vec<&str> = left.iter().map(|message| message.event.as_str()).collect();
            let expected: &[&str] = if was_attempted { &["alarm.opened", "alarm.resolved"] } else { &[] };
            assert_eq!(events, expected);
            for message in left {
                state.forget_alarm_message(&message.message_id).await.unwrap();
            }
        }
    }
}
