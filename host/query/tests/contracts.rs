//! What queries out there count on: the columns of every table, and their types.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use arrow::datatypes::Schema;
use lake::TestLake;
use sluice_model::Fact;

#[tokio::test]
async fn tables_and_views_keep_their_columns() {
    let session = TestLake::new().session().await;
    let mut relations: Vec<String> =
        session.tables().into_iter().map(|(schema, table)| format!("{schema}.{table}")).collect();
    relations.push("unified.as_of('2026-01-31')".to_owned());
    relations.push("unified.restatements('2026-01-31', '2026-02-28')".to_owned());
    let mut text = String::new();
    let mut versions = Vec::new();
    for fact in Fact::ALL {
        let name = format!("unified.{}", fact.versions());
        versions.push((session.query(&format!("select * from {name}")).await.unwrap().schema(), name));
    }
    for relation in relations {
        text.push_str(&format!("{relation}\n"));
        let schema = session.query(&format!("select * from {relation}")).await.unwrap().schema();
        let names = |schema: &Schema| {
            schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<Vec<_>>()
        };
        let same = versions.iter().find(|(other, name)| *name != relation && names(&schema) == names(other));
        if let Some((_, name)) = same {
            text.push_str(&format!("  the columns of {name}\n"));
            continue;
        }
        for field in schema.fields() {
            text.push_str(&format!("  {} {}\n", field.name(), field.data_type()));
        }
    }
    insta::assert_snapshot!(text);
}
