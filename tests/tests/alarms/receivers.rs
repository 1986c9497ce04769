//! Messages about alarms: signed, sent again until they are accepted, across restarts, to those who asked for them.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use sluice_tests::{Ask, HostileServer, MailReceiver, SecureMailReceiver, response, state_rows};

use crate::world::{PROMPT, World, sales};

const KEY: &[u8] = b"a key of the receiver";

/// A receiver that fails so often before it accepts.
fn receiver(failures: usize) -> HostileServer {
    let left = Arc::new(AtomicUsize::new(failures));
    let server = HostileServer::start(move |_, stream| {
        let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        stream.write_all(&response(if fails { 503 } else { 204 }, &[], b""))
    });
    server.unwrap()
}

fn header<'a>(ask: &'a Ask, name: &str) -> &'a str {
    let lines = ask.head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).unwrap()
}

/// Checks a message's signature as Standard Webhooks has it, and gives the message.
fn verified(ask: &Ask) -> Value {
    let content = format!("{}.{}.{}", header(ask, "webhook-id"), header(ask, "webhook-timestamp"), ask.body);
    let mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap().chain_update(content).finalize().into_bytes();
    assert_eq!(header(ask, "webhook-signature"), format!("v1,{}", STANDARD.encode(mac)), "{ask:?}");
    serde_json::from_str(&ask.body).unwrap()
}

fn world(receivers: &str) -> World {
    let mut world = World::new(&format!("{PROMPT}{receivers}"));
    world.operator.set("WEBHOOK_KEY", &format!("whsec_{}", STANDARD.encode(KEY)));
    world
}

