//! Whatever a user gets wrong has one clear error, a hint and an exit code.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cli/files.rs"]
mod files;

use std::process::Stdio;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc, Weekday};
use sluice_tests::{Operator, connectors_dir};

/// A folder in which everything is right: one network, one account, its secret in the environment.
fn operator() -> Operator {
    let mut operator = Operator::empty().unwrap();
    operator.install("awin", "awin.wasm").unwrap();
    operator.write("networks/awin.json", GOOD).unwrap();
    operator.set("AWIN_TOKEN", "a-token-of-some-length");
    operator
}

const GOOD: &str = r#"{
  "connector": "awin",
  "schedule": "0 * * * *",
  "look_back": [{"every": "1h", "days": 3}, {"every": "1d", "days": 45, "axis": "modified"}],
  "hosts": ["api.awin.com"],
  "base_url": null,
  "rate": {"requests": 20, "per_secs": 60, "concurrency": 4},
  "accounts": [{"name": "uk", "settings": {"publisher_id": "123456"}, "secrets": {"token": "env:AWIN_TOKEN"}}]
}"#;

/// What a command says, with what moves filtered out.
fn output(operator: &Operator, arguments: &[&str]) -> String {
    let answer = operator.sluice(arguments).unwrap();
    let text = format!("exit {}\n--- stdout\n{}--- stderr\n{}", answer.code, answer.stdout, answer.stderr);
    let text = text
        .replace(&operator.path().display().to_string(), "[dir]")
        .replace(&operator.path().canonicalize().unwrap().display().to_string(), "[dir]");
    // The next moments of a schedule move.
    let lines = text.split_inclusive('\n').map(|line| match line.split_once(": next ") {
        Some((before, _)) => format!("{before}: next [moments]\n"),
        None => line.to_owned(),
    });
    lines.collect()
}

/// Breaks the network's file by a replacement and says what `check` makes of it.
fn network_with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "nothing to break");
    let operator = operator();
    operator.write("networks/awin.json", &GOOD.replace(from, to)).unwrap();
    output(&operator, &["check"])
}

/// What `check` says of a folder in which something was changed.
fn checked(change: impl FnOnce(&Operator)) -> String {
    let operator = operator();
    change(&operator);
    output(&operator, &["check"])
}

#[test]
fn good_settings_pass() {
    insta::assert_snapshot!(output(&operator(), &["check"]));
}

/// The snapshot of each has its name.
#[test]
fn each_mistake_in_a_network_has_one_clear_error() {
    for (name, from, to) in [
        ("unknown_key_in_a_network", "\"schedule\"", "\"shedule\""),
        ("wrong_type_in_a_network", "\"days\": 3", "\"days\": \"three\""),
        ("bad_cron", "0 * * * *", "every hour please now ok"),
        ("a_schedule_that_never_comes", "0 * * * *", "0 0 30 2 *"),
        ("missing_secret", "env:AWIN_TOKEN", "env:AWIN_TOKEN_THAT_IS_NOT_SET"),
        ("a_secret_that_is_not_given", "\"token\": \"env:AWIN_TOKEN\"", ""),
        ("missing_setting", "\"publisher_id\": \"123456\"", ""),
        ("unknown_setting", "\"publisher_id\": \"123456\"", "\"publisher_id\": \"1\", \"publisher\": \"2\""),
        ("no_hosts_allowed", "[\"api.awin.com\"]", "[]"),
        ("a_connector_that_is_not_there", "\"connector\": \"awin\"", "\"connector\": \"awim\""),
    ] {
        insta::assert_snapshot!(name, network_with(from, to));
    }
}

#[test]
fn each_mistake_in_sluice_toml_has_one_clear_error() {
    for (name, text) in [
        ("unknown_key_in_sluice_toml", "[lake]\nurl = \"file:./lake\"\ncompression = 9\n"),
        ("wrong_type_in_sluice_toml", "[lake]\nurl = 5\n"),
        ("unknown_scheme_of_the_lake", "[lake]\nurl = \"ftp://lake\"\n"),
    ] {
        insta::assert_snapshot!(name, checked(|operator| operator.write("sluice.toml", text).unwrap()));
    }
}

#[test]
fn each_fault_of_the_folder_has_one_clear_error() {
    let faults: [(&str, fn(&Operator)); 4] = [
        ("no_settings", |operator| std::fs::remove_file(operator.join("sluice.toml")).unwrap()),
        ("unreadable_networks_folder", |operator| std::fs::remove_dir_all(operator.join("networks")).unwrap()),
        ("unreadable_connectors_folder", |operator| std::fs::remove_dir_all(operator.join("connectors.d")).unwrap()),
        ("a_lake_that_can_not_be_written", |operator| {
            operator.write("lake", "a file where the lake should be").unwrap()
        }),
    ];
    for (name, fault) in faults {
        insta::assert_snapshot!(name, checked(fault));
    }
}

