//! Tables to which another program gave a feature that Sluice doesn't honour.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::{Error, TableRef, Upkeep};

const VERSIONS: (&str, &str) = ("unified", "transaction_versions");
/// The vector that hides a file's first row, as a Delta log has it in line.
const FIRST_ROW: &str = "^Bg9^0rr910000000000iXQKl0rr91000005c8Xg00000";

fn log_of(lake: &Lake, (schema, name): (&str, &str)) -> PathBuf {
    lake.url_of(schema, name).unwrap().to_file_path().unwrap().join("_delta_log")
}

fn commits(lake: &Lake, table: (&str, &str)) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(log_of(lake, table)).unwrap().map(|entry| entry.unwrap().path());
    let mut commits: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    commits.sort();
    commits
}

/// All actions of a table's log.
fn actions(lake: &Lake, table: (&str, &str)) -> Vec<Value> {
    let texts = commits(lake, table).into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Another program's commit to a table: a protocol, properties, and further actions.
fn commit(lake: &Lake, table: (&str, &str), protocol: &Value, properties: &[(&str, &str)], further: Vec<Value>) {
    let all = actions(lake, table);
    let mut metadata = all.iter().rev().find_map(|action| action.get("metaData")).unwrap().clone();
    for (name, value) in properties {
        metadata["configuration"][name] = json!(value);
        if name.contains("columnMapping") {
            metadata["schemaString"] = json!(mapped_columns(metadata["schemaString"].as_str().unwrap()));
        }
    }
    let info = json!({"commitInfo": {"timestamp": 1_770_000_000_000_u64, "operation": "DELETE"}});
    let actions = [info, json!({"protocol": protocol}), json!({"metaData": metadata})].into_iter().chain(further);
    let lines: Vec<String> = actions.map(|action| action.to_string()).collect();
    let path = log_of(lake, table).join(format!("{:020}.json", commits(lake, table).len()));
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// A schema whose columns have other names in files.
fn mapped_columns(schema: &str) -> String {
    let mut schema: Value = serde_json::from_str(schema).unwrap();
    for (id, field) in (1..).zip(schema["fields"].as_array_mut().unwrap()) {
        let name = format!("col-{id}");
        field["metadata"] = json!({"delta.columnMapping.id": id, "delta.columnMapping.physicalName": name});
    }
    schema.to_string()
}

/// What a `DELETE` of a program that writes deletion vectors does: the first row of a file is hidden.
fn delete_by_vector(lake: &Lake, table: (&str, &str)) {
    let all = actions(lake, table);
    let mut add = all.iter().rev().find_map(|action| action.get("add")).unwrap().clone();
    let remove = json!({"remove": {"path": add["path"], "dataChange": true, "deletionTimestamp": 1_770_000_000_000_u64,
        "extendedFileMetadata": true, "partitionValues": add["partitionValues"], "size": add["size"]}});
    add["deletionVector"] =
        json!({"storageType": "i", "pathOrInlineDv": FIRST_ROW, "sizeInBytes": 34, "cardinality": 1});
    let features = json!(["deletionVectors"]);
    let protocol = json!({"minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": features, "writerFeatures": ["appendOnly", "deletionVectors", "invariants"]});
    let enabled = [("delta.enableDeletionVectors", "true")];
    commit(lake, table, &protocol, &enabled, vec![remove, json!({"add": add})]);
}

async fn add(ledger: &mut crate::Ledger, secs: i64, sales: &[Sale]) {
    let origin = response("run", &format!("r{secs}"), secs);
    ledger.add(origin, &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
}

async fn two_commits() -> (tempfile::TempDir, Lake) {
    let (folder, lake) = new_lake().await;
    for secs in [1, 2] {
        let mut ledger = lake.ledger();
        add(&mut ledger, secs, &[sale("1", 0, secs), sale("2", 0, secs)]).await;
        ledger.commit().await.unwrap();
    }
    (folder, lake)
}

async fn maintained(lake: &Lake, (schema, name): (&str, &str)) -> Result<crate::Maintained, Error> {
    let url = lake.url_of(schema, name).unwrap();
    let table = TableRef { schema: schema.to_owned(), name: name.to_owned(), url };
    lake.maintain(&table, &Upkeep { min_files: 2, ..Upkeep::default() }, Utc::now()).await
}

/// What each way into the tables says.
async fn all_ways(lake: &Lake, table: (&str, &str), open: &mut crate::Ledger) -> Vec<(&'static str, Option<Error>)> {
    let mut fresh = lake.ledger();
    let origin = response("run", "r3", 3);
    let sales = mapped(&[sale("1", 0, 3)]);
    let added = fresh.add(origin, &layout(&["id"]), &connector(), sales).await;
    let fresh = match added {
        Ok(()) => fresh.commit().await.err(),
        Err(error) => Some(error),
    };
    add(open, 4, &[sale("1", 0, 4)]).await;
    vec![
        ("a new ledger", fresh),
        ("an open ledger", open.commit().await.err()),
        ("maintain", maintained(lake, table).await.err()),
        ("replay", replayed(lake).await.err()),
    ]
}

async fn replayed(lake: &Lake) -> Result<(), Error> {
    let mut replay = lake.replay(connector(), Some("replay"), None).await?;
    replay.begin(0).await?;
    replay.add(response("run", "r2", 2), &layout(&["id"]), mapped(&[sale("1", 0, 9)])).await?;
    replay.end().await?;
    replay.finish().await?.commit().await.map(|_| ())
}

#[tokio::test]
async fn a_table_with_deletion_vectors_is_refused_by_name_by_all_that_open_it() {
    for table in [VERSIONS, ("unified", "transactions"), ("awin_test", "transactions")] {
        let (_folder, lake) = two_commits().await;
        let mut open = lake.ledger();
        add(&mut open, 2, &[sale("1", 0, 2)]).await;
        open.commit().await.unwrap();
        delete_by_vector(&lake, table);
        let (before, full) = (commits(&lake, table).len(), format!("{}.{}", table.0, table.1));
        for (way, error) in all_ways(&lake, table, &mut open).await {
            let error = error.unwrap_or_else(|| panic!("{way} takes {full}"));
            let output = format!("table {full} has the feature deletionVectors, which Sluice doesn't write");
            assert_eq!(error.to_string(), output, "{way}");
            let hint = error.hint().unwrap();
            let folder = full.replace('.', "/");
            assert!(hint.contains("DROP FEATURE") && hint.contains(&format!("tables/{folder}")), "{hint}");
        }
        assert_eq!(commits(&lake, table).len(), before, "nothing is committed to {full}");
        let rebuild = lake.rebuild("1", &["awin-test".to_owned()], None).await;
        assert!(rebuild.is_err(), "a rebuild takes {full}");
    }
}

#[tokio::test]
async fn other_features_are_refused_by_their_names_and_harmless_ones_are_not() {
    let listed = |reader: &[&str], writer: &[&str]| json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": reader, "writerFeatures": writer});
    let versions = |reader: i32, writer: i32| json!({"minReaderVersion": reader, "minWriterVersion": writer});
    let mapping: &[(&str, &str)] = &[("delta.columnMapping.mode", "name")];
    let foreign = [
        (
            listed(&[], &["appendOnly", "rowTracking", "domainMetadata"]),
            &[][..],
            "the features domainMetadata, rowTracking",
        ),
        (listed(&["v2Checkpoint"], &["v2Checkpoint"]), &[], "the feature v2Checkpoint"),
        (listed(&[], &["telepathy"]), &[], "the feature telepathy"),
        (versions(2, 5), mapping, "the feature columnMapping"),
        (versions(1, 4), &[], "the writer version 4"),
        (versions(2, 5), &[], "the reader version 2"),
        (listed(&["columnMapping"], &["columnMapping"]), mapping, "the feature columnMapping"),
        (json!({"minReaderVersion": 4, "minWriterVersion": 8}), &[], "the reader version 4"),
    ];
    for (protocol, properties, what) in foreign {
        let (_folder, lake) = two_commits().await;
        commit(&lake, VERSIONS, &protocol, properties, vec![]);
        let error = Table::open(&lake, VERSIONS.0, VERSIONS.1).await.err().expect(what);
        assert!(matches!(&error, Error::Unhonoured { .. }), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let (_folder, lake) = two_commits().await;
    commit(&lake, VERSIONS, &listed(&[], &["appendOnly", "invariants"]), &[], vec![]);
    let mut ledger = lake.ledger();
    add(&mut ledger, 3, &[sale("1", 0, 3)]).await;
    assert_eq!(ledger.commit().await.unwrap().new_versions, 1);
}
