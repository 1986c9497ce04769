//! Deletes a row of a Delta table by a deletion vector, as Spark does.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

const Z85: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Commits a version of the table in `folder` in which the transaction is deleted.
pub(crate) fn delete_by_vector(folder: &Path, transaction_id: &str) {
    let log = Log::read(folder);
    let mut metadata = log.metadata.clone();
    metadata["configuration"]["delta.enableDeletionVectors"] = "true".into();
    let protocol = json!({
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"],
        "writerFeatures": ["appendOnly", "deletionVectors", "invariants"],
    });
    let mut actions = vec![
        json!({"commitInfo": {"timestamp": NOW_MS, "operation": "DELETE", "operationParameters": {}}}),
        json!({"protocol": protocol}),
        json!({"metaData": metadata}),
    ];
    for (path, add) in &log.files {
        let Some(row) = row_of(&folder.join(decoded(path)), transaction_id) else { continue };
        actions.push(json!({"remove": {
            "path": path, "deletionTimestamp": NOW_MS, "dataChange": true, "extendedFileMetadata": true,
            "partitionValues": add["partitionValues"], "size": add["size"],
        }}));
        let vector = bitmap(row);
        let mut add = add.clone();
        add["dataChange"] = true.into();
        add["deletionVector"] = json!({
            "storageType": "i", "pathOrInlineDv": z85(&vector), "sizeInBytes": vector.len(), "cardinality": 1,
        });
        let mut stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
        stats["tightBounds"] = false.into();
        add["stats"] = stats.to_string().into();
        actions.push(json!({"add": add}));
    }
    assert_eq!(actions.len(), 5, "{transaction_id} is in one file of {}", folder.display());
    let lines: String = actions.iter().map(|action| format!("{action}\n")).collect();
    std::fs::write(folder.join(format!("_delta_log/{:020}.json", log.version + 1)), lines).unwrap();
}

/// Any moment does: nothing is vacuumed by it here.
const NOW_MS: u64 = 1_796_000_000_000;

/// What a table's log without checkpoint says.
struct Log {
    version: u64,
    metadata: Value,
    files: BTreeMap<String, Value>,
}

impl Log {
    fn read(folder: &Path) -> Self {
        let mut commits: Vec<PathBuf> =
            std::fs::read_dir(folder.join("_delta_log")).unwrap().map(|entry| entry.unwrap().path()).collect();
        commits.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        commits.sort();
        let version = commits.last().unwrap().file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let mut log = Self { version, metadata: Value::Null, files: BTreeMap::new() };
        for commit in commits {
            for line in std::fs::read_to_string(commit).unwrap().lines() {
                let action: Value = serde_json::from_str(line).unwrap();
                let path = |action: &Value| action["path"].as_str().map(str::to_owned);
                if let Some(added) = path(&action["add"]) {
                    log.files.insert(added, action["add"].clone());
                } else if let Some(removed) = path(&action["remove"]) {
                    log.files.remove(&removed);
                } else if action["metaData"].is_object() {
                    log.metadata = action["metaData"].clone();
                }
            }
        }
        log
    }
}

/// Paths in a log are URL-encoded: `month=2026-01` may be `month%3D2026-01`.
fn decoded(path: &str) -> String {
    path.replace("%3D", "=").replace("%20", " ")
}

/// Where a transaction stands in a Parquet file.
fn row_of(file: &Path, transaction_id: &str) -> Option<u16> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    let mut before = 0;
    for batch in reader {
        let batch = batch.unwrap();
        let ids =
            arrow::compute::cast(batch.column_by_name("transaction_id").unwrap(), &arrow::datatypes::DataType::Utf8);
        let ids = ids.unwrap();
        if let Some(at) = ids.as_string::<i32>().iter().position(|id| id == Some(transaction_id)) {
            return Some(u16::try_from(before + at).unwrap());
        }
        before += ids.len();
    }
    None
}

/// A portable Roaring bitmap of one row, with Delta's magic number before it
/// (<https://github.com/delta-io/delta/blob/master/PROTOCOL.md#deletion-vector-format>).
fn bitmap(row: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(1_681_511_377_u32.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    for word in [12_346_u32, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for half in [0_u16, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend(row.to_le_bytes());
    bytes
}

/// Base85 as ZeroMQ writes it (<https://rfc.zeromq.org/spec/32/>), filled with zeros to whole words.
fn z85(bytes: &[u8]) -> String {
    let word = |chunk: &[u8]| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        let value = u32::from_be_bytes(word);
        [4, 3, 2, 1, 0].map(|power| char::from(Z85[(value / 85_u32.pow(power) % 85) as usize]))
    };
    bytes.chunks(4).flat_map(word).collect()
}
