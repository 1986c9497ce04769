//! `docs/data-model.md` lists every column of `unified.*` and `meta.*`, as the schema has them.
//! `SLUICE_BLESS=1` writes what is generated into the page.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::SchemaRef;
use lake::TestLake;
use sluice_model::Fact;
use sluice_model::unified::type_name;
use sluice_query::Session;
use sluice_query::documentation::{Relation, relations};

const BEGIN: &str = "<!-- generated from the schema: edit there, then `just bless` -->\n";
const END: &str = "<!-- end of what is generated -->\n";

async fn columns(session: &Session, relation: &Relation) -> SchemaRef {
    session.query(&format!("select * from {}", relation.name)).await.unwrap().schema()
}

/// The generated part of the page.
async fn generated(session: &Session) -> String {
    let mut page = String::new();
    for relation in relations() {
        page.push_str(&format!("\n### {}\n\n{}\n", relation.name, relation.documentation));
        if let Some(same) = relation.columns_of() {
            page.push_str(&format!("Its columns are those of `{same}`.\n"));
            continue;
        }
        let fact = relation.versions_of();
        page.push_str(if fact.is_some() {
            "\n| column | type | group | meaning |\n|---|---|---|---|\n"
        } else {
            "\n| column | type | meaning |\n|---|---|---|\n"
        });
        for field in columns(session, &relation).await.fields() {
            let (name, kind) = (field.name(), type_name(field.data_type()));
            let meaning = relation.column(name);
            let meaning = meaning.unwrap_or_else(|| panic!("{}.{name} has no documentation", relation.name));
            assert!(!meaning.contains('|') && !meaning.contains('\n'), "{name}: {meaning}");
            let unified = fact.and_then(|fact| fact.columns().iter().find(|column| column.name == name));
            page.push_str(&match unified {
                Some(column) => {
                    let null = if column.nullable() { "?" } else { "" };
                    format!("| `{name}` | {kind}{null} | {} | {meaning} |\n", column.group.name())
                }
                None => format!("| `{name}` | {kind} | {meaning} |\n"),
            });
        }
    }
    page.push('\n');
    page
}

#[tokio::test]
async fn the_page_has_every_column() {
    let session = TestLake::new().session().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data-model.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the generated part begins");
    let (_, after) = rest.split_once(END).expect("the page says where the generated part ends");
    let wanted = format!("{before}{BEGIN}{}{END}{after}", generated(&session).await);
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(page == wanted, "docs/data-model.md differs from the schema: `just bless` writes it anew");
    }
}

/// What the page doesn't list is a native table.
#[tokio::test]
async fn the_page_has_every_table_and_view() {
    let session = TestLake::new().session().await;
    let documented: Vec<String> = relations().into_iter().map(|relation| relation.name).collect();
    for (schema, name) in session.tables() {
        assert!(documented.contains(&format!("{schema}.{name}")), "{schema}.{name} isn't in docs/data-model.md");
    }
}

#[tokio::test]
async fn relations_that_share_columns_have_the_same_ones() {
    let session = TestLake::new().session().await;
    let relations = relations();
    for relation in &relations {
        let Some(same) = relation.columns_of() else { continue };
        let other = relations.iter().find(|other| other.name == same).unwrap();
        let names = |schema: SchemaRef| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(columns(&session, relation).await), names(columns(&session, other).await), "{relation:?}");
    }
}

#[tokio::test]
async fn the_schema_is_a_table() {
    let session = TestLake::new().session().await;
    let sql = "SELECT name, type, nullable, \"group\", given_by, documentation FROM meta.unified_columns \
               WHERE table_name = 'transaction_versions' AND name IN ('sub_ids', 'commission_effective')";
    let rows = session.query(sql).await.unwrap().collect().await.unwrap();
    let text = |column: usize, row: usize| rows[0].column(column).as_string::<i32>().value(row).to_owned();
    let row = |row: usize| [0, 1, 3, 4].map(|column| text(column, row));
    assert_eq!(row(0), ["commission_effective", "decimal(18, 6)", "money", "engine"]);
    assert_eq!(row(1), ["sub_ids", "map(text, text)", "attribution", "connector"]);
    assert_eq!([0, 1].map(|row| rows[0].column(2).as_boolean().value(row)), [false, true]);
    let all = session.query("SELECT * FROM meta.unified_columns").await.unwrap().collect().await.unwrap();
    let columns: usize = Fact::ALL.into_iter().map(|fact| fact.columns().len()).sum();
    assert_eq!(all.iter().map(|rows| rows.num_rows()).sum::<usize>(), columns);
}
