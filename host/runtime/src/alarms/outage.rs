//! The state store keeps alarms, so while it fails its own alarm is kept in memory: sent from there, and noted once the store
//! answers again.

use chrono::{DateTime, Utc};
use sluice_model::{Alarm, AlarmState};
use sluice_state::{AlarmChange, AlarmMessage, State, host};

use super::fault::Fault;
use super::rule::Rule;
use super::{ledger, messages, outbox};
use crate::failure::Failure;
use crate::schedule::has_come;
use crate::settings::Settings;

/// Whether the state store fails, as evaluations find it.
#[derive(Default)]
pub(super) struct StateOutage {
    since: Option<DateTime<Utc>>,
    /// Its alarm, once it has lasted long enough.
    alarm: Option<Alarm>,
    /// Messages that no receiver has accepted yet.
    unsent: Vec<AlarmMessage>,
}

impl StateOutage {
    /// Whether it fails.
    pub(super) fn is_there(&self) -> bool {
        self.since.is_some()
    }

    /// An evaluation failed.
    pub(super) async fn lasts(&mut self, settings: &Settings, failure: &Failure) {
        let now = Utc::now();
        let since = *self.since.get_or_insert(now);
        let alarms = &settings.alarms;
        if self.alarm.is_none()
            && alarms.holds(Rule::State)
            && (now - since >= alarms.delay(Rule::State) || !has_come(since, now))
        {
            let opened = opened(&fault(failure), settings, since);
            tracing::error!(rule = "state", state = "open", "alarm: {}", opened.alarm.summary);
            self.unsent = messages(settings, &opened, now);
            self.alarm = Some(opened.alarm);
        }
        self.unsent = outbox::send_unkept(settings, std::mem::take(&mut self.unsent)).await;
    }

    /// An evaluation succeeded.
    pub(super) async fn ended(&mut self, state: &State, settings: &Settings) {
        self.since = None;
        let Some(alarm) = self.alarm.take() else { return };
        let unnotified: Vec<String> =
            std::mem::take(&mut self.unsent).into_iter().map(|message| message.receiver).collect();
        let over = ledger::resolved(&alarm, Utc::now());
        let mut ending = messages(settings, &over, Utc::now());
        ending.retain(|message| !unnotified.contains(&message.receiver));
        let opening = AlarmChange { before: None, alarm, is_event: true };
        for (change, messages) in [(opening, Vec::new()), (over, ending)] {
            if let Err(error) = state.change_alarm(&change, &messages).await {
                tracing::warn!("the alarm of the state store isn't noted: {}", sluice_model::describe(&error));
            }
        }
        tracing::info!(rule = "state", state = "resolved", "alarm: the state store answers again");
    }
}

fn opened(fault: &Fault, settings: &Settings, since: DateTime<Utc>) -> AlarmChange {
    let found = ledger::found(fault, &settings.alarms, since);
    AlarmChange { alarm: Alarm { state: AlarmState::Open, ..found.alarm }, before: None, is_event: true }
}

fn fault(failure: &Failure) -> Fault {
    let host = host();
    let advice = failure.hint.clone().unwrap_or_else(|| "check [state] url in sluice.toml and its server".to_owned());
    Fault::new(Rule::State, host.clone(), format!("{host}: the state store fails: {}", failure.error))
        .on(&host)
        .evidence([failure.render(false)])
        .advice(advice)
}
