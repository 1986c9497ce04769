//! `sluice maintain`, and the service that does it by itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{HostileServer, Operator, Service, change_state, lake_sums, runtime, true_sums, whole_window};

const HISTORY_DAYS: u32 = 20;

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

fn simulator(start: DateTime<Utc>, rows_per_day: u32) -> (tokio::runtime::Runtime, Simulator) {
    let runtime = runtime();
    let options = Options { start, history_days: HISTORY_DAYS, rows_per_day, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    (runtime, simulator)
}

fn set(operator: &Operator, more: &str) {
    let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n";
    operator.write("sluice.toml", &format!("{settings}{more}")).unwrap();
}

fn maintain(operator: &Operator, more: &[&str]) -> Vec<Value> {
    let output = operator.succeed(&[&["--output", "json", "maintain"], more].concat()).unwrap();
    serde_json::from_str(&output).unwrap()
}

fn total(reports: &[Value], name: &str) -> u64 {
    reports.iter().map(|report| report[name].as_u64().unwrap()).sum()
}

/// Makes everything in a folder look as if it was written long ago.
fn age(folder: &Path, days: u64) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, days)
        } else {
            let then = SystemTime::now() - Duration::from_secs(days * 86_400);
            std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        }
    }
}

/// Moves what raw holds of a day to an earlier one: when it was sent, received and read.
fn backdate(folder: &Path, day: DateTime<Utc>, days: i64) {
    let quoted = |day: DateTime<Utc>| format!("\"{}T", day.format("%F"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            backdate(&path, day, days);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let bytes = std::fs::read(&path).unwrap();
            // Envelopes are packed, markers of slices aren't; both are read plain.
            let text = zstd::decode_all(&bytes[..]).unwrap_or(bytes);
            let text = String::from_utf8(text).unwrap();
            std::fs::write(path, text.replace(&quoted(day), &quoted(day - TimeDelta::days(days)))).unwrap();
        }
    }
}

/// Data files in a folder; those of logs aren't.
fn parquet_files(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: std::path::PathBuf| {
        if !path.is_dir() {
            u64::from(path.extension().is_some_and(|extension| extension == "parquet"))
        } else if path.ends_with("_delta_log") {
            0
        } else {
            parquet_files(&path)
        }
    };
    entries.map(count).sum()
}

#[test]
fn the_truth_stays_the_truth_and_files_become_few() {
    let (_runtime, simulator) = simulator(start(), 3);
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let run = || operator.run("awin", &whole_window(&simulator, start(), HISTORY_DAYS.into())).unwrap();
    let mut found = 0;
    for _ in 0..5 {
        found += run()["new_versions"].as_u64().unwrap();
        simulator.advance(TimeDelta::days(2));
    }
    found += run()["new_versions"].as_u64().unwrap();
    let dry = maintain(&operator, &["--dry-run"]);
    assert!(total(&dry, "merged_files") > 0, "{dry:?}");
    assert_eq!(total(&maintain(&operator, &["--dry-run"]), "merged_files"), total(&dry, "merged_files"));
    let one = maintain(&operator, &["--table", "unified.transaction_versions"]);
    assert_eq!(one.len(), 1);
    assert!(one[0]["merged_files"].as_u64().unwrap() >= 4, "{one:?}");
    let done = maintain(&operator, &[]);
    assert_eq!(total(&done, "deleted_files"), 0, "what was merged is kept for time travel: {done:?}");
    assert_eq!(total(&maintain(&operator, &[]), "merged_files"), 0, "nothing is left to do");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
    assert_eq!(run()["new_versions"], 0, "the ledger's index finds what it knew");
    age(&operator.join("lake/tables"), 10);
    let swept = maintain(&operator, &[]);
    // What the latest state has replaced by itself goes too.
    assert!(total(&swept, "deleted_files") >= total(&dry, "merged_files"), "{swept:?}");
    assert_eq!(parquet_files(&operator.join("lake/tables")), total(&swept, "files"), "only live files are left");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
    assert_eq!(run()["new_versions"], 0);
    let versions = operator.sql("SELECT count(*) AS n FROM unified.transaction_versions").unwrap();
    assert_eq!(versions[0]["n"].as_u64().unwrap(), found, "no version is lost and none is there twice");
}

#[test]
fn what_is_wrong_is_said() {
    let operator = Operator::empty().unwrap();
    let answer = operator.sluice(&["maintain", "--table", "unified.no_such"]).unwrap();
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.stderr.contains("hint: "), "{answer:?}");
    let wrong = ["[maintain]\nkeep_weeks = 1\n", "[maintain]\nkeep_days = 0\n"];
    for settings in wrong {
        set(&operator, settings);
        let answer = operator.sluice(&["maintain"]).unwrap();
        assert_eq!(answer.code, 78, "{settings}: {answer:?}");
        assert!(answer.stderr.contains("hint: "), "{settings}: {answer:?}");
    }
}