#[test]
fn each_mistake_in_the_arguments_has_one_clear_error() {
    for (name, arguments) in [
        ("unknown_network", &["run", "awni"][..]),
        ("a_window_of_nothing", &["plan", "awin", "--since", "2026-01-02", "--until", "2026-01-01"]),
        ("a_time_that_is_none", &["plan", "awin", "--since", "yesterday"]),
    ] {
        insta::assert_snapshot!(name, output(&operator(), arguments));
    }
}

#[test]
fn slices_are_counted_before_they_are_made() {
    let operator = operator();
    operator.write("sluice.toml", "[lake]\nurl = \"file:./lake\"\n[limits]\nslices_per_run = 4\n").unwrap();
    let plan = |since: &str| operator.sluice(&["plan", "awin", "--since", since, "--until", "2026-11-01"]).unwrap();
    assert_eq!(plan("2026-08-10").code, 0);
    let answer = plan("2020-01-01");
    assert_eq!(answer.code, 78, "{answer:?}");
    assert!(answer.stderr.contains("more than 4 slices: connector `awin`"), "{answer:?}");
    assert!(answer.stderr.contains("raise slices_per_run of [limits]"), "{answer:?}");
}

#[test]
fn nothing_is_fetched_to_a_disk_that_is_full() {
    let operator = operator();
    operator.write("networks/awin.json", &GOOD.replace("null", "\"http://127.0.0.1:1/\"")).unwrap();
    let run = |floor: u64| {
        let toml = format!("[lake]\nurl = \"file:./lake\"\n[limits]\nmin_free_mb = {floor}\n");
        operator.write("sluice.toml", &toml).unwrap();
        operator.sluice(&["run", "awin", "--since", "2026-10-01", "--until", "2026-10-02"]).unwrap()
    };
    let answer = run(1 << 40);
    assert!(answer.code != 0 && answer.stderr.contains("MiB of free space"), "{answer:?}");
    assert!(!answer.stderr.contains("127.0.0.1"), "it was asked: {answer:?}");
}

