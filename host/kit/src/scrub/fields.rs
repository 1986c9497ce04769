//! Which fields of a stream are replaced.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_model::NativeBatch;
use sluice_model::unified::{ColumnKind, Fact, GivenBy};

/// Columns that a mapping computes with, or that are words of the network's own.
const MEANING: [&str; 12] = [
    "status_raw",
    "payment_status_raw",
    "kind",
    "sale_currency",
    "commission_currency",
    "commission_group",
    "device",
    "customer_country",
    "country",
    "currency",
    "category",
    "method",
];
/// Texts that tell nothing of the field that they came from.
const OTHERS: [&str; 3] = ["reason_raw", "amounts_reported", "item_number"];
/// Words in the names of fields that hold an id or a reference.
const ID_WORDS: [&str; 18] = [
    "id",
    "ids",
    "uid",
    "guid",
    "uuid",
    "ref",
    "refs",
    "reference",
    "subid",
    "ip",
    "email",
    "mail",
    "phone",
    "voucher",
    "receipt",
    "tracking",
    "sku",
    "username",
];
/// Words in the names of fields whose texts name somebody or something, and whose numbers and dates don't.
const NAME_WORDS: [&str; 16] = [
    "name", "referrer", "referer", "order", "click", "sub", "url", "uri", "link", "user", "member", "customer",
    "title", "product", "agent", "comment",
];

/// What is known of the fields of a stream, by their paths in a record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    scrubbed: BTreeSet<String>,
    kept: BTreeSet<String>,
}

impl Fields {
    /// Learns from an answer: its records and the rows of all kinds that they became.
    pub(crate) fn learn(&mut self, batch: &NativeBatch, inputs: &[String], rows: &[Value]) {
        let mut by_record = BTreeMap::<usize, Vec<&Value>>::new();
        for row in rows {
            if let Some(record) = row["record_index"].as_str().and_then(|record| record.parse().ok()) {
                by_record.entry(record).or_default().push(row);
            }
        }
        for column in &batch.columns {
            let values = column.text.iter().enumerate().filter_map(|(at, text)| Some((at, text?.trim())));
            let values: Vec<_> = values.filter(|(_, text)| !text.is_empty()).collect();
            let lands = |in_row: &dyn Fn(&Value, &str) -> bool| {
                let mut rows = values.iter().filter_map(|(at, text)| Some((by_record.get(at)?, text))).peekable();
                rows.peek().is_some() && rows.all(|(rows, text)| rows.iter().any(|row| in_row(row, text)))
            };
            let (is_id, is_name) = (has_word(&column.path, &ID_WORDS), has_word(&column.path, &NAME_WORDS));
            let names = lands(&|row, text| names(row, text, is_id));
            let means = lands(&|row, text| MEANING.iter().any(|name| row[*name].as_str() == Some(text)));
            let is_free = values.iter().any(|(_, text)| !is_plain(text));
            let is_dates = values.iter().all(|(_, text)| is_date(text));
            let by_name = !means && !is_dates && (is_id || (is_name && is_free));
            let scrub = names || by_name || (is_free && !inputs.contains(&column.path));
            if scrub {
                self.scrubbed.insert(column.path.clone());
            } else {
                self.kept.insert(column.path.clone());
            }
        }
    }

    /// Whether the value at the end of a path is replaced.
    pub(crate) fn is_scrubbed(&self, path: &str, value: &str, is_text: bool) -> bool {
        if self.scrubbed.iter().any(|field| is_at(path, field)) {
            return !is_word(value);
        }
        if self.is_kept(path) {
            return false;
        }
        // Inside a record's own lists and objects, or outside of records.
        let is_inside = self.scrubbed.iter().chain(&self.kept).any(|field| is_below(path, field));
        let is_id = has_word(path, &ID_WORDS) && !is_word(value) && !is_date(value);
        is_id || ((is_inside || has_word(path, &NAME_WORDS)) && is_text && !is_plain(value))
    }

    /// Whether the field stays as it is.
    pub(crate) fn is_kept(&self, path: &str) -> bool {
        self.kept.iter().any(|field| is_at(path, field)) && !self.scrubbed.iter().any(|field| is_at(path, field))
    }
}

/// Columns that name somebody or something: all texts of facts that don't do otherwise.
fn naming() -> impl Iterator<Item = &'static str> {
    let given = Fact::ALL.into_iter().flat_map(Fact::columns).filter(|column| column.given_by == GivenBy::Connector);
    let texts = given.filter(|column| matches!(column.kind, ColumnKind::Text | ColumnKind::Id));
    texts.map(|column| column.name).filter(|name| !MEANING.contains(name) && !OTHERS.contains(name))
}

