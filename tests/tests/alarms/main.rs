//! Alarms: each rule's is opened by a planted fault, is one as long as it lasts, and ends by itself once it is mended.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod receivers;
mod service;
mod world;

use serde_json::json;

use sluice_tests::claim_elsewhere;
use world::{PROMPT, World, sale, sales, with};

#[test]
fn status_words_rejects_and_duplicates_of_answers() {
    let world = World::new(PROMPT);
    world.answer(200, &sales());
    world.run();
    assert!(world.operator.succeed(&["alarms"]).unwrap().ends_with("0 alarms\n"), "ordinary business");
    let mut rows = sales();
    rows[0] = with(rows[0].clone(), &json!({"commissionStatus": "frozen"}));
    rows.push(with(sale(11, 3), &json!({"clickRefs": {"clickRef": "ref-1"}})));
    rows.push(with(sale(12, 4), &json!({"transactionDate": null})));
    world.answer(200, &rows);
    let unknown = world.opened("unknown-status");
    assert_eq!((&unknown["subject"], &unknown["account"]), (&json!("awin/uk"), &json!("uk")), "{unknown}");
    assert!(unknown["summary"].as_str().unwrap().contains("`frozen`"), "{unknown}");
    let rejects = world.opened("rejects");
    assert!(rejects["summary"].as_str().unwrap().starts_with("awin: 1 of 12 records"), "{rejects}");
    let human = world.operator.succeed(&["alarms"]).unwrap();
    assert!(human.contains("install a version of connector `awin` that maps it"), "{human}");
    rows[0] = sales().remove(0);
    world.answer(200, &rows);
    let duplicates = world.opened("duplicates");
    assert!(duplicates["evidence"].as_str().unwrap().contains("such as 11, which may be 1"), "{duplicates}");
    world.resolved(&unknown);
    rows[10] = with(rows[10].clone(), &json!({"commissionAmount": {"amount": 9.0, "currency": "GBP"}}));
    rows[11] = sale(12, 4);
    world.answer(200, &rows);
    world.resolved(&rejects);
    world.resolved(&duplicates);
}

#[test]
fn refused_secrets_gaps_and_stale_accounts() {
    let prompt = PROMPT.replace("enabled = false", "enabled = true");
    let world = World::new(&prompt);
    world.answer(200, &sales());
    world.run();
    world.answer(401, &[]);
    let credentials = world.opened("credentials");
    assert_eq!((&credentials["severity"], &credentials["subject"]), (&json!("critical"), &json!("awin/uk")));
    let gap = world.opened("gap");
    assert!(gap["advice"].as_str().unwrap().contains("sluice run awin --account uk --stream"), "{gap}");
    // `de` may be stale too: two seconds are soon over.
    world.until(|| world.open("stale").iter().any(|alarm| alarm["account"] == "uk"), "a stale account");
    world.answer(200, &sales());
    world.resolved(&credentials);
    world.resolved(&gap);
    // What is read every hour is fresh for two.
    let file = std::fs::read_to_string(world.operator.join("networks/awin.json")).unwrap();
    world.operator.write("networks/awin.json", &file.replace("\"every\":\"1s\"", "\"every\":\"1h\"")).unwrap();
    world.run();
    assert!(world.open("stale").is_empty());
}

#[test]
fn a_doubt_is_an_alarm_until_it_is_decided() {
    let world = World::new(PROMPT);
    world.answer(200, &sales());
    world.run();
    let moved = sales().into_iter().map(|row| with(row, &json!({"commissionAmount": null, "commission": 8.0})));
    world.answer(200, &moved.collect::<Vec<_>>());
    let doubt = world.opened("doubt");
    assert!(doubt["summary"].as_str().unwrap().contains("held back"), "{doubt}");
    world.answer(200, &sales());
    world.resolved(&doubt);
}