#[test]
fn the_service_looks_after_its_lake_between_runs() {
    // The service looks back from the real clock.
    let (_runtime, simulator) = simulator(Utc::now(), 2);
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    operator.read_every_second(&simulator, "awin").unwrap();
    set(&operator, "[maintain]\nevery = \"1s\"\nmin_files = 2\n");
    let mut service = Service::start(&operator).unwrap();
    service.wait_for(&["maintenance", "meta.runs", "merged into"]).unwrap();
    service.wait_for(&["awin", "0 new versions"]).unwrap();
    service.wait_for(&["maintenance is done"]).unwrap();
}

#[test]
fn maintenance_that_waited_long_enough_begins_while_a_run_is_in_flight() {
    let (_runtime, simulator) = simulator(start(), 2);
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    operator.run("awin", &whole_window(&simulator, start(), HISTORY_DAYS.into())).unwrap();
    set(&operator, "[maintain]\nevery = \"1s\"\n");
    // The service's run gets no answer before the test is over.
    let (_held, hold) = mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let network = HostileServer::start(move |_, _| {
        let _ = hold.lock().unwrap().recv();
        Ok(())
    });
    let accounts = operator.accounts(&simulator, "awin");
    operator.write_network("awin", &network.unwrap().origin(), accounts).unwrap();
    let maintained = |at: DateTime<Utc>| {
        let row = format!("INSERT OR REPLACE INTO schedule_times VALUES ('', 'maintenance', '{}')", at.to_rfc3339());
        change_state(&operator, &row);
    };
    // It isn't due for minutes.
    maintained(Utc::now() + TimeDelta::minutes(4));
    let mut service = Service::start(&operator).unwrap();
    service.wait_for(&["run begins", "awin"]).unwrap();
    maintained(Utc::now() - TimeDelta::hours(2));
    service.wait_for(&["maintenance is done"]).unwrap();
}

#[test]
fn raw_that_is_older_than_it_is_kept_goes_and_nobody_forgets_it_in_silence() {
    let (_runtime, simulator) = simulator(start(), 3);
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let run = || operator.run("awin", &whole_window(&simulator, start(), HISTORY_DAYS.into())).unwrap();
    let began = Utc::now();
    let first = run()["requests"].as_u64().unwrap();
    for day in [began, Utc::now()] {
        backdate(&operator.join("lake/raw"), day, 40);
    }
    age(&operator.join("lake/raw"), 40);
    std::fs::remove_dir_all(operator.join("lake/tables")).unwrap();
    operator.succeed(&["build", "--from-raw"]).unwrap();
    simulator.advance(TimeDelta::days(6));
    run();
    assert!(!maintain(&operator, &[]).iter().any(|report| report["table"] == "raw.objects"), "it is kept for ever");
    assert_eq!(operator.sluice(&["maintain", "--table", "raw.objects"]).unwrap().code, 2);
    set(&operator, "[raw]\nkeep_days = 30\n");
    let only_raw = ["--table", "raw.objects"];
    let dry = maintain(&operator, &["--table", "raw.objects", "--dry-run"]);
    assert_eq!((total(&dry, "retired_runs"), total(&dry, "retired_responses")), (1, first), "{dry:?}");
    let versions = || operator.sql("SELECT * FROM unified.transaction_versions ORDER BY 1, version").unwrap();
    let before = versions();
    let done = maintain(&operator, &only_raw);
    assert_eq!((total(&done, "retired_runs"), total(&done, "deleted_bodies")), (1, 0), "{done:?}");
    age(&operator.join("lake/raw/aside"), 2);
    let swept = operator.succeed(&["maintain", "--table", "raw.objects"]).unwrap();
    assert!(swept.starts_with("raw.objects: ") && swept.contains("bodies deleted"), "{swept}");

    let built = operator.sluice(&["build", "awin"]).unwrap();
    assert_eq!(built.code, 0, "{built:?}");
    assert!(built.stderr.contains(&format!("raw no longer holds {first} responses")), "{built:?}");
    let replay: Value =
        serde_json::from_str(&operator.succeed(&["--output", "json", "replay", "awin", "--diff"]).unwrap()).unwrap();
    assert_eq!((&replay["empty"], replay["gone"]["responses"].as_u64()), (&true.into(), Some(first)), "{replay}");
    let output = operator.succeed(&["replay", "awin", "--diff"]).unwrap();
    assert!(output.contains("isn't compared"), "{output}");
    let oldest = operator.sql("SELECT transaction_key FROM unified.transactions ORDER BY observed_at LIMIT 1").unwrap();
    let explained = operator.succeed(&["explain", oldest[0]["transaction_key"].as_str().unwrap()]).unwrap();
    assert!(explained.contains("no longer in raw"), "{explained}");

    let refused = operator.sluice(&["build", "--from-raw"]).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("raw no longer holds") && refused.stderr.contains("--lossy"), "{refused:?}");
    assert_eq!(versions(), before, "nothing was lost");
    // Without tables, raw itself tells that it isn't whole.
    std::fs::rename(operator.join("lake/tables"), operator.join("tables")).unwrap();
    assert_eq!(operator.sluice(&["build", "--from-raw"]).unwrap().code, 1);
    std::fs::rename(operator.join("tables"), operator.join("lake/tables")).unwrap();
    operator.succeed(&["build", "--from-raw", "--lossy"]).unwrap();
    assert!(versions().len() < before.len());
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"), "the second run saw all there is");
}