#[test]
fn a_webhook_is_signed_and_sent_again_until_it_is_accepted() {
    let server = receiver(2);
    let url = server.origin();
    let world = world(&format!(
        "[alarms.ops]\nwebhook = \"{url}/hook\"\nsecret = \"env:WEBHOOK_KEY\"\nrules = [\"credentials\"]\n"
    ));
    world.answer(401, &[]);
    // Each run is a process of its own: what isn't accepted outlives it.
    world.until(|| server.asked().len() >= 3, "the third attempt");
    let attempts = server.asked();
    let ids: Vec<&str> = attempts.iter().map(|ask| header(ask, "webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let opened = verified(&attempts[2]);
    assert_eq!((&opened["type"], &opened["data"]["rule"]), (&json!("alarm.opened"), &json!("credentials")));
    assert!(opened["data"]["advice"].as_str().unwrap().contains("renew them"), "{opened}");
    world.answer(200, &sales());
    world.until(|| server.asked().len() >= 4, "the end");
    let resolved = verified(&server.asked()[3]);
    assert_eq!((&resolved["type"], &resolved["data"]["state"]), (&json!("alarm.resolved"), &json!("resolved")));
    assert_eq!(resolved["data"]["alarm_id"], opened["data"]["alarm_id"]);
    world.run();
    assert_eq!(server.asked().len(), 4, "each is accepted once");
}

#[test]
fn mail_and_slack_get_what_they_asked_for() {
    let (mail, slack) = (MailReceiver::start().unwrap(), receiver(0));
    let mut world = world(&format!(
        "[alarms.mail]\nseverity = \"critical\"\nnetworks = [\"awin\"]\n[alarms.mail.email]\nsmtp = \"{}\"\n\
         from = \"Sluice <sluice@example.com>\"\nto = [\"a@example.com\", \"b@example.com\"]\n\
         [alarms.chat]\nslack = \"env:SLACK_URL\"\n[alarms.other]\nslack = \"env:SLACK_URL\"\nnetworks = [\"cj\"]\n",
        mail.url()
    ));
    world.operator.set("SLACK_URL", &format!("{}/services/T0/hunter2", slack.origin()));
    world.answer(401, &[]);
    world.until(|| !mail.mails().is_empty() && !slack.asked().is_empty(), "mail and Slack");
    let first = mail.mails().remove(0);
    assert!(first.contains("RCPT TO:<a@example.com>") && first.contains("RCPT TO:<b@example.com>"), "{first}");
    assert!(first.contains("Subject: [sluice] critical: awin refuses the secrets of uk"), "{first}");
    assert!(first.contains("sluice alarms ack "), "{first}");
    assert!(mail.mails().iter().all(|mail| mail.contains("critical")), "gaps are warnings: {:?}", mail.mails());
    let asked = slack.asked();
    let texts: Vec<Value> = asked.iter().map(|ask| serde_json::from_str(&ask.body).unwrap()).collect();
    assert!(texts.iter().any(|text| text["text"].as_str().unwrap().contains("*critical*: awin refuses")), "{texts:?}");
    let rules = world.open("credentials").len() + world.open("gap").len() + world.open("stale").len();
    world.run();
    assert!(slack.asked().len() <= rules + 1, "`other` isn't notified of awin");
}

#[test]
fn a_receiver_names_networks_by_their_ids_whatever_their_files_are_called() {
    let server = receiver(0);
    let settings = |network: &str| {
        let url = server.origin();
        format!("{PROMPT}[alarms.chat]\nslack = \"{url}\"\nrules = [\"credentials\"]\nnetworks = [\"{network}\"]\n")
    };
    let world = World::new(&settings("awin"));
    world.split();
    world.answer(401, &[]);
    world.until(|| !server.asked().is_empty(), "a message about awin");
    let checked = world.operator.sluice(&["check"]).unwrap();
    assert_eq!(checked.code, 0, "{checked:?}");
    world.set(&settings("awin-uk"));
    let checked = world.operator.sluice(&["check"]).unwrap();
    let wrong = "alarms.chat: no file in networks/ has the network `awin-uk`: there are awin";
    assert!(checked.code == 78 && checked.stderr.contains(wrong), "{checked:?}");
}

#[test]
fn mail_goes_to_a_server_that_becomes_secure_and_to_no_other_one() {
    let (secure, downgraded) = (SecureMailReceiver::start(true).unwrap(), SecureMailReceiver::start(false).unwrap());
    let receiver = |name: &str, server: &SecureMailReceiver| {
        format!(
            "[alarms.{name}]\nseverity = \"critical\"\n[alarms.{name}.email]\nsmtp = \"{}\"\nuser = \"sluice\"\n\
             password = \"env:SMTP_PASSWORD\"\nfrom = \"sluice@example.com\"\nto = [\"a@example.com\"]\n",
            server.url()
        )
    };
    let mut world = world(&(receiver("ops", &secure) + &receiver("night", &downgraded)));
    world.operator.set("SMTP_PASSWORD", "hunter2");
    world.answer(401, &[]);
    // Nobody has vouched for its certificate yet.
    world.opened("credentials");
    assert_eq!(secure.got("mails"), "");
    world.operator.set("SSL_CERT_FILE", &secure.certificate().display().to_string());
    world.change_state("UPDATE alarm_messages SET due_at = 0");
    world.until(|| secure.got("mails").contains("Subject: [sluice] critical"), "the mail");
    assert!(secure.got("secret").starts_with("AUTH PLAIN "), "the password goes over TLS");
    world.run();
    assert_eq!((downgraded.got("mails"), downgraded.got("secret")), (String::new(), String::new()));
    for server in [secure, downgraded] {
        assert_eq!(server.got("leaked"), "", "nothing is sent in the clear");
    }
}

/// A receiver of gaps whose quiet hours end in an hour.
fn quiet_now(server: &HostileServer) -> String {
    let now = chrono::Utc::now();
    let at = |minutes: i64| (now + chrono::TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    format!(
        "[alarms.ops]\nwebhook = \"{}\"\nsecret = \"env:WEBHOOK_KEY\"\nrules = [\"gap\"]\n\
         [alarms.ops.quiet]\nfrom = \"{}\"\nuntil = \"{}\"\ntimezone = \"UTC\"\n",
        server.origin(),
        at(-60),
        at(60)
    )
}

#[test]
fn quiet_hours_hold_messages_back_and_what_passed_meanwhile_is_none() {
    let server = receiver(0);
    let world = world(&quiet_now(&server));
    // What was read before is read again later: a window that was never read would move out of the look-back.
    world.answer(200, &sales());
    world.run();
    world.answer(401, &[]);
    let gap = world.opened("gap");
    world.answer(200, &sales());
    world.resolved(&gap);
    assert!(server.asked().is_empty(), "it came and went in the quiet: {:?}", server.asked());
    world.answer(401, &[]);
    let gap = world.opened("gap");
    world.change_state("UPDATE alarm_messages SET due_at = 0");
    world.until(|| !server.asked().is_empty(), "the end of the quiet");
    assert_eq!(verified(&server.asked()[0])["data"]["alarm_id"], gap["alarm_id"]);
}

#[test]
fn what_is_not_accepted_is_sent_again_after_the_quiet_hours() {
    let server = receiver(1_000);
    let world = world(&quiet_now(&server));
    world.answer(200, &sales());
    world.run();
    world.answer(401, &[]);
    world.opened("gap");
    // The quiet hours began after its first attempt was due.
    world.change_state("UPDATE alarm_messages SET due_at = 0");
    world.until(|| !server.asked().is_empty(), "the first attempt");
    let later = (chrono::Utc::now() + chrono::TimeDelta::minutes(30)).timestamp_millis();
    let waiting = format!("SELECT count(*) FROM alarm_messages WHERE attempts = 1 AND due_at > {later}");
    assert_eq!(state_rows(&world.operator, &waiting).unwrap(), ["1"]);
}

#[test]
fn a_receiver_that_accepts_nothing_is_an_alarm_for_the_others() {
    let (refusing, accepting) = (receiver(1_000), receiver(0));
    let world = world(&format!(
        "[alarms.ops]\nwebhook = \"{}/hunter2\"\nsecret = \"env:WEBHOOK_KEY\"\nrules = [\"credentials\"]\n\
         [alarms.chat]\nslack = \"{}\"\nrules = [\"receiver\"]\n",
        refusing.origin(),
        accepting.origin()
    ));
    world.answer(401, &[]);
    world.opened("credentials");
    world.change_state("UPDATE alarm_messages SET attempts = 5");
    let alarm = world.opened("receiver");
    assert_eq!(alarm["subject"], "ops");
    world.until(|| !accepting.asked().is_empty(), "a word to the other");
    let logged = world.operator.sluice(&["run", "--due"]).unwrap();
    assert!(!format!("{logged:?}").contains("hunter2"), "an address may be a secret: {logged:?}");
    world.change_state("DELETE FROM alarm_messages WHERE receiver = 'ops'");
    world.resolved(&alarm);
    let checked = world.operator.sluice(&["check"]).unwrap();
    assert_eq!(checked.code, 0, "{checked:?}");
    world.set(&format!("{PROMPT}[alarms.ops]\nslack = \"env:NOT_THERE\"\n"));
    let checked = world.operator.sluice(&["check"]).unwrap();
    assert!(checked.code == 78 && checked.stderr.contains("alarms.ops: "), "{checked:?}");
}
