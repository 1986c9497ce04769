//! CJ, as `cj.json` describes it: one GraphQL field, `publisherCommissions`, with a cursor.

mod arguments;
mod query;
mod rows;

use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::json::Json;
use crate::network::Network;
use crate::truth::TruthRow;
use arguments::Arguments;
use chrono::{DateTime, Utc};
use query::{Selection, Value};
use rows::Record;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// An answer whose only content is an error, at 200 as GraphQL does.
pub(crate) fn failure(message: &str) -> Reply {
    let location = Json::map([("line", Json::number(1)), ("column", Json::number(1))]);
    let error = Json::map([("message", Json::text(message)), ("locations", Json::List(vec![location]))]);
    Reply::json(200, &Json::map([("errors", Json::List(vec![error])), ("data", Json::Null)]))
}

/// A refused credential.
pub(crate) fn unauthorized() -> Reply {
    Reply::json(401, &Json::map([("message", Json::text("the personal access token is not valid"))]))
}

/// Answers a request.
pub(crate) fn answer(core: &Core, ask: &Ask) -> Reply {
    if ask.path.trim_end_matches('/') != "/query" {
        return Reply::text(404, "not found");
    }
    if ask.method != "POST" {
        return Reply::text(405, "POST a query");
    }
    let token = ask.authorization("Bearer");
    let account = token.and_then(|token| core.find(Network::Cj, |played| played.secret("token") == token));
    let Some(index) = account else { return unauthorized() };
    match run(core, index, ask) {
        Ok(data) => Reply::json(200, &Json::map([("data", data)])),
        Err(message) => failure(&message),
    }
}

/// The query's text and its variables, from JSON or bare.
fn document(ask: &Ask) -> Result<(String, BTreeMap<String, Value>), String> {
    let text = ask.text();
    let json: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&text).ok();
    let Some(json) = json else { return Ok((text, BTreeMap::new())) };
    let query = json.get("query").and_then(serde_json::Value::as_str).ok_or("Must provide query string.")?;
    let variables = json.get("variables").and_then(serde_json::Value::as_object);
    let variables = variables.into_iter().flatten().map(|(name, value)| (name.clone(), Value::of(value)));
    Ok((query.to_owned(), variables.collect()))
}

fn run(core: &Core, index: usize, ask: &Ask) -> Result<Json, String> {
    let (text, variables) = document(ask)?;
    let document = query::parse(&text)?;
    let mut data = Vec::new();
    for root in &document.selections {
        let value = match root.name.as_str() {
            "__typename" => Json::text("Query"),
            "publisherCommissions" => {
                let arguments = Arguments::of(root, &document, &variables)?;
                commissions(core, index, &arguments, root)?
            }
            other => return Err(format!("Cannot query field \"{other}\" on type \"Query\".")),
        };
        data.push((Cow::Owned(root.key().to_owned()), value));
    }
    Ok(Json::Map(data))
}

fn commissions(core: &Core, index: usize, arguments: &Arguments, root: &Selection) -> Result<Json, String> {
    let played = core.accounts.get(index).ok_or("no account")?;
    let publisher = played.setting("publisher_id");
    if arguments.publishers.is_empty() || arguments.publishers.iter().any(|id| id != publisher) {
        return Err("Not authorized to see commissions of the requested publishers".to_owned());
    }
    let clock = core.clock();
    let mut found: Vec<Record> = rows::records(core, index, clock);
    found.retain(|record| arguments.holds(record));
    found.sort_by_key(|record| record.id);
    found.retain(|record| arguments.since_commission.is_none_or(|since| record.id > since));
    let complete = found.len() <= core.options.cj_page_limit;
    found.truncate(core.options.cj_page_limit);
    let last = found.last().map(|record| record.id.to_string());
    if core.options.shapes.duplicate_rows && found.len() > 2 {
        let again = found.iter().filter(|record| record.id % 13 == 0).cloned().collect::<Vec<_>>();
        found.extend(again);
    }
    let mut answer = Vec::new();
    for field in root.children("PublisherCommissions")? {
        let value = match field.name.as_str() {
            "__typename" => Json::text("PublisherCommissions"),
            "count" => Json::number(found.len()),
            "limit" => Json::number(core.options.cj_page_limit),
            "maxCommissionId" => Json::text_or_null(last.as_deref()),
            "payloadComplete" => Json::Bool(complete),
            "records" => {
                let rendered = found.iter().map(|record| select(core, field, record)).collect::<Result<_, _>>()?;
                // Fields are checked even when there is no record to show them.
                rows::check(field)?;
                Json::List(rendered)
            }
            other => return Err(format!("Cannot query field \"{other}\" on type \"PublisherCommissions\".")),
        };
        if field.name != "records" {
            field.leaf()?;
        }
        answer.push((Cow::Owned(field.key().to_owned()), value));
    }
    Ok(Json::Map(answer))
}

fn select(core: &Core, field: &Selection, record: &Record) -> Result<Json, String> {
    let mut row = Vec::new();
    for column in field.children("PublisherCommission")? {
        row.push((Cow::Owned(column.key().to_owned()), rows::value(core, record, column)?));
    }
    Ok(Json::Map(row))
}

/// What is delivered at a clock.
pub(crate) fn truth(core: &Core, index: usize, clock: DateTime<Utc>) -> Vec<TruthRow> {
    rows::records(core, index, clock).iter().map(Record::truth).collect()
}
