//! Redshift Spectrum: external tables over Delta's manifests, whose columns and partitions are written out.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use sluice_lake::{TableColumns, TableRef};

use super::dialect::literal;

/// A schema of the Glue catalogue, which is made with it.
pub(super) fn schema(schema: &str, role: &str) -> String {
    let role = if role == "default" { role.to_owned() } else { literal(role) };
    format!(
        "CREATE EXTERNAL SCHEMA IF NOT EXISTS \"{schema}\" FROM DATA CATALOG DATABASE '{schema}' IAM_ROLE {role} \
         CREATE EXTERNAL DATABASE IF NOT EXISTS"
    )
}

/// The table, and each of its partitions.
pub(super) fn table(schema: &str, table: &TableRef, columns: &TableColumns) -> Vec<String> {
    let name = format!("\"{schema}\".\"{}\"", table.name);
    let manifests = format!("{}_symlink_format_manifest/", table.url);
    let defined = |is_partition: bool| {
        let fields = columns.schema.fields().iter();
        let fields = fields.filter(move |field| columns.partitioned_by.contains(field.name()) == is_partition);
        let fields =
            fields.map(|field| format!("\"{}\" {}", field.name(), column_type(field.data_type(), is_partition)));
        fields.collect::<Vec<_>>().join(", ")
    };
    let parted =
        if columns.partitioned_by.is_empty() { String::new() } else { format!(" PARTITIONED BY ({})", defined(true)) };
    let create = format!(
        "CREATE EXTERNAL TABLE {name} ({}){parted} ROW FORMAT SERDE \
         'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe' STORED AS INPUTFORMAT \
         'org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat' OUTPUTFORMAT \
         'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat' LOCATION {}",
        defined(false),
        literal(&manifests),
    );
    let partition = |values: &BTreeMap<String, String>| {
        let values: Vec<(&str, &str)> = columns
            .partitioned_by
            .iter()
            .filter_map(|column| Some((column.as_str(), values.get(column)?.as_str())))
            .collect();
        let assigned: Vec<String> =
            values.iter().map(|(column, value)| format!("\"{column}\" = {}", literal(value))).collect();
        let folder: String = values.iter().map(|(column, value)| format!("{column}={value}/")).collect();
        format!(
            "ALTER TABLE {name} ADD IF NOT EXISTS PARTITION ({}) LOCATION {}",
            assigned.join(", "),
            literal(&format!("{manifests}{folder}"))
        )
    };
    std::iter::once(create).chain(columns.partitions.iter().map(partition)).collect()
}

/// A column's type. Texts are as long as Redshift has them; those of partitions are folder names.
fn column_type(data_type: &DataType, is_partition: bool) -> String {
    match data_type {
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Map(..) => "map<varchar(1024), varchar(65535)>".to_owned(),
        DataType::Binary => "varbyte(1024000)".to_owned(),
        _ if is_partition => "varchar(1024)".to_owned(),
        _ => "varchar(65535)".to_owned(),
    }
}
