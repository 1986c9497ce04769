//! Messages to receivers: sent in their order, and again after growing pauses until they are accepted. They are kept in the
//! state store, so a restart loses none.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use sluice_fetch::{Mail, MailServer, Notifier, SignedMessage};
use sluice_model::{Alarm, Secret};
use sluice_state::AlarmMessage;

use super::text;
use crate::app::App;
use crate::failure::Failure;
use crate::publish;
use crate::schedule::{growing_pause, has_come};
use crate::settings::Settings;
use crate::settings::receivers::{EmailSettings, ReceiverSettings};
use crate::settings::secrets::SecretSources;

/// The event of an alarm that was opened.
pub const OPENED: &str = "alarm.opened";
/// The event of an alarm that was resolved.
pub const RESOLVED: &str = "alarm.resolved";

/// The media type of messages.
const JSON: &str = "application/json";
/// How long nobody else sends a message that is being sent.
const CLAIM: TimeDelta = TimeDelta::minutes(2);
/// The longest pause.
const MAX_PAUSE_SECS: u32 = 3_600;
/// How long a message is tried.
const KEPT: TimeDelta = TimeDelta::days(3);
/// Attempts after which a message no longer keeps back those after it.
const MAX_KEPT_BACK: u32 = 5;

/// Sends what is due, each receiver's messages one after the other.
///
/// # Errors
/// The state store's failure. What isn't accepted stays, and is logged.
pub async fn send_due(app: &App, settings: &Settings) -> Result<(), Failure> {
    let messages = app.state.alarm_messages().await?;
    if messages.is_empty() {
        return Ok(());
    }
    let notifier = Notifier::new(&settings.fetch.user_agent).map_err(Failure::failed)?;
    let mut by_receiver: BTreeMap<String, Vec<AlarmMessage>> = BTreeMap::new();
    for message in messages {
        by_receiver.entry(message.receiver.clone()).or_default().push(message);
    }
    let sent = by_receiver.into_values().map(|messages| send_in_order(app, settings, &notifier, messages));
    join_all(sent).await.into_iter().collect()
}

/// Sends messages that can't be kept, once each, and gives back those that weren't accepted.
pub(super) async fn send_unkept(settings: &Settings, messages: Vec<AlarmMessage>) -> Vec<AlarmMessage> {
    let now = Utc::now();
    let Ok(notifier) = Notifier::new(&settings.fetch.user_agent) else { return messages };
    let mut left = Vec::new();
    for message in messages {
        let Some(receiver) = settings.alarms.receivers.get(&message.receiver) else { continue };
        let is_sent = message.due_at <= now
            && match send(&notifier, &settings.secrets, receiver, &message, now).await {
                Ok(()) => true,
                Err(failure) => {
                    let why = failure.render(false);
                    tracing::warn!(receiver = message.receiver, "a message about an alarm isn't accepted: {why}");
                    false
                }
            };
        left.extend((!is_sent).then_some(message));
    }
    left
}

