//! The change feed as JSON: what a page of it holds, and where it goes on.

use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::json::writer::{JsonArray, WriterBuilder};
use serde::Serialize;
use serde_json::value::RawValue;
use sluice_lake::{ChangeCursor, ChangeFilter, ChangeReader};

use crate::failure::Failure;

/// The end of the feed, as a cursor that isn't one.
const NOW: &str = "now";

/// Some of the feed.
#[derive(Debug, Serialize)]
pub struct ChangePage {
    /// New versions: rows of `unified.transaction_versions`, as they were written, since a parsed number is a float.
    pub changes: Box<RawValue>,
    /// The cursor that the next page follows; none before the first transaction.
    pub next: Option<String>,
    /// Whether there is more now.
    pub has_more: bool,
}

/// What follows a cursor; the whole feed without one, and nothing of it after `now`.
///
/// # Errors
/// A usage failure for a text that is no cursor; the lake's failure.
pub async fn page(
    reader: &mut ChangeReader,
    after: Option<&str>,
    filter: &ChangeFilter,
    most: usize,
) -> Result<ChangePage, Failure> {
    if after == Some(NOW) {
        let next = reader.end().await?.map(|cursor| cursor.to_string());
        return ChangePage::of(&[], next, false);
    }
    let cursor = after.map(|text| {
        ChangeCursor::from_str(text).map_err(|()| {
            Failure::usage(format!("`{text}` is no cursor of the change feed"))
                .hint("give `next` of an earlier page, or `now`; without a cursor the feed begins at its beginning")
        })
    });
    let Some(found) = reader.read(cursor.transpose()?.as_ref(), filter, most).await? else {
        return ChangePage::of(&[], None, false);
    };
    ChangePage::of(&found.batches, Some(found.next.to_string()), found.has_more)
}

/// Rows as an array of JSON objects, with their nulls.
///
/// # Errors
/// Rows that can't be JSON.
pub(crate) fn json_rows(batches: &[RecordBatch]) -> Result<String, Failure> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(Failure::failed)?;
    }
    writer.finish().map_err(Failure::failed)?;
    let json = String::from_utf8(writer.into_inner()).map_err(Failure::failed)?;
    Ok(if json.is_empty() { "[]".to_owned() } else { json })
}

impl ChangePage {
    fn of(batches: &[RecordBatch], next: Option<String>, has_more: bool) -> Result<Self, Failure> {
        let changes = RawValue::from_string(json_rows(batches)?).map_err(Failure::failed)?;
        Ok(Self { changes, next, has_more })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array};

    use super::*;

    #[test]
    fn amounts_keep_all_their_digits() {
        let amount = Decimal128Array::from(vec![123_456_789_012_345_678]).with_precision_and_scale(18, 6).unwrap();
        let batch = RecordBatch::try_from_iter([("commission_amount", Arc::new(amount) as ArrayRef)]).unwrap();
        let page = ChangePage::of(&[batch], None, false).unwrap();
        let json = serde_json::to_string(&page).unwrap();
        assert_eq!(json, r#"{"changes":[{"commission_amount":123456789012.345678}],"next":null,"has_more":false}"#);
        let empty = serde_json::to_string(&ChangePage::of(&[], None, false).unwrap()).unwrap();
        assert!(empty.starts_with(r#"{"changes":[],"#), "{empty}");
    }
}
