//! Templates of facts files: `{name}` and `{name|form}` in texts, `"#{…}"` for a number, `"$rows"` for the records.

use super::facts::Facts;
use super::rows::Entry;
use crate::accounts::Played;
use crate::dice::hash;
use crate::json::Json;
use crate::money::Money;
use crate::sale::What;
use crate::words::Advertiser;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What templates may name.
#[derive(Clone)]
pub(crate) struct Scope<'a> {
    facts: &'a Facts,
    played: &'a Played,
    entry: Option<&'a Entry>,
    line: usize,
    advertiser: Option<&'a Advertiser>,
    /// Numbers of the answer: `page`, `pages`, `total`, `count` …; tokens of a sign-in.
    stated: BTreeMap<&'static str, String>,
}

/// A value before it is written.
enum Given {
    Text(String),
    Time(DateTime<Utc>),
    Money(Money),
    Flag(bool),
}

impl<'a> Scope<'a> {
    pub(crate) fn of(facts: &'a Facts, played: &'a Played) -> Self {
        Self { facts, played, entry: None, line: 0, advertiser: None, stated: BTreeMap::new() }
    }

    pub(crate) fn with_entry(self, entry: &'a Entry) -> Self {
        Self { entry: Some(entry), advertiser: Some(entry.sale.advertiser), ..self }
    }

    pub(crate) fn with_line(self, line: usize) -> Self {
        Self { line, ..self }
    }

    pub(crate) fn with_advertiser(self, advertiser: &'a Advertiser) -> Self {
        Self { advertiser: Some(advertiser), ..self }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.stated.insert(name, value.to_string());
        self
    }

