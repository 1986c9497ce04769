//! Columns as all clients know them: texts and bytes are no views and no dictionaries, which JDBC's driver can't read, neither within
//! lists, structures and maps.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

/// The columns of a result as they are sent.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    let plain = |field: &Arc<Field>| field.as_ref().clone().with_data_type(plain_type(field.data_type()));
    let fields: Vec<Field> = schema.fields().iter().map(plain).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn plain_type(kind: &DataType) -> DataType {
    let plain = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())));
    match kind {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::List(item) => DataType::List(plain(item)),
        DataType::LargeList(item) => DataType::LargeList(plain(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(plain(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        DataType::Map(entries, is_sorted) => DataType::Map(plain(entries), *is_sorted),
        other => other.clone(),
    }
}

/// Rows in the columns of [`plain_schema`].
///
/// # Errors
/// Texts that are too long together.
pub(crate) fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> =
        batch
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(column.clone())
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect::<Result<_, _>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{AsArray, DictionaryArray, ListArray, StringViewArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn views_and_dictionaries_become_texts() {
        let words: DictionaryArray<Int32Type> = ["b", "b"].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> =
            vec![("a", Arc::new(StringViewArray::from(vec!["x", "y"]))), ("b", Arc::new(words))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = plain_schema(&batch.schema());
        let plain = plain_batch(&batch, &schema).unwrap();
        assert!(plain.columns().iter().all(|column| *column.data_type() == DataType::Utf8));
        assert_eq!(plain.num_rows(), 2);
    }

    #[test]
    fn texts_within_lists_and_structures_are_no_views_either() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["x", "y", "z"]));
        let item = Arc::new(Field::new_list_field(DataType::Utf8View, true));
        let list = ListArray::new(item, OffsetBuffer::from_lengths([1, 2]), views.clone(), None);
        let field = Arc::new(Field::new("u1", DataType::Utf8View, true));
        let structure = StructArray::from(vec![(field, views.slice(0, 2))]);
        let columns: Vec<(&str, ArrayRef)> = vec![("a", Arc::new(list)), ("b", Arc::new(structure))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = plain_schema(&batch.schema());
        let plain = plain_batch(&batch, &schema).unwrap();
        assert!(!format!("{:?}", plain.schema()).contains("View"), "{:?}", plain.schema());
        let last = plain.column(0).as_list::<i32>().value(1);
        assert_eq!(last.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["y", "z"]);
        assert_eq!(plain.column(1).as_struct().column(0).as_string::<i32>().value(1), "y");
    }
}
