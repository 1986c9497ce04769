//! Checks of the operator's own: `checks/*.sql` beside the networks, each a query that must return no row.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sluice_model::Severity;
use sluice_query::Session;
use sluice_state::State;

use super::fault::{Fault, Findings};
use super::rule::Rule;
use crate::failure::Failure;
use crate::own_command::own_command;
use crate::schedule::has_come;
use crate::settings::Settings;
use crate::settings::alarms::CheckSettings;
use crate::settings::file::read_settings;
use crate::timetable::Schedule;

/// Rows that are shown.
const SHOWN_ROWS: usize = 5;
/// Rows at which a check stops counting.
const MAX_ROWS: usize = 100;

/// An operator's query, from `checks/*.sql`, that must return no row.
#[derive(Clone, Debug)]
pub struct Check {
    /// The name of its file, without `.sql`.
    pub name: String,
    /// What its first comments say of it.
    pub about: String,
    /// When it runs; after runs without it.
    pub schedule: Option<Schedule>,
    /// How soon a person is needed.
    pub severity: Option<Severity>,
    /// The query.
    pub sql: String,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check's name.
    pub check: String,
    /// What the first comments of the check's file say.
    pub about: String,
    /// How many rows it returned, up to 100; none must be there.
    pub rows: usize,
    /// The first of them.
    pub first_rows: Vec<Value>,
    /// Why it couldn't be run.
    pub error: Option<String>,
}

impl CheckResult {
    /// One that couldn't be run.
    pub fn failed(name: &str, error: impl Into<String>) -> Self {
        let (check, about, first_rows) = (name.to_owned(), String::new(), Vec::new());
        Self { check, about, rows: 0, first_rows, error: Some(error.into()) }
    }

    /// Whether all is well.
    pub fn passes(&self) -> bool {
        self.rows == 0 && self.error.is_none()
    }

    /// The result in one line, for people.
    pub fn line(&self) -> String {
        match (&self.error, self.rows) {
            (Some(error), _) => format!("check `{}` can't be run: {error}", self.check),
            (None, 0) => format!("check `{}` passes", self.check),
            (None, MAX_ROWS..) => format!("check `{}` fails: {MAX_ROWS} rows or more", self.check),
            (None, rows) => format!("check `{}` fails: {}", self.check, crate::text::count(rows as u64, "row")),
        }
    }
}

/// All checks by name, those that can't be read with the reason.
///
/// # Errors
/// A folder that is there and can't be read.
pub fn load_all(settings: &Settings) -> Result<Vec<(String, Result<Check, Failure>)>, Failure> {
    let folder = settings.checks_dir();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::settings(format!("cannot read the checks folder {}: {error}", folder.display())));
        }
    };
    let mut checks = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let of = settings.alarms.checks.get(&name).cloned().unwrap_or_default();
            let check = load(&path, &name, &of);
            checks.push((name, check));
        }
    }
    checks.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(checks)
}

fn load(path: &Path, name: &str, of: &CheckSettings) -> Result<Check, Failure> {
    let wrong = |reason: String| Failure::settings(format!("check `{name}`: {reason}"));
    let text = read_settings(path).map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))?;
    parse(name, &text, of).map_err(wrong)
}

/// A check from its text. Comments at its beginning say what it is about, and `cron:`, `timezone:` and `severity:`.
fn parse(name: &str, text: &str, of: &CheckSettings) -> Result<Check, String> {
    let mut about = Vec::new();
    let (mut cron, mut zone, mut severity) = (of.cron.clone(), of.timezone, of.severity);
    let comments = text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with("--"));
    for comment in comments.map(|line| line.trim_start_matches('-').trim()) {
        match comment.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("cron", value)) => cron = cron.or_else(|| Some(value.to_owned())),
            Some(("timezone", value)) => {
                let named = value.parse::<Tz>().map_err(|_| format!("`{value}` is no time zone"))?;
                zone = zone.or(Some(named));
            }
            Some(("severity", value)) => {
                let named = Severity::from_name(value).ok_or_else(|| format!("`{value}` is no severity"))?;
                severity = severity.or(Some(named));
            }
            _ if comment.is_empty() => {}
            _ => about.push(comment),
        }
    }
    let schedule = cron.map(|cron| {
        Schedule::in_zone(&cron, zone.unwrap_or(Tz::UTC)).map_err(|reason| format!("cron \"{cron}\": {reason}"))
    });
    let (name, sql) = (name.to_owned(), text.trim().trim_end_matches(';').to_owned());
    Ok(Check { name, about: about.join(" "), schedule: schedule.transpose()?, severity, sql })
}

/// Runs a check in this process. What is wrong with it is in the result.
pub async fn run(session: &Session, check: &Check) -> CheckResult {
    match rows(session, &check.sql).await {
        Ok((rows, first_rows)) => {
            CheckResult { check: check.name.clone(), about: check.about.clone(), rows, first_rows, error: None }
        }
        Err(failure) => {
            CheckResult { about: check.about.clone(), ..CheckResult::failed(&check.name, reason(&failure)) }
        }
    }
}

/// Why a check can't be run, with what to do.
fn reason(failure: &Failure) -> String {
    let text = failure.render(false);
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

async fn rows(session: &Session, sql: &str) -> Result<(usize, Vec<Value>), Failure> {
    let mut result = session.query(sql).await?;
    let (mut rows, mut shown) = (0, Vec::new());
    while let Some(batch) = result.try_next().await? {
        for row in 0..batch.num_rows().min(SHOWN_ROWS.saturating_sub(shown.len())) {
            shown.push(row_json(&batch, row)?);
        }
        rows += batch.num_rows();
        if rows >= MAX_ROWS {
            break;
        }
    }
    Ok((rows.min(MAX_ROWS), shown))
}

/// A row as an object of texts.
fn row_json(batch: &RecordBatch, row: usize) -> Result<Value, Failure> {
    let options = FormatOptions::default();
    let mut object = Map::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let value = if column.is_null(row) {
            Value::Null
        } else {
            let formatter = ArrayFormatter::try_new(column, &options).map_err(Failure::failed)?;
            formatter.value(row).to_string().into()
        };
        object.insert(field.name().clone(), value);
    }
    Ok(Value::Object(object))
}