#[test]
fn columns_that_come_and_go() {
    let rules = "[alarms.rules.new-columns]\nsettle_hours = 0\n[alarms.rules.vanished-columns]\nrows = 1\n";
    let world = World::new(&format!("{PROMPT}{rules}"));
    world.answer(200, &sales());
    world.run();
    let grown = sales().into_iter().map(|row| with(row, &json!({"colour": "red"}))).collect::<Vec<_>>();
    world.answer(200, &grown);
    let new = world.opened("new-columns");
    assert!(new["summary"].as_str().unwrap().contains("`colour`"), "{new}");
    assert_eq!((&new["severity"], &new["subject"]), (&json!("info"), &json!("awin/transactions")));
    // Its seven days are over.
    world.set(&format!("{PROMPT}[alarms.rules.new-columns]\nsettle_hours = 0\ndays = 0\n"));
    world.resolved(&new);
}

#[test]
fn a_column_without_values_any_more() {
    let world = World::new(&format!("{PROMPT}[alarms.rules.vanished-columns]\nrows = 1\n"));
    let grown = sales().into_iter().map(|row| with(row, &json!({"colour": "red"}))).collect::<Vec<_>>();
    world.answer(200, &grown);
    world.answer_other(&[sale(21, 5), sale(22, 6)]);
    world.run();
    assert!(world.open("vanished-columns").is_empty(), "`de` never had it");
    // Most records of `de` had it before.
    world.change_state(
        "UPDATE profiles SET content = json_set(content, '$.paths.colour', json('{\"of\":100,\"filled\":100,\"types\":4}'))
         WHERE account = 'de'",
    );
    let vanished = world.opened("vanished-columns");
    assert_eq!(vanished["subject"], "awin/de/transactions");
    assert!(vanished["summary"].as_str().unwrap().ends_with("has no values any more in `colour`"), "{vanished}");
    world.answer_other(&grown[..2]);
    world.resolved(&vanished);
}

#[test]
fn days_that_are_quiet_or_far_from_their_weekday() {
    let world = World::new(PROMPT);
    world.answer(200, &sales());
    world.run();
    let today = chrono::Utc::now().timestamp() / 86_400;
    // Six weeks with a hundred sales of 8.00 on each day, and then one with another number.
    let plant = |rows: u64| {
        let day = today - 4;
        let days = (day - 42..=day).map(|at| {
            let rows = if at == day { rows } else { 100 };
            format!("\"{at}\":{{\"rows\":{rows},\"sum\":{}}}", rows * 8_000_000)
        });
        let days = format!("{{{}}}", days.collect::<Vec<_>>().join(","));
        world.change_state(&format!(
            "UPDATE profiles SET content = json_set(content, '$.days', json('{days}')) WHERE account = 'uk'"
        ));
    };
    plant(0);
    let quiet = world.opened("zero-rows");
    assert!(quiet["summary"].as_str().unwrap().contains("earlier days like it had 100 to 100"), "{quiet}");
    plant(10);
    world.resolved(&quiet);
    let outside = world.opened("bands");
    assert!(outside["summary"].as_str().unwrap().contains("10 transactions on"), "{outside}");
    plant(100);
    world.resolved(&outside);
}

