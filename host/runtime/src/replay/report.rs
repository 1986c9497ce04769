//! A diff as people and programs read it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};
use sluice_lake::{Diff, FactDiff, FieldDiff, Money, MoneyKey, Rejects, Rows};

use crate::replay::ReplayOutcome;
use crate::tables;

/// Millionths as a plain decimal.
pub(crate) fn decimal(millionths: i128) -> String {
    let (whole, fraction) = (millionths.unsigned_abs() / 1_000_000, millionths.unsigned_abs() % 1_000_000);
    let sign = if millionths < 0 { "-" } else { "" };
    let text = format!("{sign}{whole}.{fraction:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn signed(millionths: i128) -> String {
    if millionths > 0 { format!("+{}", decimal(millionths)) } else { decimal(millionths) }
}

/// Sums of amounts, and absolute differences row by row by currency.
type Sums<'a> = (&'a BTreeMap<MoneyKey, Money>, &'a BTreeMap<Option<String>, i128>);

/// What one currency has: before, after, and absolute differences row by row.
fn totals((money, moved): Sums<'_>) -> Vec<(Option<String>, i128, i128, i128)> {
    let mut currencies: Vec<Option<String>> = money.keys().map(|key| key.currency.clone()).collect();
    currencies.sort();
    currencies.dedup();
    let sum = |currency: &Option<String>, part: fn(&Money) -> i128| {
        money.iter().filter(|(key, _)| key.currency == *currency).map(|(_, money)| part(money)).sum::<i128>()
    };
    let total = |currency: Option<String>| {
        let (before, after) = (sum(&currency, |money| money.before), sum(&currency, |money| money.after));
        let moved = moved.get(&currency).copied().unwrap_or_default();
        (currency, before, after, moved)
    };
    currencies.into_iter().map(total).collect()
}

/// Whether a sum differs.
fn differs(money: &Money) -> bool {
    money.before != money.after || money.rows_before != money.rows_after
}

/// The outcome as one JSON object. Amounts are texts, so that no reader makes floats of them.
pub fn json(network: &str, outcome: &ReplayOutcome) -> Value {
    let diff = &outcome.diff;
    let transactions = &diff.transactions;
    let native = diff.native.iter().map(|(stream, native)| {
        let counts = json!({
            "compared": native.compared, "added": native.added, "changed": native.changed, "removed": native.removed,
        });
        (stream.clone(), counts)
    });
    let conditions = outcome
        .results
        .iter()
        .map(|verdict| json!({"condition": verdict.condition, "value": verdict.value, "holds": verdict.holds}));
    json!({
        "network": network,
        "connector": {
            "network": outcome.connector.name, "version": outcome.connector.version,
            "digest": outcome.connector.digest,
        },
        "empty": diff.is_empty(),
        "applied_by": outcome.run_id,
        "responses": diff.responses,
        "gone": {"responses": outcome.gone.responses, "until": outcome.gone.until},
        "compared": transactions.compared,
        "outside": transactions.outside,
        "added": rows_json(&transactions.added, "transaction_id"),
        "removed": rows_json(&transactions.removed, "transaction_id"),
        "changed": rows_json(&transactions.changed, "transaction_id"),
        "fields": fields_json(&transactions.fields, "transaction_id"),
        "facts": facts_json(&outcome.connector.name, diff),
        "money": money_json(&outcome.connector.name, &transactions.money),
        "totals": totals_json((&transactions.money, &transactions.moved)),
        "new_rejects": rejects_json(&diff.new_rejects),
        "gone_rejects": rejects_json(&diff.gone_rejects),
        "unknown_statuses": diff.unknown_statuses,
        "native": native.collect::<serde_json::Map<_, _>>(),
        "fail_if": conditions.collect::<Vec<_>>(),
    })
}

/// The sums that differ.
fn money_json(network: &str, money: &BTreeMap<MoneyKey, Money>) -> Value {
    let differing = money.iter().filter(|(_, money)| differs(money)).map(|(key, money)| {
        json!({
            "network": network, "account": key.account, "month": key.month, "status": key.status,
            "currency": key.currency, "rows_before": money.rows_before, "rows_after": money.rows_after,
            "before": decimal(money.before), "after": decimal(money.after),
            "difference": decimal(money.after - money.before),
        })
    });
    differing.collect()
}

fn totals_json(sums: Sums<'_>) -> Value {
    let totals = totals(sums).into_iter().map(|(currency, before, after, moved)| {
        json!({
            "currency": currency, "before": decimal(before), "after": decimal(after),
            "difference": decimal(after - before), "absolute": decimal(moved),
        })
    });
    totals.collect()
}

/// Facts of other kinds by their kind.
fn facts_json(network: &str, diff: &Diff) -> Value {
    let kinds = diff.facts.iter().map(|(fact, facts)| {
        let counts = json!({
            "compared": facts.compared,
            "outside": facts.outside,
            "added": rows_json(&facts.added, "id"),
            "removed": rows_json(&facts.removed, "id"),
            "changed": rows_json(&facts.changed, "id"),
            "fields": fields_json(&facts.fields, "id"),
            "money": money_json(network, &facts.money),
            "totals": totals_json((&facts.money, &facts.moved)),
        });
        (fact.name().to_owned(), counts)
    });
    Value::Object(kinds.collect())
}

fn rows_json(rows: &Rows, id_name: &str) -> Value {
    let examples = rows.examples.iter().map(|(account, id)| json!({"account": account, id_name: id}));
    json!({"count": rows.count, "examples": examples.collect::<Vec<_>>()})
}

fn fields_json(fields: &BTreeMap<String, FieldDiff>, id_name: &str) -> Value {
    let fields = fields.iter().map(|(name, field)| {
        let examples = field.examples.iter().map(|example| {
            json!({
                "account": example.account, id_name: example.id,
                "before": example.before, "after": example.after,
            })
        });
        (name.clone(), json!({"count": field.count, "examples": examples.collect::<Vec<_>>()}))
    });
    Value::Object(fields.collect())
}

fn rejects_json(rejects: &Rejects) -> Value {
    let examples = rejects.examples.iter().map(|reject| {
        json!({
            "account": reject.account, "stream": reject.stream, "raw_object": reject.raw_object,
            "record_index": reject.record_index, "reason": reject.reason,
        })
    });
    json!({"count": rejects.count, "examples": examples.collect::<Vec<_>>()})
}

/// The outcome as lines and tables for people.
pub fn human(network: &str, outcome: &ReplayOutcome) -> String {
    let diff = &outcome.diff;
    let transactions = &diff.transactions;
    let connector = &outcome.connector;
    let mut text = format!(
        "{network} by {} {} ({}): {} responses, {} transactions compared",
        connector.name,
        connector.version,
        connector.digest.short(),
        diff.responses,
        transactions.compared
    );
    if transactions.outside > 0 {
        let _ = write!(text, ", {} not: their latest state comes from outside the selection", transactions.outside);
    }
    text.push('\n');
    for (fact, facts) in &diff.facts {
        let _ =
            writeln!(text, "{} {} compared, {} from outside the selection", facts.compared, fact.name(), facts.outside);
    }
    if !outcome.gone.is_nothing() {
        let _ = writeln!(text, "{}: what they gave isn't compared", tables::missing_raw(&outcome.gone));
    }
    if diff.is_empty() {
        text.push_str("nothing differs\n");
    } else {
        rows(&mut text, diff);
        facts(&mut text, diff);
        money(&mut text, "commission", (&transactions.money, &transactions.moved));
        rejects(&mut text, "newly rejected", &diff.new_rejects);
        rejects(&mut text, "no longer rejected", &diff.gone_rejects);
    }
    for (word, responses) in &diff.unknown_statuses {
        let _ = writeln!(text, "unknown status word `{word}` in {responses} responses");
    }
    for verdict in &outcome.results {
        let state = if verdict.holds { "holds" } else { "doesn't hold" };
        let _ = writeln!(text, "{} {state}: {}", verdict.condition, verdict.value);
    }
    if let Some(run_id) = &outcome.run_id {
        let _ = writeln!(text, "applied by run {run_id}; undo it by `sluice replay {network} --rollback {run_id}`");
    }
    text
}

fn rows(text: &mut String, diff: &Diff) {
    write_facts(text, "transactions", &diff.transactions);
    for (stream, native) in &diff.native {
        if native.added + native.changed + native.removed > 0 {
            let _ = writeln!(
                text,
                "native records of `{stream}`: {} added, {} read otherwise, {} no longer found, of {}",
                native.added, native.changed, native.removed, native.compared
            );
        }
    }
}

/// Facts of other kinds that differ.
fn facts(text: &mut String, diff: &Diff) {
    for (fact, facts) in diff.facts.iter().filter(|(_, facts)| facts.rows() > 0) {
        write_facts(text, fact.name(), facts);
        if let Some((amount, _)) = fact.amount() {
            money(text, amount, (&facts.money, &facts.moved));
        }
    }
}

/// Facts of a kind that come, go or change, and the fields that do.
fn write_facts(text: &mut String, kind: &str, facts: &FactDiff) {
    for (what, rows) in [("added", &facts.added), ("removed", &facts.removed), ("changed", &facts.changed)] {
        write_rows(text, kind, what, rows);
    }
    write_fields(text, &facts.fields);
}

/// `2 transactions changed: main 1, main 2`.
fn write_rows(text: &mut String, kind: &str, what: &str, rows: &Rows) {
    let examples: Vec<String> = rows.examples.iter().map(|(account, id)| format!("{account} {id}")).collect();
    let like = if examples.is_empty() { String::new() } else { format!(": {}", examples.join(", ")) };
    let more = if rows.count > examples.len() as u64 { " …" } else { "" };
    let _ = writeln!(text, "{} {kind} {what}{like}{more}", rows.count);
}

/// The fields that changed, with an example of each.
fn write_fields(text: &mut String, fields: &BTreeMap<String, FieldDiff>) {
    let mut table = vec![["field", "changed", "for example"].map(str::to_owned).to_vec()];
    for (name, field) in fields {
        let example = field.examples.first().map(|example| {
            let [before, after] = [&example.before, &example.after].map(|value| value.as_deref().unwrap_or("null"));
            format!("{before} → {after} ({} {})", example.account, example.id)
        });
        table.push(vec![name.clone(), field.count.to_string(), example.unwrap_or_default()]);
    }
    write_table(text, &table);
}

/// The sums of an amount that differ, and what each currency has.
fn money(text: &mut String, amount: &str, (money, moved): Sums<'_>) {
    let before = format!("{amount} before");
    let heads = ["account", "month", "status", "currency", "rows", before.as_str(), "after", "difference"];
    let mut table = vec![heads.map(str::to_owned).to_vec()];
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    for (key, money) in money.iter().filter(|(_, money)| differs(money)) {
        table.push(vec![
            key.account.clone(),
            key.month.clone(),
            or_none(&key.status),
            or_none(key.currency.as_deref().unwrap_or_default()),
            format!("{} → {}", money.rows_before, money.rows_after),
            decimal(money.before),
            decimal(money.after),
            signed(money.after - money.before),
        ]);
    }
    write_table(text, &table);
    for (currency, before, after, moved) in totals((money, moved)) {
        let currency = currency.as_deref().unwrap_or("no currency");
        let difference = signed(after - before);
        let (before, after) = (decimal(before), decimal(after));
        let _ = writeln!(text, "{currency}: {before} → {after}, {difference}; {} moved row by row", decimal(moved));
    }
}

fn rejects(text: &mut String, what: &str, rejects: &Rejects) {
    if rejects.count == 0 {
        return;
    }
    let _ = writeln!(text, "{} records {what}", rejects.count);
    for reject in &rejects.examples {
        let body = reject.raw_object.get(..12).unwrap_or(&reject.raw_object);
        let (account, stream, reason) = (&reject.account, &reject.stream, &reject.reason);
        let _ = match reject.record_index {
            -1 => writeln!(text, "  {account} {stream}: all of raw object {body}: {reason}"),
            place => writeln!(text, "  {account} {stream}: record {place} of raw object {body}: {reason}"),
        };
    }
}

/// Columns under their heads; nothing if there are only heads.
fn write_table(text: &mut String, rows: &[Vec<String>]) {
    if rows.len() < 2 {
        return;
    }
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use sluice_lake::FieldExample;
    use sluice_model::Fact;

    use super::*;

    #[test]
    fn facts_that_go_are_reported_with_their_money() {
        let example = FieldExample {
            account: "main".to_owned(),
            id: "9".to_owned(),
            before: Some("5.000000".to_owned()),
            after: Some("0.050000".to_owned()),
        };
        let rows = |count, id: &str| Rows { count, examples: vec![("main".to_owned(), id.to_owned())] };
        let key = MoneyKey {
            account: "main".to_owned(),
            month: "none".to_owned(),
            status: "paid".to_owned(),
            currency: Some("EUR".to_owned()),
        };
        let sum = Money { rows_before: 3, rows_after: 2, before: 12_000_000, after: 2_050_000 };
        let payments = FactDiff {
            compared: 3,
            changed: rows(1, "9"),
            removed: rows(1, "8"),
            fields: BTreeMap::from([("amount".to_owned(), FieldDiff { count: 1, examples: vec![example] })]),
            money: BTreeMap::from([(key, sum)]),
            moved: BTreeMap::from([(Some("EUR".to_owned()), 9_950_000)]),
            ..FactDiff::default()
        };
        let diff = Diff { facts: BTreeMap::from([(Fact::Payments, payments)]), ..Diff::default() };
        assert!(!diff.is_empty());
        let mut text = String::new();
        facts(&mut text, &diff);
        let lines = [
            "0 payments added",
            "1 payments removed: main 8",
            "1 payments changed: main 9",
            "  field   changed  for example",
            "  amount  1        5.000000 → 0.050000 (main 9)",
            "  account  month  status  currency  rows   amount before  after  difference",
            "  main     none   paid    EUR       3 → 2  12             2.05   -9.95",
            "EUR: 12 → 2.05, -9.95; 9.95 moved row by row",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
        let json = facts_json("awin", &diff);
        assert_eq!(json["payments"]["fields"]["amount"]["examples"][0]["id"], "9");
        assert_eq!(json["payments"]["removed"]["examples"][0], json!({"account": "main", "id": "8"}));
        assert_eq!(json["payments"]["money"][0]["difference"], "-9.95");
        assert_eq!(json["payments"]["totals"][0]["absolute"], "9.95");
    }

    #[test]
    fn amounts_are_plain_decimals() {
        assert_eq!(decimal(1_500_000), "1.5");
        assert_eq!(decimal(-10_000), "-0.01");
        assert_eq!(decimal(0), "0");
        assert_eq!(decimal(120_000_000), "120");
        assert_eq!(signed(1), "+0.000001");
    }
}
