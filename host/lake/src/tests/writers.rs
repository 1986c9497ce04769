//! Other programs that write the same tables.

use deltalake::kernel::{Action, DataType as DeltaType, MetadataExt, PrimitiveType, StructField, StructType};
use deltalake::protocol::{DeltaOperation, SaveMode};

use super::latest::assert_latest;
use super::*;
use crate::Error;
use crate::table::Commit;

async fn add(ledger: &mut crate::Ledger, secs: i64, sales: &[Sale]) {
    let origin = response("run", &format!("r{secs}"), secs);
    ledger.add(origin, &layout(&["id"]), &connector(), mapped(sales)).await.unwrap();
}

/// Another program gives a table other columns.
async fn alter(lake: &Lake, schema: &str, name: &str, change: impl Fn(Vec<StructField>) -> Vec<StructField>) {
    let log = lake.log_store(&lake.url_of(schema, name).unwrap()).unwrap();
    let mut theirs = deltalake::DeltaTable::new(log);
    theirs.load().await.unwrap();
    let state = theirs.snapshot().unwrap();
    let fields = change(state.schema().fields().cloned().collect());
    let metadata = state.metadata().clone().with_schema(&StructType::try_new(fields).unwrap()).unwrap();
    let mut table = Table::open(lake, schema, name).await.unwrap();
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    let done = table.commit_actions(vec![Action::Metadata(metadata)], operation, Vec::new()).await.unwrap();
    assert!(matches!(done, Commit::Done));
}

fn retyped(fields: Vec<StructField>, name: &str, kind: PrimitiveType) -> Vec<StructField> {
    let change = |field: StructField| {
        if field.name() == name {
            StructField { data_type: DeltaType::Primitive(kind.clone()), ..field }
        } else {
            field
        }
    };
    fields.into_iter().map(change).collect()
}

#[tokio::test]
async fn columns_that_another_writer_added_meanwhile_stay_and_are_null() {
    let (_folder, lake) = new_lake().await;
    let mut ledger = lake.ledger();
    add(&mut ledger, 1, &[sale("1", 0, 1), sale("2", 0, 1)]).await;
    ledger.commit().await.unwrap();
    for (schema, name) in [("unified", "transaction_versions"), ("awin_test", "transactions")] {
        let note = |fields: Vec<StructField>| {
            let note = StructField::nullable("note", DeltaType::STRING);
            // Not at the end, as `ALTER TABLE … ADD COLUMN … AFTER` does.
            fields[..3].iter().cloned().chain([note]).chain(fields[3..].iter().cloned()).collect()
        };
        alter(&lake, schema, name, note).await;
    }
    // The ledger's snapshots are older than that.
    add(&mut ledger, 2, &[sale("1", 0, 2), sale("3", 0, 1)]).await;
    assert_eq!(ledger.commit().await.unwrap().new_versions, 4);
    let versions = values(&lake, "unified", "transaction_versions", &["transaction_id", "version", "note"]).await;
    assert_eq!(versions, ["1 1 -", "1 2 -", "2 1 -", "3 1 -"]);
    assert_eq!(values(&lake, "awin_test", "transactions", &["id", "note"]).await, ["1 -", "1 -", "2 -", "3 -"]);
    assert_eq!(assert_latest(&lake).await, 3);
    let latest = Table::open(&lake, "unified", "transactions").await.unwrap().schema().unwrap();
    assert!(latest.field_with_name("note").is_ok());
    // Their column is then that of a field of this name.
    let mut mapped = mapped(&[sale("4", 0, 1)]);
    mapped.native.columns.push(native_column("note", &[Some("\"x\"")]));
    ledger.add(response("run", "r3", 3), &layout(&["id"]), &connector(), mapped).await.unwrap();
    ledger.commit().await.unwrap();
    assert_eq!(values(&lake, "awin_test", "transactions", &["id", "note"]).await[3..], ["3 -", "4 x"]);
}

#[tokio::test]
async fn a_native_type_that_another_writer_narrowed_loses_nothing() {
    let (_folder, lake) = new_lake().await;
    let batch = |id, value| native(&[("id", &[Some(id)]), ("f", &[Some(value)])]);
    let mut ledger = lake.ledger();
    ledger.add(response("run", "r1", 1), &layout(&["id"]), &connector(), only_native(batch("1", "0.5"))).await.unwrap();
    ledger.commit().await.unwrap();
    alter(&lake, "awin_test", "transactions", |fields| retyped(fields, "f", PrimitiveType::Float)).await;
    let precise = "0.1234567890123";
    ledger
        .add(response("run", "r2", 2), &layout(&["id"]), &connector(), only_native(batch("2", precise)))
        .await
        .unwrap();
    ledger.commit().await.unwrap();
    let rows = values(&lake, "awin_test", "transactions", &["id", "f", "f_2"]).await;
    assert_eq!(rows, ["1 0.5 -", "2 - 0.1234567890123"]);
}

#[tokio::test]
async fn a_unified_type_that_another_writer_changed_is_refused_with_a_hint() {
    let (_folder, lake) = new_lake().await;
    let mut ledger = lake.ledger();
    add(&mut ledger, 1, &[sale("1", 0, 1)]).await;
    ledger.commit().await.unwrap();
    let versions = ("unified", "transaction_versions");
    alter(&lake, versions.0, versions.1, |fields| retyped(fields, "status_raw", PrimitiveType::Integer)).await;
    let files = Table::open(&lake, versions.0, versions.1).await.unwrap().files().len();
    add(&mut ledger, 2, &[sale("1", 0, 2)]).await;
    let error = ledger.commit().await.unwrap_err();
    assert!(matches!(error, Error::Column { .. }), "{error}");
    assert_eq!(error.to_string(), "column status_raw of table unified.transaction_versions is Int32, not Utf8");
    assert!(error.hint().unwrap().contains("give the column back its type"));
    assert_eq!(Table::open(&lake, versions.0, versions.1).await.unwrap().files().len(), files);
    // With its type again, what was refused is built from raw.
    alter(&lake, versions.0, versions.1, |fields| retyped(fields, "status_raw", PrimitiveType::String)).await;
    let mut ledger = lake.ledger();
    add(&mut ledger, 2, &[sale("1", 0, 2)]).await;
    assert_eq!(ledger.commit().await.unwrap().new_versions, 1);
    assert_eq!(assert_latest(&lake).await, 1);
}
