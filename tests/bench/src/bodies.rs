//! Bodies of many records, made of a fixture's few.

use anyhow::{Context, bail};
use serde_json::Value;
use sluice_model::{Delimited, Format, Layout};

/// The fixture's records again and again, `count` of them, each with an id of its own where it has one.
pub(crate) fn multiplied(layout: &Layout, body: &[u8], count: usize) -> anyhow::Result<Vec<u8>> {
    let key = layout.key.first().context("the layout has no key")?;
    match &layout.format {
        Format::Json(place) => json(place, key, body, count),
        Format::Xml(place) => {
            let element = place.rsplit('.').next().unwrap_or(place);
            Ok(bytes(&xml(element, key, &text(body), count)?))
        }
        Format::Delimited(format) => Ok(bytes(&delimited(format, key, &text(body), count)?)),
        Format::Ndjson | Format::Opaque => bail!("no fixture of this format is multiplied yet"),
    }
}

/// Bytes as characters, one for one, whatever their character set: what is ASCII stays what it is.
fn text(body: &[u8]) -> String {
    body.iter().map(|byte| char::from(*byte)).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn json(place: &str, key: &str, body: &[u8], count: usize) -> anyhow::Result<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(body)?;
    let records = document.pointer_mut(place.strip_suffix("/*").unwrap_or(place)).context("no records at the place")?;
    let originals: Vec<Value> = match records {
        Value::Array(list) => std::mem::take(list),
        // Named by their number or id.
        Value::Object(named) => std::mem::take(named).into_iter().map(|(_, record)| record).collect(),
        _ => bail!("no list of records at the place"),
    };
    let key = format!("/{}", key.replace('.', "/"));
    let copies = originals.iter().cycle().take(count).enumerate().map(|(number, record)| {
        let mut record = record.clone();
        if let Some(id) = record.pointer_mut(&key) {
            *id = match &*id {
                Value::String(text) => Value::String(format!("{text}{number:05}")),
                number_id => Value::from(number_id.as_u64().unwrap_or(0) * 100_000 + number as u64),
            };
        }
        record
    });
    *records = Value::Array(copies.collect());
    Ok(serde_json::to_vec(&document)?)
}

/// Records are elements of one name, side by side.
fn xml(element: &str, key: &str, body: &str, count: usize) -> anyhow::Result<String> {
    let (open, close, id_end) = (format!("<{element}>"), format!("</{element}>"), format!("</{key}>"));
    let first = body.find(&open).with_context(|| format!("no `{element}`"))?;
    let last = body.rfind(&close).with_context(|| format!("no end of `{element}`"))? + close.len();
    let originals: Vec<&str> = body[first..last].split_inclusive(close.as_str()).collect();
    let mut text = body[..first].to_owned();
    for (number, record) in originals.iter().cycle().take(count).enumerate() {
        text.push_str(&record.replacen(&id_end, &format!("{number:05}{id_end}"), 1));
    }
    text.push_str(&body[last..]);
    Ok(text)
}

fn delimited(format: &Delimited, key: &str, body: &str, count: usize) -> anyhow::Result<String> {
    let delimiter = char::from(format.delimiter);
    let mut lines = body.lines().filter(|line| !line.is_empty());
    let header = lines.next().context("no header")?;
    let place = header.split(delimiter).position(|name| name == key).context("the header lacks the key")?;
    let originals: Vec<&str> = lines.collect();
    let mut text = format!("{header}\n");
    for (number, line) in originals.iter().cycle().take(count).enumerate() {
        for (column, field) in fields(line, delimiter, format.quote.map(char::from)).into_iter().enumerate() {
            if column > 0 {
                text.push(delimiter);
            }
            text.push_str(field);
            if column == place {
                text.push_str(&format!("{number:05}"));
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// A line's fields as they are written, quotes and all.
fn fields(line: &str, delimiter: char, quote: Option<char>) -> Vec<&str> {
    let mut in_quotes = false;
    line.split(move |c: char| {
        in_quotes ^= Some(c) == quote;
        c == delimiter && !in_quotes
    })
    .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn each_record_gets_an_id_of_its_own() {
        let body = json("/rows", "id", br#"{"rows": [{"id": 7}, {"id": "a"}]}"#, 3).unwrap();
        assert_eq!(body, br#"{"rows":[{"id":700000},{"id":"a00001"},{"id":700002}]}"#);
        let body = xml("item", "ID", "<r><item><ID>1</ID><c><ID>9</ID></c></item></r>", 2).unwrap();
        let item = |id| format!("<item><ID>{id}</ID><c><ID>9</ID></c></item>");
        assert_eq!(body, format!("<r>{}{}</r>", item("100000"), item("100001")));
        let body = json("/rows/*", "id", br#"{"rows": {"1": {"id": 7}}}"#, 2).unwrap();
        assert_eq!(body, br#"{"rows":[{"id":700000},{"id":700001}]}"#);
        let format = Delimited {
            delimiter: b'|',
            quote: None,
            skip_lines: 0,
            header: vec![],
            charset: String::new(),
            exact_fields: true,
            optional: vec![],
        };
        assert_eq!(delimited(&format, "id", "a|id\nx|1\n", 2).unwrap(), "a|id\nx|100000\nx|100001\n");
        let quoted = Delimited { quote: Some(b'"'), ..format };
        assert_eq!(delimited(&quoted, "id", "a|id\n\"x|y\"|1\n", 1).unwrap(), "a|id\n\"x|y\"|100000\n");
        assert_eq!(bytes(&text(b"\xe9|1")), b"\xe9|1");
    }
}
