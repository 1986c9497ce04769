//! Work that was asked for over the HTTP API, and its outcome.
//!
//! A job lives in one process, which renews the job's heartbeat. One whose process has ended, or hasn't been heard of for
//! [`SILENT_MS`], is lost; the runs that it began are resumed as any others.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::State;
use crate::error::Error;
use crate::leases::ProcessIdentity;

/// How long after its last heartbeat a job counts as lost.
const SILENT_MS: i64 = 60_000;
/// How long jobs are kept.
const KEPT: TimeDelta = TimeDelta::days(30);

/// The outcome of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Others come first.
    Waiting,
    /// It is being done.
    Running,
    /// It ended without a failure, and nothing is held back.
    Done,
    /// It is done, and answers are held back.
    Doubtful,
    /// It failed, or a part of it.
    Failed,
    /// The process that did it ended before it was done.
    Lost,
}

impl JobState {
    const ENDS: [(Self, &str); 4] =
        [(Self::Done, "done"), (Self::Doubtful, "doubtful"), (Self::Failed, "failed"), (Self::Lost, "lost")];

    fn ended(name: &str) -> Option<Self> {
        Self::ENDS.into_iter().find(|(_, known)| *known == name).map(|(state, _)| state)
    }

    /// Its name in the store, for one in which a job has ended.
    fn name(self) -> Option<&'static str> {
        Self::ENDS.into_iter().find(|(known, _)| *known == self).map(|(_, name)| name)
    }
}

/// Work that a call of the API started, with what became known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Its id; ids rise with time.
    pub id: String,
    /// What is to be done.
    pub work: Value,
    /// The name of the token that asked for it.
    pub token: String,
    /// Its outcome.
    pub state: JobState,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The machine whose process does it.
    pub host: String,
    /// What the command would print.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<Value>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    /// Done, doubtful, failed or lost.
    pub state: JobState,
    /// What the command would print.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<Value>,
}

impl State {
    /// Notes a job of this process, which waits. Forgets those of long ago.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn add_job(&self, id: &str, work: &Value, token: &str) -> Result<(), Error> {
        let old = sqlx::query("DELETE FROM jobs WHERE created_at < $1").bind((Utc::now() - KEPT).to_rfc3339());
        self.database.execute(old).await?;
        let now = self.database.clock();
        let sql = format!(
            "INSERT INTO jobs (id, work, token, created_at, host, machine, process_id, process_start, heartbeat_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, {now})"
        );
        let process = ProcessIdentity::current();
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).bind(work.to_string()).bind(token);
        let query = query.bind(Utc::now().to_rfc3339()).bind(process.host).bind(process.machine);
        self.database.execute(query.bind(process.id).bind(process.start)).await?;
        Ok(())
    }

    /// Notes that a job begins.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_job_start(&self, id: &str) -> Result<(), Error> {
        let query = sqlx::query("UPDATE jobs SET started_at = $2 WHERE id = $1 AND ended_at IS NULL");
        self.database.execute(query.bind(id).bind(Utc::now().to_rfc3339())).await?;
        Ok(())
    }

    /// Renews the heartbeat of this process's jobs.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_job_heartbeat(&self) -> Result<(), Error> {
        let process = ProcessIdentity::current();
        let now = self.database.clock();
        let sql = format!(
            "UPDATE jobs SET heartbeat_ms = {now}
             WHERE ended_at IS NULL AND machine = $1 AND process_id = $2 AND process_start = $3"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        self.database.execute(query.bind(process.machine).bind(process.id).bind(process.start)).await?;
        Ok(())
    }

    /// Notes that this process's jobs are lost: it ends.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_jobs_lost(&self) -> Result<(), Error> {
        let process = ProcessIdentity::current();
        let query = sqlx::query(
            "UPDATE jobs SET ended_at = $4, outcome = 'lost'
             WHERE ended_at IS NULL AND machine = $1 AND process_id = $2 AND process_start = $3",
        );
        let query = query.bind(process.machine).bind(process.id).bind(process.start).bind(Utc::now().to_rfc3339());
        self.database.execute(query).await?;
        Ok(())
    }

    /// Notes how a job ended, unless that is noted.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_job_end(&self, id: &str, end: &JobEnd) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE jobs SET ended_at = $2, outcome = $3, result = $4, error = $5 WHERE id = $1 AND ended_at IS NULL",
        );
        let text = |value: &Option<Value>| value.as_ref().map(Value::to_string);
        let query = query.bind(id).bind(Utc::now().to_rfc3339()).bind(end.state.name());
        self.database.execute(query.bind(text(&end.result)).bind(text(&end.error))).await?;
        Ok(())
    }

    /// A job.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn job(&self, id: &str) -> Result<Option<Job>, Error> {
        let now = self.database.clock();
        let sql = format!("SELECT {COLUMNS}, {now} - heartbeat_ms FROM jobs WHERE id = $1");
        let row = self.database.fetch_optional(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id)).await?;
        row.as_ref().map(job).transpose()
    }

    /// Jobs, newest first, at most `most`.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn jobs(&self, most: u32) -> Result<Vec<Job>, Error> {
        let now = self.database.clock();
        let sql = format!("SELECT {COLUMNS}, {now} - heartbeat_ms FROM jobs ORDER BY id DESC LIMIT $1");
        let rows = self.database.fetch_all(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(most))).await?;
        rows.iter().map(job).collect()
    }
}

