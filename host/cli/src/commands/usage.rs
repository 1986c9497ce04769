//! `sluice usage`: what networks and accounts used, and what it costs.

use std::io::Write;

use chrono::{DateTime, Datelike, NaiveTime, Utc};
use sluice_runtime::failure::Failure;
use sluice_runtime::selection::moment;
use sluice_runtime::settings::Settings;
use sluice_runtime::text::count;
use sluice_runtime::usage::{self, Usage, UsageLine};

use super::{print_json, rfc3339};
use crate::arguments::UsageArgs;

/// The columns of CSV.
const COLUMNS: [&str; 11] = [
    "network",
    "account",
    "requests",
    "bytes",
    "guest_cpu_ms",
    "host_cpu_ms",
    "records",
    "stored_bytes",
    "stored_mib_hours",
    "cost",
    "currency",
];

/// Prints what was used in a period.
///
/// # Errors
/// A usage failure for a period that is none; the lake's failure.
pub(super) async fn usage(settings: &Settings, args: &UsageArgs, json: bool) -> Result<(), Failure> {
    let now = Utc::now();
    let since = args.since.as_deref().map(moment).transpose()?.unwrap_or_else(|| first_of_month(now));
    let until = args.until.as_deref().map(moment).transpose()?.unwrap_or(now);
    if since >= until {
        let message = format!("the period {} to {} is empty", rfc3339(since), rfc3339(until));
        return Err(Failure::usage(message).hint("--since must be before --until"));
    }
    let usage = usage::usage(settings, since, until).await?;
    match args.format.as_deref() {
        Some("csv") => csv(&usage),
        Some("json") => print_json(&usage),
        None if json => print_json(&usage),
        _ => Ok(write!(std::io::stdout().lock(), "{}", text(&usage))?),
    }
}

fn first_of_month(now: DateTime<Utc>) -> DateTime<Utc> {
    now.date_naive().with_day(1).map_or(now, |day| day.and_time(NaiveTime::MIN).and_utc())
}

fn csv(usage: &Usage) -> Result<(), Failure> {
    let mut csv = csv::Writer::from_writer(std::io::stdout().lock());
    csv.write_record(COLUMNS).map_err(Failure::failed)?;
    for UsageLine { used, cost } in &usage.accounts {
        let numbers = [
            used.requests,
            used.bytes,
            used.guest_cpu_ms,
            used.host_cpu_ms,
            used.records,
            used.stored_bytes,
            used.stored_mib_hours,
        ];
        let mut record = vec![used.network.clone(), used.account.clone().unwrap_or_default()];
        record.extend(numbers.map(|number| number.to_string()));
        record.push(cost.as_ref().map(|cost| cost.to_plain_string()).unwrap_or_default());
        record.push(usage.currency.clone().unwrap_or_default());
        csv.write_record(record).map_err(Failure::failed)?;
    }
    Ok(csv.flush()?)
}

fn text(usage: &Usage) -> String {
    let mut text = format!("{} to {}\n", rfc3339(usage.since), rfc3339(usage.until));
    let currency = usage.currency.as_deref().unwrap_or_default();
    for UsageLine { used, cost } in &usage.accounts {
        let name = match &used.account {
            Some(account) => format!("{} {account}", used.network),
            None => used.network.clone(),
        };
        let number = |number: i64, what: &str| count(number.unsigned_abs(), what);
        let cpu_secs = (used.guest_cpu_ms + used.host_cpu_ms) as f64 / 1_000.0;
        let received_mib = used.bytes as f64 / f64::from(1 << 20);
        text.push_str(&format!(
            "{name}: {}, {received_mib:.1} MiB received, {}, {cpu_secs:.1} s of processor time, {:.1} MiB stored",
            number(used.requests, "request"),
            number(used.records, "record"),
            used.stored_bytes as f64 / f64::from(1 << 20),
        ));
        if let Some(cost) = cost {
            text.push_str(&format!(": {} {currency}", cost.to_plain_string()));
        }
        text.push('\n');
    }
    match &usage.cost {
        Some(cost) => text.push_str(&format!("all: {} {currency}\n", cost.to_plain_string())),
        None => text.push_str("without [usage] in sluice.toml there are no rates to price it by\n"),
    }
    text
}