    /// The text of a template; none if it is one placeholder and that has no value.
    pub(crate) fn text(&self, template: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = template;
        let is_one = template.starts_with('{') && template.find('}') == Some(template.len().saturating_sub(1));
        while let Some((before, behind)) = rest.split_once('{') {
            let (inside, after) = behind.split_once('}').unwrap_or((behind, ""));
            out.push_str(before);
            let value = self.placeholder(inside);
            if is_one && value.is_none() {
                return None;
            }
            out.push_str(&value.unwrap_or_default());
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }

    /// A JSON template with the records that `"$rows"` stands for.
    pub(crate) fn json(&self, template: &Value, rows: &[Json]) -> Json {
        match template {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::Number(number.to_string()),
            Value::String(text) if text == "$null" => Json::Null,
            Value::String(text) if text == "$rows" => Json::List(rows.to_vec()),
            Value::String(text) if text == "$rows-by-index" => {
                // Numbered from 1, as the network's own record ids are none that count from 0.
                let named = rows.iter().enumerate();
                Json::Map(named.map(|(at, row)| (Cow::Owned((at + 1).to_string()), row.clone())).collect())
            }
            Value::String(text) => match text.strip_prefix('#') {
                Some(number) => self.text(number).filter(|text| !text.is_empty()).map_or(Json::Null, Json::Number),
                None => self.text(text).map_or(Json::Null, Json::Text),
            },
            Value::Array(items) => match items.as_slice() {
                [Value::String(mark), of] if mark == "$lines" => self.lines(of),
                items => Json::List(items.iter().map(|item| self.json(item, rows)).collect()),
            },
            Value::Object(members) => Json::Map(
                members.iter().map(|(name, value)| (Cow::Owned(name.clone()), self.json(value, rows))).collect(),
            ),
        }
    }

    /// An element for each product line.
    fn lines(&self, of: &Value) -> Json {
        let lines = self.entry.map_or(0, |entry| entry.lines.len());
        Json::List((0..lines).map(|line| self.clone().with_line(line).json(of, &[])).collect())
    }

    fn placeholder(&self, inside: &str) -> Option<String> {
        let (name, form) = inside.split_once('|').unwrap_or((inside, ""));
        if form == "or-empty" {
            return Some(self.placeholder(name).unwrap_or_default());
        }
        if let Some(fallback) = form.strip_prefix("or ") {
            return self.placeholder(name).or_else(|| self.placeholder(fallback));
        }
        if name == "payout" && self.entry.is_some_and(Entry::is_voided) {
            return Some(money(Money::cents(0), form));
        }
        Some(match self.value(name)? {
            Given::Text(text) if form == "url" => {
                // As paths have it: every byte but letters, digits and `-._~`.
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
            }
            Given::Text(text) => text,
            Given::Time(time) => self.time(time, form),
            Given::Money(amount) => money(amount, form),
            Given::Flag(flag) => {
                let (yes, no) = form.split_once('/').unwrap_or(("true", "false"));
                if flag { yes.to_owned() } else { no.to_owned() }
            }
        })
    }

    fn time(&self, time: DateTime<Utc>, form: &str) -> String {
        match form {
            "" => time.to_rfc3339_opts(SecondsFormat::Secs, true),
            "unix" => time.timestamp().to_string(),
            form => match form.strip_prefix("utc ") {
                Some(form) => time.format(form).to_string(),
                None => time.with_timezone(&self.facts.zone).format(form).to_string(),
            },
        }
    }

    fn value(&self, name: &str) -> Option<Given> {
        if let Some(stated) = self.stated.get(name) {
            return Some(Given::Text(stated.clone()));
        }
        let text = |text: &str| Some(Given::Text(text.to_owned()));
        if let Some((group, member)) = name.split_once('.') {
            let advertiser = || self.advertiser.filter(|_| group == "advertiser");
            return match member {
                _ if group == "setting" => text(self.played.setting(member)),
                _ if group == "secret" => text(self.played.secret(member)),
                "id" => advertiser().map(|it| Given::Text(it.id.to_string())),
                "name" => text(advertiser()?.name),
                "country" => text(advertiser()?.country),
                _ => None,
            };
        }
        self.of_entry(name, self.entry?)
    }

    fn of_entry(&self, name: &str, entry: &Entry) -> Option<Given> {
        let sale = &entry.sale;
        let text = |text: &str| Some(Given::Text(text.to_owned()));
        if let Some(time) = entry.date(name) {
            return Some(Given::Time(time));
        }
        let line = entry.lines.get(self.line);
        match name {
            "id" => text(&(sale.serial * 10 + entry.number).to_string()),
            "serial" => text(&sale.serial.to_string()),
            "hex" => text(&format!("{:016x}", hash(9, &[&sale.key, entry.part]))),
            "part" => text(entry.part),
            "state" => text(self.facts.states.get(entry.state()).map_or("", String::as_str)),
            "kind" => {
                let kind = match sale.what {
                    What::Sale => "sale",
                    What::Lead => "lead",
                    What::Bonus => "bonus",
                };
                text(self.facts.kinds.get(kind).map_or(kind, String::as_str))
            }
            "sale" => Some(Given::Money(entry.value)),
            "commission" | "payout" => Some(Given::Money(entry.commission)),
            "first_sale" => Some(Given::Money(sale.sale)),
            "first_commission" => Some(Given::Money(sale.commission)),
            "currency" => text(sale.advertiser.currency),
            "order" => sale.order_id.as_deref().and_then(text),
            "voucher" => sale.voucher.and_then(text),
            "device" => sale.device.and_then(text),
            "country" => sale.country.and_then(text),
            "reason" => text(entry.decision.as_ref().filter(|_| entry.is_voided())?.reason),
            "paid" => Some(Given::Flag(entry.is_paid())),
            "voided" => Some(Given::Flag(entry.is_voided())),
            "line" => text(&(self.line + 1).to_string()),
            "line_sale" => Some(Given::Money(line?.sale)),
            "line_commission" => Some(Given::Money(line?.commission)),
            // The value of the whole stands on the first of its rows.
            "sale_on_first" if self.line == 0 => Some(Given::Money(entry.value)),
            "sku" => text(&line?.sku),
            "product" => text(line?.product),
            "quantity" => text(&line?.quantity.to_string()),
            name => {
                let place: usize = name.strip_prefix("sub")?.parse().ok()?;
                (*sale.sub_ids.get(place.checked_sub(1)?)?).and_then(text)
            }
        }
    }
}

/// An amount: plain, with so many places at least (`2`), `comma`, or as a whole number of parts (`x10000`).
fn money(amount: Money, form: &str) -> String {
    match form {
        "" => amount.plain(),
        "comma" => amount.fixed(2).replace('.', ","),
        "whole" => amount.part(1000, 0).plain(),
        form => match form.strip_prefix('x').and_then(|factor| factor.parse::<u32>().ok()) {
            Some(factor) => amount.parts(factor.ilog10()),
            None => amount.fixed(form.parse().unwrap_or(0)),
        },
    }
}