const COLUMNS: &str = "id, work, token, created_at, started_at, ended_at, host, machine, process_id, process_start, \
                       outcome, result, error";

/// A row of [`COLUMNS`] and the age of its heartbeat in milliseconds.
fn job(row: &AnyRow) -> Result<Job, Error> {
    let time = |at: usize| {
        let text: Option<String> = row.try_get(at)?;
        text.map(|text| text.parse::<DateTime<Utc>>().map_err(Error::value)).transpose()
    };
    let json = |at: usize| {
        let text: Option<String> = row.try_get(at)?;
        text.map(|text| serde_json::from_str::<Value>(&text).map_err(Error::value)).transpose()
    };
    let process = ProcessIdentity {
        host: row.try_get(6)?,
        machine: row.try_get(7)?,
        id: row.try_get(8)?,
        start: row.try_get(9)?,
    };
    let started_at = time(4)?;
    let outcome: Option<String> = row.try_get(10)?;
    let is_silent = row.try_get::<i64, _>(13)? > SILENT_MS || process.has_ended(&ProcessIdentity::current());
    let state = match outcome {
        Some(name) => JobState::ended(&name).ok_or_else(|| Error::Value(format!("`{name}` is no end of a job")))?,
        None if is_silent => JobState::Lost,
        None if started_at.is_some() => JobState::Running,
        None => JobState::Waiting,
    };
    Ok(Job {
        id: row.try_get(0)?,
        work: json(1)?.unwrap_or_default(),
        token: row.try_get(2)?,
        state,
        created_at: time(3)?.unwrap_or_default(),
        started_at,
        ended_at: time(5)?,
        host: process.host,
        result: json(11)?,
        error: json(12)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    async fn state_of(state: &State) -> JobState {
        state.job("a").await.unwrap().unwrap().state
    }

    #[tokio::test]
    async fn a_job_waits_runs_and_ends_once() {
        let state = State::open("sqlite::memory:").await.unwrap();
        state.add_job("a", &json!({"kind": "run"}), "ops").await.unwrap();
        assert_eq!(state_of(&state).await, JobState::Waiting);
        state.note_job_start("a").await.unwrap();
        assert_eq!(state_of(&state).await, JobState::Running);
        let end = |state| JobEnd { state, result: Some(json!([1])), error: None };
        state.note_job_end("a", &end(JobState::Doubtful)).await.unwrap();
        state.note_job_end("a", &end(JobState::Lost)).await.unwrap();
        let job = state.jobs(10).await.unwrap().remove(0);
        assert_eq!((job.state, job.result, job.work), (JobState::Doubtful, Some(json!([1])), json!({"kind": "run"})));
        assert_eq!(state.job("b").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_job_is_lost_with_its_process_or_its_heartbeat() {
        let state = State::open("sqlite::memory:").await.unwrap();
        state.add_job("a", &json!({}), "ops").await.unwrap();
        let age = |ms: i64| sqlx::query("UPDATE jobs SET heartbeat_ms = heartbeat_ms - $1").bind(ms);
        state.database.execute(age(SILENT_MS + 1)).await.unwrap();
        assert_eq!(state_of(&state).await, JobState::Lost, "nothing was heard of it");
        state.note_job_heartbeat().await.unwrap();
        assert_eq!(state_of(&state).await, JobState::Waiting, "it is there again");
        let other = sqlx::query("UPDATE jobs SET process_start = process_start + 1");
        state.database.execute(other).await.unwrap();
        let expected = if cfg!(target_os = "linux") { JobState::Lost } else { JobState::Waiting };
        assert_eq!(state_of(&state).await, expected, "another process has its number");
    }
}