/// Runs a check as a process of its own: `sluice checks NAME`. A query that takes too much ends that.
async fn run_apart(settings: &Settings, name: &str) -> CheckResult {
    let most = settings.limits.process_time();
    let output = async { own_command(&settings.path, ["checks", "--", name])?.output().await };
    let output = match tokio::time::timeout(most, output).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return CheckResult::failed(name, format!("its process doesn't start: {error}")),
        Err(_) => return CheckResult::failed(name, format!("it took longer than {} s", most.as_secs())),
    };
    let results: Vec<CheckResult> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    results.into_iter().next().unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        let error = last.as_ref().and_then(|line| line["error"].as_str()).unwrap_or("its process gave no result");
        CheckResult::failed(name, error)
    })
}

/// Runs the checks that are due: those without a schedule after runs, the others when theirs names a moment.
///
/// # Errors
/// The state store's failure.
pub(super) async fn find(
    state: &State,
    settings: &Settings,
    has_run: bool,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let checks = match load_all(settings) {
        Ok(checks) => checks,
        Err(failure) => {
            tracing::warn!("checks aren't run: {}", failure.render(false));
            return Ok(());
        }
    };
    let times = state.schedule_times("").await?;
    let existing: BTreeSet<String> = checks.iter().map(|(name, _)| name.clone()).collect();
    let mut judged = BTreeSet::new();
    let mut faults = Vec::new();
    for (name, check) in checks {
        let (result, severity) = match check {
            Err(failure) => (CheckResult::failed(&name, failure.error.to_string()), None),
            Ok(check) => {
                let entry = format!("check/{name}");
                let noted_at = times.read_at(&entry, None);
                let is_due = match &check.schedule {
                    Some(schedule) => schedule.is_due(now, noted_at.filter(|at| has_come(*at, now))),
                    None => has_run,
                };
                if !is_due {
                    continue;
                }
                if check.schedule.is_some() && !state.note_happened(&entry, noted_at, now).await? {
                    // Another process runs it.
                    continue;
                }
                (run_apart(settings, &name).await, check.severity)
            }
        };
        faults.extend(fault(&result, severity));
        judged.insert(name);
    }
    // A check whose file is gone is over.
    let covers =
        move |alarm: &sluice_model::Alarm| judged.contains(&alarm.subject) || !existing.contains(&alarm.subject);
    findings.add(Rule::Check, covers, faults);
    Ok(())
}

fn fault(result: &CheckResult, severity: Option<Severity>) -> Option<Fault> {
    if result.passes() {
        return None;
    }
    let name = &result.check;
    let about = (!result.about.is_empty()).then(|| result.about.clone());
    let rows = result.first_rows.iter().map(Value::to_string);
    let advice = match &result.error {
        Some(_) => format!("correct checks/{name}.sql, and test it: sluice checks {name}"),
        None => format!("mend what the rows show; `sluice checks {name}` runs it again"),
    };
    let fault = Fault::new(Rule::Check, name.clone(), result.line().lines().next().unwrap_or_default());
    let error = result.error.clone();
    Some(Fault { severity, ..fault }.evidence(about.into_iter().chain(rows).chain(error)).advice(advice))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn comments_say_when_a_check_runs_and_the_settings_overrule_them() {
        let text = "-- No sale without a commission.\n-- cron: 0 6 * * *\n-- timezone: Europe/Berlin\n\
                    -- severity: critical\nSELECT 1 -- cron: no\n;";
        let check = parse("sales", text, &CheckSettings::default()).unwrap();
        assert_eq!(check.about, "No sale without a commission.");
        assert_eq!(check.schedule.unwrap().describe(), "0 6 * * * Europe/Berlin");
        assert_eq!(check.severity, Some(Severity::Critical));
        assert!(check.sql.ends_with("SELECT 1 -- cron: no\n"), "{}", check.sql);
        let of = CheckSettings { cron: Some("0 7 * * *".to_owned()), timezone: Some(Tz::UTC), severity: None };
        assert_eq!(parse("sales", text, &of).unwrap().schedule.unwrap().describe(), "0 7 * * *");
        assert!(parse("sales", "SELECT 1", &CheckSettings::default()).unwrap().schedule.is_none());
        for wrong in ["-- cron: never\nSELECT 1", "-- timezone: Mars\nSELECT 1", "-- severity: loud\nSELECT 1"] {
            assert!(parse("sales", wrong, &CheckSettings::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_check_that_returns_rows_or_can_not_be_run_is_a_fault() {
        let passed = CheckResult { error: None, ..CheckResult::failed("sales", "") };
        assert_eq!(fault(&passed, None), None);
        let failing = CheckResult { rows: 2, first_rows: vec![serde_json::json!({"id": "1"})], ..passed };
        let found = fault(&failing, Some(Severity::Critical)).unwrap();
        assert_eq!(
            (found.summary.as_str(), found.evidence.as_str()),
            ("check `sales` fails: 2 rows", "{\"id\":\"1\"}")
        );
        assert_eq!(found.severity, Some(Severity::Critical));
        let wrong = fault(&CheckResult::failed("sales", "no table `x`"), None).unwrap();
        assert_eq!(wrong.summary, "check `sales` can't be run: no table `x`");
    }
}