#[test]
fn a_look_back_that_reads_nothing() {
    insta::assert_snapshot!(network_with("\"days\": 3}, {\"every\": \"1d\", \"days\": 45", "\"days\": 0"));
    let rules = r#"[{"every": "1h", "days": 3}, {"every": "1d", "days": 45, "axis": "modified"}]"#;
    let output = network_with(rules, "[]");
    assert!(output.contains("exit 78") && output.contains("look_back is empty"), "{output}");
    let output = network_with(rules, r#"[{"every": "1h", "days": 3, "axis": "payment"}]"#);
    assert!(output.contains("exit 78") && output.contains("by a date that a stream can be read by"), "{output}");
}

/// `0 6 1 * MON` means the first of a month and every Monday, as POSIX has it. `check` and `status` show it.
#[test]
fn the_next_moments_of_a_schedule_are_shown() {
    let operator = operator();
    operator.write("networks/awin.json", &GOOD.replace("0 * * * *", "0 6 1 * MON")).unwrap();
    let checked: serde_json::Value =
        serde_json::from_str(&operator.succeed(&["--output", "json", "check"]).unwrap()).unwrap();
    let status: serde_json::Value =
        serde_json::from_str(&operator.succeed(&["--output", "json", "status"]).unwrap()).unwrap();
    let now = Utc::now();
    let is_named = |at: &DateTime<Utc>| at.day() == 1 || at.weekday() == Weekday::Mon;
    let hours = (1..24 * 40).map(|hours| now + TimeDelta::hours(hours)).filter(|at| at.hour() == 6);
    let expected: Vec<_> = hours.filter(is_named).map(|at| at.format("%FT06:00:00Z").to_string()).take(3).collect();
    assert_eq!(checked[0]["next"], serde_json::json!(expected));
    assert_eq!(status["networks"][0]["next"], serde_json::json!(expected));
    let shown = operator.succeed(&["check"]).unwrap();
    assert!(shown.contains("either is enough") && shown.contains(&expected[0][..10]), "{shown}");
    assert!(operator.succeed(&["status"]).unwrap().contains(&expected[0][..10]));
}

#[test]
fn a_failing_state_store_is_a_failure_of_the_settings() {
    let operator = operator();
    operator.write("state.db", &"no database ".repeat(50)).unwrap();
    for command in
        [&["status"][..], &["check"], &["run", "awin"], &["connectors"], &["rejects", "retry"], &["plan", "awin"]]
    {
        let answer = operator.sluice(command).unwrap();
        assert_eq!(answer.code, 78, "{command:?}: {answer:?}");
        assert_eq!(answer.stderr.matches("cannot open the state store").count(), 1, "{command:?}: {answer:?}");
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let operator = operator();
    for query in ["SELECT * FROM generate_series(1, 100000)", "SELECT * FROM generate_series(1, 3)"] {
        for format in ["table", "csv", "json", "parquet"] {
            let mut child = operator.command(&["sql", query, "--format", format]);
            let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stdout.take());
            let ended = child.wait_with_output().unwrap();
            assert_eq!(
                (ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()),
                (Some(0), ""),
                "{format}"
            );
        }
    }
}

#[test]
fn a_secret_written_out() {
    let text = network_with("env:AWIN_TOKEN", "hunter2-hunter2");
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_host_that_only_the_connector_wants() {
    let operator = operator();
    operator.write("networks/awin.json", &GOOD.replace("api.awin.com", "api.awin.example")).unwrap();
    insta::assert_snapshot!(output(&operator, &["plan", "awin", "--since", "2026-01-01", "--until", "2026-01-02"]));
}

#[test]
fn a_plan_shows_no_secret() {
    let text = output(&operator(), &["plan", "awin", "--since", "2026-01-01", "--until", "2026-03-01"]);
    assert!(!text.contains("a-token-of-some-length"), "{text}");
    insta::assert_snapshot!(text);
}

/// What `connectors verify` says of a file of these bytes.
fn verify(bytes: &[u8]) -> String {
    let operator = operator();
    std::fs::write(operator.join("candidate.wasm"), bytes).unwrap();
    output(&operator, &["connectors", "verify", "candidate.wasm"])
}

#[test]
fn each_file_that_is_no_connector_has_one_clear_error() {
    for (name, bytes) in [
        ("an_empty_component", b"".as_slice()),
        ("a_component_that_is_none", b"#!/bin/sh\necho hello\n"),
        ("a_core_module", b"\0asm\x01\0\0\0"),
        ("a_component_of_another_world", b"\0asm\x0d\0\x01\0"),
    ] {
        insta::assert_snapshot!(name, verify(bytes));
    }
}

#[test]
fn a_truncated_component() {
    let whole = std::fs::read(connectors_dir().join("awin.wasm")).unwrap();
    let output = verify(&whole[..whole.len() / 2]);
    // Where it ends moves with every build of the connector.
    let (before, after) = output.split_once("offset 0x").expect("an offset");
    let after = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    insta::assert_snapshot!(format!("{before}offset [hex]{after}"));
}

#[test]
fn a_refused_file_does_not_hide_a_good_one() {
    let operator = operator();
    operator.write("connectors.d/broken.wasm", "no component").unwrap();
    let text = output(&operator, &["connectors", "list"]);
    assert!(text.contains("awin.wasm: serving") && text.contains("broken.wasm: refused"), "{text}");
}

#[test]
fn sql_that_is_wrong() {
    let operator = operator();
    for (name, query) in [
        ("syntax", "SELEC 1"),
        ("table", "SELECT * FROM unified.transaction"),
        ("column", "SELECT comission_amount FROM unified.transactions"),
        ("function", "SELECT summ(commission_amount) FROM unified.transactions"),
        ("qualified_column", "SELECT t.comission_amount FROM unified.transactions t"),
        ("write", "DELETE FROM unified.transactions"),
        ("create", "CREATE TABLE t AS SELECT 1"),
        ("copy", "COPY (SELECT 1) TO 'out.csv'"),
        ("two", "SELECT 1; SELECT 2"),
        ("file", "SELECT * FROM '/etc/passwd'"),
    ] {
        insta::assert_snapshot!(format!("sql_{name}"), output(&operator, &["sql", query]));
    }
}

#[test]
fn an_empty_lake_answers() {
    insta::assert_snapshot!(output(
        &operator(),
        &["sql", "SELECT count(*) AS n FROM unified.transactions", "--format", "csv"]
    ));
}

#[test]
fn an_unknown_format() {
    insta::assert_snapshot!(output(&operator(), &["sql", "SELECT 1", "--format", "xlsx"]));
}

/// The demo ends with commands; each of them works in the folder that it leaves.
#[test]
fn the_demo_fits_on_a_screen_and_its_commands_work() {
    let operator = operator();
    let mut demo = operator.command(&["demo", "--dir", "shown"]);
    let shown = demo.env("SLUICE_CONNECTORS", connectors_dir()).output().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && shown.stderr.is_empty(), "{shown:?}");
    assert!(text.lines().count() <= 50, "{text}");
    let (story, commands) = text.split_once("Try next:\n").unwrap();
    for part in ["Collected", "Commissions in EUR", "What changed", "A doubt", "sluice doubts reject", "The history of"]
    {
        assert!(story.contains(part), "{part}: {story}");
    }
    let mut commands = commands.lines().map(str::trim);
    assert_eq!(commands.next(), Some("cd shown"));
    let commands: Vec<&str> = commands.collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let environment = operator.command(&[]);
        let environment = environment.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", command]).current_dir(operator.join("shown")).env_clear().envs(environment);
        let answer = shell.output().unwrap();
        assert!(answer.status.success() && !answer.stdout.is_empty(), "{command}: {answer:?}");
    }
}

#[test]
fn errors_as_json() {
    let answer = operator().sluice(&["--output", "json", "run", "nobody"]).unwrap();
    let error: serde_json::Value = serde_json::from_str(&answer.stderr).unwrap();
    assert_eq!(answer.code, 2);
    assert!(error["error"].as_str().unwrap().contains("nobody") && error["hint"].is_string(), "{error}");
}