async fn send_in_order(
    app: &App,
    settings: &Settings,
    notifier: &Notifier,
    messages: Vec<AlarmMessage>,
) -> Result<(), Failure> {
    for message in messages {
        let now = Utc::now();
        let (name, id) = (&message.receiver, &message.message_id);
        let receiver = settings.alarms.receivers.get(name);
        let is_old = now - message.made_at > KEPT;
        let (Some(receiver), false) = (receiver, is_old) else {
            let why = if is_old { "it was not accepted for three days" } else { "the settings have no such receiver" };
            tracing::error!(receiver = name, id, "a message about an alarm is given up: {why}");
            app.state.forget_alarm_message(id).await?;
            continue;
        };
        // One of a clock that was ahead doesn't wait until that moment comes.
        if message.due_at > now && has_come(message.made_at, now) {
            // One that waits for the end of quiet hours keeps nobody back.
            let is_quiet = message.attempts == 0 || receiver.due_at(&message.alarm, now) > now;
            if is_quiet || message.attempts >= MAX_KEPT_BACK {
                continue;
            }
            return Ok(());
        }
        if !app.state.claim_alarm_message(&message, now + CLAIM).await? {
            return Ok(());
        }
        match send(notifier, &settings.secrets, receiver, &message, now).await {
            Ok(()) => app.state.forget_alarm_message(id).await?,
            Err(failure) => {
                let pause = growing_pause(settings.alarms.retry_secs, message.attempts, MAX_PAUSE_SECS);
                let again_at = receiver.due_at(&message.alarm, now + pause);
                let (attempt, again_secs) = (message.attempts + 1, (again_at - now).num_seconds());
                let why = failure.render(false);
                tracing::warn!(
                    receiver = name,
                    id,
                    attempt,
                    again_secs,
                    "a message about an alarm isn't accepted: {why}"
                );
                app.state.delay_alarm_message(id, again_at).await?;
                if attempt < MAX_KEPT_BACK {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

async fn send(
    notifier: &Notifier,
    secrets: &SecretSources,
    receiver: &ReceiverSettings,
    message: &AlarmMessage,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    if let Some(email) = &receiver.email {
        let server = mail_server(secrets, email).await?;
        return notifier.mail(&server, &mail(email, message)).await.map_err(Failure::failed);
    }
    if let Some(slack) = &receiver.slack {
        let body = serde_json::json!({"text": text::slack(&message.event, &message.alarm)}).to_string();
        return notifier.post(&url(secrets, slack).await?, body).await.map_err(Failure::failed);
    }
    let url = url(secrets, receiver.webhook.as_deref().unwrap_or_default()).await?;
    let key = secret(secrets, receiver.secret.as_deref().unwrap_or_default(), "secret").await?;
    let (id, body) = (message.message_id.clone(), body(message));
    let signed = SignedMessage { id, sent_at: now, content_type: JSON, body };
    notifier.webhook(&url, &key, &signed).await.map_err(Failure::failed)
}

/// The body of a webhook, as Standard Webhooks advises.
fn body(message: &AlarmMessage) -> String {
    let AlarmMessage { event, made_at, alarm, .. } = message;
    serde_json::json!({"type": event, "timestamp": made_at.to_rfc3339(), "data": alarm}).to_string()
}

/// An address that may be written out, or be kept as a secret.
pub(crate) async fn url(secrets: &SecretSources, text: &str) -> Result<Secret, Failure> {
    if text.starts_with("http://") || text.starts_with("https://") {
        Ok(Secret::new(text.to_owned()))
    } else {
        secret(secrets, text, "url").await
    }
}

/// A secret that a reference names.
pub(crate) async fn secret(secrets: &SecretSources, reference: &str, slot: &str) -> Result<Secret, Failure> {
    let read = secrets.read(reference, slot).await;
    read.map_err(|why| Failure::settings(format!("its {slot} can't be read: {}", why.reason)).hint(why.hint))
}

/// The secrets of receivers that can't be read, each with the reason.
pub async fn unreadable_secrets(settings: &Settings) -> Vec<String> {
    let mut unreadable = Vec::new();
    for (name, receiver) in &settings.alarms.receivers {
        let email = receiver.email.as_ref();
        let is_written_out = |text: &&String| text.starts_with("http://") || text.starts_with("https://");
        let urls = [&receiver.webhook, &receiver.slack].into_iter().flatten().filter(|text| !is_written_out(text));
        let keys = receiver.secret.iter().map(|text| (text, "secret"));
        let passwords = email.and_then(|email| email.password.as_ref()).map(|text| (text, "password"));
        for (reference, slot) in urls.map(|text| (text, "url")).chain(keys).chain(passwords) {
            if let Err(failure) = secret(&settings.secrets, reference, slot).await {
                let text = failure.render(false);
                unreadable.push(format!("alarms.{name}: {}", text.trim_start_matches("error: ")));
            }
        }
    }
    unreadable.extend(unreadable_of_outlets(settings).await);
    unreadable
}

/// The same of receivers of the change feed, and of published databases.
async fn unreadable_of_outlets(settings: &Settings) -> Vec<String> {
    let mut unreadable = Vec::new();
    let mut note = |section: String, read: Result<Secret, Failure>| {
        if let Err(failure) = read {
            unreadable.push(format!("{section}: {}", failure.render(false).trim_start_matches("error: ")));
        }
    };
    for (name, receiver) in &settings.feed {
        note(format!("feed.{name}"), url(&settings.secrets, &receiver.webhook).await);
        note(format!("feed.{name}"), secret(&settings.secrets, &receiver.secret, "secret").await);
    }
    for (name, database) in settings.publish.iter().filter(|(_, database)| !database.url.is_empty()) {
        note(format!("publish.{name}"), publish::url(&settings.secrets, name, database).await);
    }
    unreadable
}

async fn mail_server(secrets: &SecretSources, email: &EmailSettings) -> Result<MailServer, Failure> {
    let password = match &email.password {
        Some(reference) => Some(secret(secrets, reference, "password").await?),
        None => None,
    };
    Ok(MailServer { url: email.smtp.clone(), user: email.user.clone(), password })
}

fn mail(email: &EmailSettings, message: &AlarmMessage) -> Mail {
    let alarm: &Alarm = &message.alarm;
    Mail {
        id: message.message_id.clone(),
        from: email.from.clone(),
        to: email.to.clone(),
        subject: text::subject(&message.event, alarm),
        body: text::plain(&message.event, alarm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let secs = [0, 1, 2, 10, 40].map(|attempts| growing_pause(5, attempts, MAX_PAUSE_SECS).num_seconds());
        assert_eq!(secs, [5, 10, 20, 3_600, 3_600]);
        assert_eq!(growing_pause(7_200, 3, MAX_PAUSE_SECS).num_seconds(), 7_200);
    }
}
