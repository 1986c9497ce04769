//! Tables to which another program gave a feature that Sluice doesn't honour: each command refuses them by name.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, runtime, whole_window};

const HISTORY_DAYS: u32 = 10;
/// The vector that hides a file's first row, as a Delta log has it in line.
const FIRST_ROW: &str = "^Bg9^0rr910000000000iXQKl0rr91000005c8Xg00000";

fn commits(table: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(table.join("_delta_log")).unwrap().map(|entry| entry.unwrap().path());
    let mut commits: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    commits.sort();
    commits
}

/// What Spark's `DELETE` does where deletion vectors are enabled: the first row of a file is hidden.
fn delete_by_vector(table: &Path) {
    let texts = commits(table).into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    // Not every writer ends a commit with a line feed.
    let text = texts.collect::<Vec<String>>().join("\n");
    let lines = text.lines().filter(|line| !line.is_empty());
    let actions: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = |name: &str| actions.iter().rev().find_map(|action| action.get(name)).unwrap().clone();
    let (mut metadata, mut add) = (last("metaData"), last("add"));
    metadata["configuration"]["delta.enableDeletionVectors"] = json!("true");
    let remove = json!({"path": add["path"], "dataChange": true, "deletionTimestamp": 1_770_000_000_000_u64,
        "extendedFileMetadata": true, "partitionValues": add["partitionValues"], "size": add["size"]});
    add["deletionVector"] =
        json!({"storageType": "i", "pathOrInlineDv": FIRST_ROW, "sizeInBytes": 34, "cardinality": 1});
    let protocol = json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"],
        "writerFeatures": ["appendOnly", "deletionVectors", "invariants"]});
    let commit = [
        json!({"commitInfo": {"timestamp": 1_770_000_000_000_u64, "operation": "DELETE"}}),
        json!({"protocol": protocol}),
        json!({"metaData": metadata}),
        json!({"remove": remove}),
        json!({"add": add}),
    ];
    let lines: Vec<String> = commit.iter().map(Value::to_string).collect();
    let path = table.join(format!("_delta_log/{:020}.json", commits(table).len()));
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn every_command_refuses_a_table_with_deletion_vectors_by_name() {
    let runtime = runtime();
    let start: DateTime<Utc> = "2025-11-10T12:00:00Z".parse().unwrap();
    let options = Options { start, history_days: HISTORY_DAYS, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let first = Operator::of(&simulator, &["awin"]).unwrap();
    first.run("awin", &whole_window(&simulator, start, HISTORY_DAYS.into())).unwrap();
    simulator.advance(TimeDelta::days(2));
    let [since, until] = whole_window(&simulator, start, HISTORY_DAYS.into());
    for name in ["unified.transactions", "unified.transaction_versions", "awin.transactions"] {
        let operator = first.fork().unwrap();
        let table = operator.join("lake/tables").join(name.replace('.', "/"));
        delete_by_vector(&table);
        let before = commits(&table).len();
        let sql = format!("SELECT count(*) FROM {name}");
        let ways: [&[&str]; 6] = [
            &["run", "awin", "--since", &since, "--until", &until],
            &["sql", &sql],
            &["maintain"],
            &["build", "awin"],
            &["build", "--from-raw"],
            &["replay", "awin", "--diff"],
        ];
        for arguments in ways {
            // A comparison is made with the versions.
            if arguments[0] == "replay" && name == "unified.transactions" {
                continue;
            }
            let answer = operator.sluice(arguments).unwrap();
            assert_ne!(answer.code, 0, "{name} {arguments:?}: {answer:?}");
            let expected = format!("table {name} has the feature deletionVectors");
            let output = format!("{}{}", answer.stdout, answer.stderr);
            assert!(output.contains(&expected) && output.contains("DROP FEATURE"), "{name} {arguments:?}: {answer:?}");
        }
        assert_eq!(commits(&table).len(), before, "nothing was committed to {name}");
        // The way out that the hint names.
        std::fs::rename(&table, operator.join("away")).unwrap();
        operator.succeed(&["build", "--from-raw"]).unwrap();
        let report = operator.run("awin", &[since.clone(), until.clone()]).unwrap();
        assert_eq!(report["status"], "done", "{report}");
        let twice = "SELECT transaction_key FROM unified.transaction_versions GROUP BY transaction_key, version \
                     HAVING count(*) > 1";
        assert!(operator.sql(twice).unwrap().is_empty());
    }
}
