//! Bodies of many records, made of a fixture's few.

use anyhow::{Context, bail};
use serde_json::Value;
use sluice_model::{Delimited, Format, Layout};

/// The fixture's records again and again, at least `count` of them, each with an id of its own.
pub(crate) fn multiplied(layout: &Layout, body: &[u8], count: usize) -> anyhow::Result<Vec<u8>> {
    let key = layout.key.first().context("the layout has no key")?;
    match &layout.format {
        Format::Json(place) => json(place, key, body, count),
        Format::Xml(_) => xml(key, std::str::from_utf8(body)?, count),
        Format::Delimited(format) => delimited(format, key, std::str::from_utf8(body)?, count),
        Format::Ndjson | Format::Opaque => bail!("no fixture of this format is multiplied yet"),
    }
}

fn json(place: &str, key: &str, body: &[u8], count: usize) -> anyhow::Result<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(body)?;
    let records = document.pointer_mut(place).and_then(Value::as_array_mut).context("no records at the place")?;
    let key = format!("/{}", key.replace('.', "/"));
    let originals = std::mem::take(records);
    for (number, record) in originals.iter().cycle().take(count).enumerate() {
        let mut record = record.clone();
        let id = record.pointer_mut(&key).context("a record has no key")?;
        let new = match &*id {
            Value::String(text) => Value::String(format!("{text}{number:05}")),
            number_id => Value::from(number_id.as_u64().unwrap_or(0) * 100_000 + number as u64),
        };
        *id = new;
        records.push(record);
    }
    Ok(serde_json::to_vec(&document)?)
}

/// Records are elements named `item`, as SOAP encodes arrays.
fn xml(key: &str, body: &str, count: usize) -> anyhow::Result<Vec<u8>> {
    let (open, close, id_end) = ("<item>", "</item>", format!("</{key}>"));
    let first = body.find(open).context("no `item`")?;
    let last = body.rfind(close).context("no end of `item`")? + close.len();
    let originals: Vec<&str> = body[first..last].split_inclusive(close).collect();
    let mut text = body[..first].to_owned();
    for (number, record) in originals.iter().cycle().take(count).enumerate() {
        text.push_str(&record.replacen(&id_end, &format!("{number:05}{id_end}"), 1));
    }
    text.push_str(&body[last..]);
    Ok(text.into_bytes())
}

fn delimited(format: &Delimited, key: &str, body: &str, count: usize) -> anyhow::Result<Vec<u8>> {
    let delimiter = char::from(format.delimiter);
    let mut lines = body.lines().filter(|line| !line.is_empty());
    let header = lines.next().context("no header")?;
    let place = header.split(delimiter).position(|name| name == key).context("the header lacks the key")?;
    let originals: Vec<&str> = lines.collect();
    let mut text = format!("{header}\n");
    for (number, line) in originals.iter().cycle().take(count).enumerate() {
        for (column, field) in line.split(delimiter).enumerate() {
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
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn each_record_gets_an_id_of_its_own() {
        let body = json("/rows", "id", br#"{"rows": [{"id": 7}, {"id": "a"}]}"#, 3).unwrap();
        assert_eq!(body, br#"{"rows":[{"id":700000},{"id":"a00001"},{"id":700002}]}"#);
        let body = xml("ID", "<r><item><ID>1</ID><c><ID>9</ID></c></item></r>", 2).unwrap();
        let item = |id| format!("<item><ID>{id}</ID><c><ID>9</ID></c></item>");
        assert_eq!(String::from_utf8(body).unwrap(), format!("<r>{}{}</r>", item("100000"), item("100001")));
        let format = Delimited {
            delimiter: b'|',
            quote: None,
            skip_lines: 0,
            header: vec![],
            charset: String::new(),
            exact_fields: true,
            optional: vec![],
        };
        assert_eq!(delimited(&format, "id", "a|id\nx|1\n", 2).unwrap(), b"a|id\nx|100000\nx|100001\n");
    }
}