#[test]
fn schedules_hosts_disks_files_and_days_of_secrets() {
    let world = World::new(PROMPT);
    world.answer(200, &sales());
    world.run();
    world.set(&format!(
        "{PROMPT}[alarms.rules.disk]\nmin_free_mb = 999999999999\n[alarms.expires]\n\"awin/uk\" = \"2026-01-31\"\n"
    ));
    let (disk, expiry) = (world.opened("disk"), world.opened("expiry"));
    assert!(disk["advice"].as_str().unwrap().contains("sluice maintain"), "{disk}");
    assert_eq!(expiry["summary"], "the secrets of awin/uk expired on 2026-01-31");
    world.set(PROMPT);
    world.resolved(&disk);
    world.resolved(&expiry);
    // A file that can't be used: nothing is run, and that is an alarm.
    let file = std::fs::read_to_string(world.operator.join("networks/awin.json")).unwrap();
    world.operator.write("networks/awin.json", "{").unwrap();
    let settings = world.opened("settings");
    assert!(settings["evidence"].as_str().unwrap().contains("awin.json"), "{settings}");
    world.operator.write("networks/awin.json", &file).unwrap();
    world.resolved(&settings);
    // A run that can't start, and was queued long ago.
    world.operator.write("networks/awin.json", &file.replace("publisher_id", "publisher")).unwrap();
    world.run();
    world.change_state("UPDATE runs SET started_at = '2026-01-01T00:00:00+00:00'");
    let schedule = world.opened("schedule");
    assert!(schedule["summary"].as_str().unwrap().starts_with("the schedule of awin didn't fire"), "{schedule}");
    // Another host works on one account of it: the others wait all the same.
    claim_elsewhere(&world.operator, "awin", &["de"]);
    assert_eq!(world.operator.succeed(&["run", "--due"]).unwrap(), "nothing is due\n");
    assert_eq!(world.open("schedule").len(), 1);
    world.change_state("UPDATE leases SET expires_at = 1 WHERE resource = 'process/9'");
    world.operator.write("networks/awin.json", &file).unwrap();
    world.resolved(&schedule);
}

#[test]
fn a_paused_file_hides_no_schedule_of_another_one_of_its_connector() {
    let world = World::new(PROMPT);
    world.split();
    world.answer(200, &sales());
    let read = "SELECT DISTINCT account FROM meta.coverage";
    world.until(|| world.operator.sql(read).unwrap().len() == 2, "a run of both");
    world.operator.succeed(&["pause", "awin-uk"]).unwrap();
    // A run of the other can't start, and was queued long ago.
    let file = std::fs::read_to_string(world.operator.join("networks/awin-de.json")).unwrap();
    world.operator.write("networks/awin-de.json", &file.replace("publisher_id", "publisher")).unwrap();
    world.run();
    world.change_state("UPDATE runs SET started_at = '2026-01-01T00:00:00+00:00'");
    assert_eq!(world.opened("schedule")["subject"], "awin-de");
}

#[test]
fn advice_names_the_file_that_has_the_account() {
    let world = World::new(PROMPT);
    world.split();
    world.answer(200, &sales());
    let read = "SELECT DISTINCT account FROM meta.coverage";
    world.until(|| world.operator.sql(read).unwrap().len() == 2, "a run of both");
    world.answer(401, &[]);
    let (credentials, gap) = (world.opened("credentials"), world.opened("gap"));
    assert!(credentials["advice"].as_str().unwrap().contains("networks/awin-uk.json"), "{credentials}");
    assert!(gap["advice"].as_str().unwrap().contains("sluice run awin-uk --account uk"), "{gap}");
}

#[test]
fn queued_history_that_nobody_begins() {
    let world = World::new(PROMPT);
    world.answer(200, &sales());
    world.run();
    world.operator.succeed(&["backfill", "awin", "--since", "2026-01-01", "--until", "2026-01-02", "--queue"]).unwrap();
    world.run();
    assert!(world.open("schedule").is_empty(), "it has time");
    world.change_state("UPDATE runs SET started_at = '2026-01-01T00:00:00+00:00' WHERE priority = 1");
    let waits = world.opened("schedule");
    assert_eq!((&waits["subject"], &waits["severity"]), (&json!("awin/queue"), &json!("warning")), "{waits}");
    assert!(waits["summary"].as_str().unwrap().starts_with("nobody goes on with the queued backfill"), "{waits}");
    world.change_state("DELETE FROM runs WHERE priority = 1");
    world.resolved(&waits);
}

