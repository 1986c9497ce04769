//! Alarms as people read them.

use std::borrow::Cow;

use sluice_model::{Alarm, AlarmState};

use super::outbox::RESOLVED;

/// One line: what happened, and how soon a person is needed.
pub fn subject(event: &str, alarm: &Alarm) -> String {
    let what = if event == RESOLVED { "resolved" } else { alarm.severity.name() };
    let line: String = alarm.summary.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    format!("[sluice] {what}: {line}")
}

/// The whole alarm in plain text.
pub fn plain(event: &str, alarm: &Alarm) -> String {
    let mut text = format!("{}\n", alarm.summary);
    if event == RESOLVED {
        text.push_str("This is over.\n");
    }
    if !alarm.evidence.is_empty() {
        text.push_str(&format!("\n{}\n", alarm.evidence));
    }
    if event != RESOLVED {
        text.push_str(&format!(
            "\nWhat to do: {}\nTo acknowledge it: sluice alarms ack {}\n",
            alarm.advice, alarm.alarm_id
        ));
    }
    let Alarm { rule, subject, opened_at, .. } = alarm;
    text.push_str(&format!("\nrule {rule} of {subject}, since {}\n", opened_at.format("%F %T UTC")));
    text
}

/// The same as Slack formats it.
pub fn slack(event: &str, alarm: &Alarm) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let Alarm { summary, evidence, advice, .. } = alarm;
    if event == RESOLVED {
        return format!(":white_check_mark: resolved: {}", escaped(summary));
    }
    let mut text = format!(":rotating_light: *{}*: {}", alarm.severity.name(), escaped(summary));
    if !evidence.is_empty() {
        text.push_str(&format!("\n```{}```", escaped(&evidence.replace("```", "'''"))));
    }
    text.push_str(&format!("\n{}\nTo acknowledge it: `sluice alarms ack {}`", escaped(advice), alarm.alarm_id));
    text
}

/// How it stands, with who took notice.
pub fn standing(alarm: &Alarm) -> Cow<'static, str> {
    let time = "%F %H:%M UTC";
    match (alarm.state, &alarm.acknowledged_by, alarm.snoozed_until) {
        (AlarmState::Acknowledged, Some(by), Some(until)) => {
            format!("snoozed by {by} until {}", until.format(time)).into()
        }
        (AlarmState::Acknowledged, Some(by), None) => format!("acknowledged by {by}").into(),
        (state, ..) => state.name().into(),
    }
}