/// Whether a value is in one of the columns that name something, or a part of a composed id.
fn names(row: &Value, text: &str, is_id: bool) -> bool {
    let has = |name: &str| row[name].as_str().unwrap_or_default();
    let is = |name: &str| has(name).trim() == text;
    let is_sub_id = has("sub_ids").contains(&format!(": {text}"));
    let is_group = has("grouped_by").split(" / ").any(|group| group.trim() == text);
    let is_part = || Fact::ALL.into_iter().any(|fact| has(fact.id()).contains(text));
    naming().any(is) || is_sub_id || is_group || (is_id && !is_date(text) && is_part())
}

/// Whether a path ends with a field's: `data.sales.shop.id` with `shop.id`.
fn is_at(path: &str, field: &str) -> bool {
    path.strip_suffix(field).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether a path leads through a field.
fn is_below(path: &str, field: &str) -> bool {
    path.match_indices('.').any(|(dot, _)| is_at(&path[..dot], field))
}

/// Whether the last name of a path has one of these words: `orderId`, `order_id`.
fn has_word(path: &str, wanted: &[&str]) -> bool {
    let last = path.rsplit('.').find(|name| !name.starts_with('#')).unwrap_or(path);
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in last.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.iter().any(|word| wanted.contains(&word.as_str()))
}

/// A word of programs, which names nobody.
fn is_word(value: &str) -> bool {
    ["true", "false", "null", "yes", "no", "none", "0", "n/a"].contains(&value.to_ascii_lowercase().as_str())
}

/// A number, a date, a code of a currency or a country, a word of programs.
fn is_plain(value: &str) -> bool {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.,".contains(&byte));
    let is_code = matches!(value.len(), 2 | 3) && value.bytes().all(|byte| byte.is_ascii_uppercase());
    is_number || is_code || is_word(value) || is_date(value)
}

/// `2026-01-05T10:00:00Z`, `05.01.2026`, `10:00:00`.
fn is_date(text: &str) -> bool {
    let first = text.split([' ', 'T']).next().unwrap_or_default();
    let is_number = |part: &str| matches!(part.len(), 1..=4) && part.bytes().all(|byte| byte.is_ascii_digit());
    ['-', '/', '.', ':'].iter().any(|mark| first.split(*mark).count() == 3 && first.split(*mark).all(is_number))
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use serde_json::json;
    use sluice_model::{Kinds, NativeColumn};

    use super::*;

    #[test]
    fn what_facts_name_is_replaced_and_what_they_mean_is_kept() {
        let cells = [
            ("source", "member-77"),
            ("asin", "B0 1"),
            ("brand", "Lamp & Co"),
            ("currency", "usd"),
            ("market", "Great Britain"),
            ("clicks", "12"),
        ];
        let column = |(path, text): (&str, &str)| {
            let text = StringArray::from_iter([Some(text)]);
            NativeColumn { path: path.to_owned(), text, kinds: Kinds::default() }
        };
        let batch = NativeBatch { rows: 1, columns: cells.map(column).into() };
        let row = json!({"record_index": "0", "aggregate_id": "2026-01-05/B0 1/member-77", "grouped_by": "B0 1 / member-77",
            "advertiser_name": "Lamp & Co", "currency": "USD", "country": "Great Britain", "clicks": "12"});
        let mut fields = Fields::default();
        fields.learn(&batch, &cells.map(|(path, _)| path.to_owned()), &[row]);
        let scrubbed: Vec<&str> = fields.scrubbed.iter().map(String::as_str).collect();
        assert_eq!(scrubbed, ["asin", "brand", "source"]);
        assert_eq!(fields.kept.len(), 3);
    }

    #[test]
    fn names_of_fields_say_what_is_in_them() {
        for path in ["id", "shop.name", "advertiserId", "order_ref", "data.clickRefs.clickRef", "subId1.@id"] {
            assert!(has_word(path, &ID_WORDS) || has_word(path, &NAME_WORDS), "{path}");
        }
        for path in ["status", "amount", "currency", "paid", "validity", "side", "commission.rate"] {
            assert!(!has_word(path, &ID_WORDS) && !has_word(path, &NAME_WORDS), "{path}");
        }
    }

    #[test]
    fn plain_values_name_nobody() {
        for value in ["12.50", "-1,5", "2026-01-05T10:00:00Z", "05.01.2026 10:00", "EUR", "true", "1767225600"] {
            assert!(is_plain(value), "{value}");
        }
        assert!(!is_date("1000.4636.73963000000"));
        assert!(
            ["Lamp & Co", "newsletter", "abc-1-2", "10.0.0.1"]
                .iter()
                .all(|value| !is_plain(value) || *value == "10.0.0.1")
        );
    }
}