#[test]
fn checks_of_ones_own() {
    let world = World::new(PROMPT);
    std::fs::create_dir(world.operator.join("checks")).unwrap();
    world.answer(200, &sales());
    world.run();
    let query = "-- No sale is pending.\n-- severity: critical\nSELECT transaction_id, commission_amount FROM unified.transactions \
                 WHERE validation_status = 'pending' ORDER BY transaction_id;\n";
    world.operator.write("checks/pending.sql", query).unwrap();
    let failing = world.opened("check");
    assert_eq!((&failing["severity"], &failing["subject"]), (&json!("critical"), &json!("pending")));
    assert_eq!(failing["summary"], "check `pending` fails: 10 rows");
    let evidence = failing["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("No sale is pending.\n{\"commission_amount\":\"8.000000\""), "{evidence}");
    let run = world.operator.sluice(&["checks"]).unwrap();
    assert!(run.code == 1 && run.stdout.contains("check `pending` fails: 10 rows"), "{run:?}");
    world.operator.write("checks/pending.sql", "SELECT * FROM unified.transactions WHERE 1 = 0").unwrap();
    world.resolved(&failing);
    assert_eq!(world.operator.succeed(&["checks", "pending"]).unwrap(), "check `pending` passes\n");
    assert_eq!(world.operator.sluice(&["checks", "other"]).unwrap().code, 2);
    // One whose SQL is wrong is an alarm too, and `sluice check` names it.
    world.operator.write("checks/pending.sql", "SELECT nothing FROM nowhere").unwrap();
    let wrong = world.opened("check");
    assert!(wrong["summary"].as_str().unwrap().contains("can't be run: "), "{wrong}");
    let checked = world.operator.sluice(&["check"]).unwrap();
    assert!(checked.code == 78 && checked.stderr.contains("checks/pending.sql: "), "{checked:?}");
    std::fs::remove_file(world.operator.join("checks/pending.sql")).unwrap();
    world.resolved(&wrong);
    // By a schedule that doesn't come: once, and not after each run.
    world.operator.write("checks/yearly.sql", "-- cron: 0 0 29 2 *\nSELECT 1 AS one").unwrap();
    let yearly = world.opened("check");
    world.operator.write("checks/yearly.sql", "-- cron: 0 0 29 2 *\nSELECT 1 AS one WHERE 1 = 0").unwrap();
    world.run();
    assert_eq!(world.open("check").len(), 1, "it isn't judged before its moment");
    world.change_state(
        "UPDATE schedule_times SET happened_at = '2020-01-01T00:00:00+00:00' WHERE entry = 'check/yearly'",
    );
    world.resolved(&yearly);
}

#[test]
fn an_alarm_is_acknowledged_for_a_time_or_for_good() {
    let world = World::new(PROMPT);
    world.answer(401, &[]);
    let alarm = world.opened("credentials");
    let id = alarm["alarm_id"].as_str().unwrap();
    let snoozed = world.operator.succeed(&["alarms", "snooze", id, "--for", "1s", "--by", "ann"]).unwrap();
    assert!(snoozed.contains("snoozed by ann until "), "{snoozed}");
    world.until(|| world.open("credentials")[0]["state"] == "open", "the end of the snooze");
    let acknowledged = world.operator.succeed(&["--output", "json", "alarms", "ack", id, "--by", "ann"]).unwrap();
    assert!(acknowledged.contains("\"acknowledged_by\":\"ann\""), "{acknowledged}");
    world.run();
    assert_eq!(world.open("credentials")[0]["state"], "acknowledged");
    for (wrong, code) in [(&["alarms", "ack", "no-such-alarm"][..], 2), (&["alarms", "snooze", id, "--for", "ever"], 2)]
    {
        assert_eq!(world.operator.sluice(wrong).unwrap().code, code, "{wrong:?}");
    }
    // The lake has each of these; a state store that is lost gets the alarm back from it.
    let events = format!("SELECT state FROM meta.alarm_events WHERE alarm_id = '{id}' ORDER BY noted_at");
    let states: Vec<_> = world.operator.sql(&events).unwrap().iter().map(|row| row["state"].clone()).collect();
    assert_eq!(states, ["open", "acknowledged", "open", "acknowledged"]);
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(world.operator.join(file));
    }
    world.run();
    let again = world.open("credentials");
    assert_eq!((&again[0]["alarm_id"], &again[0]["state"]), (&alarm["alarm_id"], &json!("acknowledged")));
    world.answer(200, &sales());
    world.resolved(&alarm);
}
