//! What people do with alarms: list, acknowledge, snooze.

use chrono::{DateTime, TimeDelta, Utc};
use sluice_lake::Lake;
use sluice_model::{Alarm, AlarmState};
use sluice_state::{AlarmChange, State};

use crate::app;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::settings::network::parse_duration_secs;

/// The alarms that are open or acknowledged, oldest first; `all`: those that were resolved too.
///
/// # Errors
/// The failure of the state store, or of the lake.
pub async fn list(settings: &Settings, all: bool) -> Result<Vec<Alarm>, Failure> {
    let mut alarms = State::open(&settings.state_url).await?.alarms().await?;
    alarms.retain(|alarm| alarm.state != AlarmState::Pending);
    if all {
        let mut recorded = app::open_lake(settings).await?.alarms().await?;
        recorded.retain(|alarm| alarm.state == AlarmState::Resolved);
        recorded.extend(alarms);
        alarms = recorded;
    }
    Ok(alarms)
}

/// Notes that somebody has taken notice: for a time like `4h`, or for as long as the fault lasts. `id`: the alarm's, or its
/// beginning.
///
/// # Errors
/// A usage failure for an alarm that isn't open, and for a time that is none; the state store's failure. The lake gets it later if it can't be written.
pub async fn acknowledge(settings: &Settings, id: &str, by: &str, snooze: Option<&str>) -> Result<Alarm, Failure> {
    let now = Utc::now();
    let until = snooze.map(|text| end_of(text, now)).transpose()?;
    let state = State::open(&settings.state_url).await?;
    let known = find(&state, id).await?;
    let alarm = Alarm {
        state: AlarmState::Acknowledged,
        acknowledged_at: Some(now),
        acknowledged_by: Some(by.to_owned()),
        snoozed_until: until,
        noted_at: now,
        ..known.clone()
    };
    let change = AlarmChange { before: Some(known.state), alarm, is_event: true };
    if !state.change_alarm(&change, &[]).await? {
        return Err(Failure::failed(anyhow::anyhow!("alarm {} changed meanwhile", known.alarm_id))
            .hint("`sluice alarms` shows how it stands"));
    }
    let recorded = match app::open_lake(settings).await {
        Ok(lake) => record(&state, &lake).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = recorded {
        tracing::warn!("the acknowledgement isn't in the lake yet: {}", failure.render(false));
    }
    Ok(change.alarm)
}

fn end_of(snooze: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    let secs = parse_duration_secs(snooze)
        .ok_or_else(|| Failure::usage(format!("`{snooze}` is no duration")).hint("write it like 4h or 1d"))?;
    Ok(now + TimeDelta::seconds(secs.into()))
}

async fn find(state: &State, id: &str) -> Result<Alarm, Failure> {
    beginning_with(state.alarms().await?, id)
}

fn beginning_with(mut alarms: Vec<Alarm>, id: &str) -> Result<Alarm, Failure> {
    alarms.retain(|alarm| alarm.state != AlarmState::Pending && !id.is_empty() && alarm.alarm_id.starts_with(id));
    match alarms.len() {
        1 => Ok(alarms.remove(0)),
        0 => Err(Failure::usage(format!("no open alarm has the id `{id}`")).hint("`sluice alarms` lists them")),
        number => Err(Failure::usage(format!("{number} open alarms have ids that begin with `{id}`"))
            .hint("write more of the id")),
    }
}

/// Appends to the lake what it doesn't have of alarms yet.
///
/// # Errors
/// The failure of the state store or the lake: then the next call has it.
pub(super) async fn record(state: &State, lake: &Lake) -> Result<(), Failure> {
    let events = state.alarm_events().await?;
    let alarms: Vec<Alarm> = events.iter().map(|(_, alarm)| alarm.clone()).collect();
    lake.append_alarms(&alarms).await?;
    Ok(state.forget_alarm_events(events.iter().map(|(id, _)| id.as_str())).await?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::alarms::fault::Fault;
    use crate::alarms::ledger::found;
    use crate::alarms::rule::Rule;
    use crate::settings::alarms::AlarmSettings;

    #[test]
    fn of_alarms_that_open_together_each_is_named_by_its_first_digits() {
        let fault = |account: &str| Fault::of(Rule::Stale, "awin", Some(account), None, "stale");
        let open = |account: &str| found(&fault(account), &AlarmSettings::default(), Utc::now()).alarm;
        let (uk, de) = (open("uk"), open("de"));
        let both = || vec![uk.clone(), de.clone()];
        assert_eq!(beginning_with(both(), &uk.alarm_id[..8]).unwrap(), uk);
        assert_eq!(beginning_with(both(), &de.alarm_id).unwrap(), de);
        let same = Alarm { alarm_id: format!("{}-other", &uk.alarm_id[..8]), ..de };
        let failure = beginning_with(vec![uk.clone(), same], &uk.alarm_id[..8]).unwrap_err();
        assert!(failure.render(false).contains("write more of the id"), "{failure:?}");
        assert!(beginning_with(vec![uk], "").is_err());
    }
}
