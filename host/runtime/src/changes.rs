//! The change feed as JSON: what a page of it holds, and where it goes on.

use std::str::FromStr;

use arrow::json::writer::{JsonArray, WriterBuilder};
use serde::Serialize;
use serde_json::Value;
use sluice_lake::{ChangeCursor, ChangeFilter, ChangeReader};

use crate::failure::Failure;

/// The end of the feed, as a cursor that isn't one.
const NOW: &str = "now";

/// Some of the feed.
#[derive(Debug, Serialize)]
pub struct ChangePage {
    /// New versions: rows of `unified.transaction_versions`.
    pub changes: Vec<Value>,
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
        return Ok(ChangePage { changes: Vec::new(), next, has_more: false });
    }
    let cursor = after.map(|text| {
        ChangeCursor::from_str(text).map_err(|()| {
            Failure::usage(format!("`{text}` is no cursor of the change feed"))
                .hint("give `next` of an earlier page, or `now`; without a cursor the feed begins at its beginning")
        })
    });
    let Some(found) = reader.read(cursor.transpose()?.as_ref(), filter, most).await? else {
        return Ok(ChangePage { changes: Vec::new(), next: None, has_more: false });
    };
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in &found.batches {
        writer.write(batch).map_err(Failure::failed)?;
    }
    writer.finish().map_err(Failure::failed)?;
    let json = writer.into_inner();
    let changes = if json.is_empty() { Vec::new() } else { serde_json::from_slice(&json).map_err(Failure::failed)? };
    Ok(ChangePage { changes, next: Some(found.next.to_string()), has_more: found.has_more })
}
