//! What networks and accounts used, and what it costs by the operator's rates.

use std::collections::BTreeMap;
use std::time::Duration;

use bigdecimal::{BigDecimal, RoundingMode};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};
use sluice_lake::AccountUsage;
use sluice_query::Format;

use crate::app::{open_lake, open_session};
use crate::failure::Failure;
use crate::settings::Settings;
use crate::settings::usage::UsageRates;
use crate::slice_done::SliceReport;

/// Decimals of a cost: each line is rounded, and totals are sums of lines.
const COST_DECIMALS: i64 = 6;
const MONTH_SECS: i64 = 30 * 86_400;
const GIB: i64 = 1 << 30;
const CPU_HOUR_MS: i64 = 3_600_000;

/// What was used in a period.
#[derive(Debug, Serialize)]
pub struct Usage {
    /// Its first moment.
    pub since: DateTime<Utc>,
    /// The first moment after it.
    pub until: DateTime<Utc>,
    /// What costs are in; none without rates.
    pub currency: Option<String>,
    /// By network and account.
    pub accounts: Vec<UsageLine>,
    /// What all cost; none without rates.
    #[serde(serialize_with = "cost")]
    pub cost: Option<BigDecimal>,
}

/// What an account used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageLine {
    /// How much.
    #[serde(flatten)]
    pub used: Used,
    /// What it cost; none without rates.
    #[serde(serialize_with = "cost")]
    pub cost: Option<BigDecimal>,
}

/// How much an account used. What a run of no account used, such as a replay, has no account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The network, by the name of its file.
    pub network: String,
    /// The account's id.
    pub account: Option<String>,
    /// Requests that were sent.
    pub requests: i64,
    /// Bytes received, as they came.
    pub bytes: i64,
    /// Processor time of guests, in milliseconds.
    pub guest_cpu_ms: i64,
    /// Processor time of the host for it, in milliseconds.
    pub host_cpu_ms: i64,
    /// Records in the responses.
    pub records: i64,
    /// Bytes that were added to raw.
    pub stored_bytes: i64,
    /// What was in raw, for how long, in MiB-hours, rounded down.
    pub stored_mib_hours: i64,
}

/// What was used from `since` to `until`.
///
/// # Errors
/// The lake's failure.
pub async fn usage(settings: &Settings, since: DateTime<Utc>, until: DateTime<Utc>) -> Result<Usage, Failure> {
    let session = open_session(open_lake(settings).await?).await?;
    let result = session.query(&query(since, until, settings.maintenance.keep_raw)).await?;
    let mut json = Vec::new();
    sluice_query::write(result, Format::Json, &mut json).await?;
    let used: Vec<Used> = serde_json::from_slice(&json).map_err(Failure::failed)?;
    let rates = settings.usage.as_ref();
    let line = |used: Used| UsageLine { cost: rates.map(|rates| price(&used, rates)), used };
    let accounts: Vec<UsageLine> = used.into_iter().map(line).collect();
    let total = || accounts.iter().filter_map(|line| line.cost.as_ref()).sum::<BigDecimal>().with_scale(COST_DECIMALS);
    let cost = rates.map(|_| total());
    Ok(Usage { since, until, currency: rates.map(|rates| rates.currency.clone()), accounts, cost })
}

/// Sums by network and account. What was added to raw before the period is stored in it, too, until it is deleted.
fn query(since: DateTime<Utc>, until: DateTime<Utc>, keep_raw: Option<TimeDelta>) -> String {
    let (from, to) = (since.timestamp(), until.timestamp());
    let [first, end] = [since, until].map(|time| format!("to_timestamp_micros({})", time.timestamp_micros()));
    let gone = keep_raw.map_or_else(|| to.to_string(), |keep| format!("least({to}, began + {})", keep.num_seconds()));
    let sums = ["requests", "bytes", "guest_cpu_ms", "host_cpu_ms", "records", "stored_bytes"]
        .map(|name| format!("coalesce(sum({name}) FILTER (WHERE started_at >= {first}), 0) AS {name}"));
    // A TiB for a century is below 2^63 MiB-hours; bytes and seconds are multiplied as decimals.
    format!(
        "SELECT network, account, {}, CAST(coalesce(sum(
                CAST(stored_bytes AS DECIMAL(38, 0)) * greatest(0, {gone} - greatest(began, {from}))
            ), 0) / {} AS BIGINT) AS stored_mib_hours
         FROM (SELECT *, to_unixtime(started_at) AS began FROM meta.usage) WHERE started_at < {end}
         GROUP BY network, account ORDER BY network, account",
        sums.join(", "),
        3_600_i64 << 20,
    )
}

fn price(used: &Used, rates: &UsageRates) -> BigDecimal {
    let parts = [
        (used.requests, &rates.per_thousand_requests, 1_000),
        (used.bytes, &rates.per_gib_received, GIB),
        (used.guest_cpu_ms + used.host_cpu_ms, &rates.per_cpu_hour, CPU_HOUR_MS),
        (used.stored_mib_hours, &rates.per_gib_month_stored, 1_024 * (MONTH_SECS / 3_600)),
    ];
    let cost: BigDecimal =
        parts.into_iter().map(|(amount, rate, unit)| BigDecimal::from(amount) * rate / BigDecimal::from(unit)).sum();
    cost.with_scale_round(COST_DECIMALS, RoundingMode::HalfEven)
}

fn cost<S: Serializer>(cost: &Option<BigDecimal>, serializer: S) -> Result<S::Ok, S::Error> {
    cost.as_ref().map(BigDecimal::to_plain_string).serialize(serializer)
}

/// What accounts used in a run, from the reports of their slices.
pub(crate) fn by_account<'a>(
    reports: impl Iterator<Item = (&'a String, &'a SliceReport)>,
) -> BTreeMap<String, AccountUsage> {
    let mut sums: BTreeMap<String, SliceReport> = BTreeMap::new();
    for (account, report) in reports {
        let sum = sums.entry(account.clone()).or_default();
        sum.add_traffic(report);
        sum.records += report.records;
    }
    let usage = |report: &SliceReport| AccountUsage {
        requests: report.requests,
        bytes: report.bytes,
        guest_cpu_ms: millis(report.processor.guest),
        host_cpu_ms: millis(report.processor.host),
        records: report.records,
        stored_bytes: report.stored_bytes,
    };
    sums.iter().map(|(account, report)| (account.clone(), usage(report))).collect()
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn used() -> Used {
        Used {
            network: "awin".to_owned(),
            account: Some("uk".to_owned()),
            requests: 1_234,
            bytes: 3 << 30,
            guest_cpu_ms: 1_800_000,
            host_cpu_ms: 0,
            records: 9,
            stored_bytes: 5,
            stored_mib_hours: 1_024 * 720,
        }
    }

    #[test]
    fn costs_are_exact_decimals() {
        let rates = |text: &str| toml::from_str::<UsageRates>(&format!("currency = \"EUR\"\n{text}")).unwrap();
        let cost = |text: &str| price(&used(), &rates(text)).to_plain_string();
        assert_eq!(cost("per_thousand_requests = \"0.10\""), "0.123400");
        assert_eq!(cost("per_gib_received = \"0.02\""), "0.060000");
        assert_eq!(cost("per_cpu_hour = \"0.05\""), "0.025000");
        assert_eq!(cost("per_gib_month_stored = \"0.023\""), "0.023000");
        assert_eq!(cost("per_thousand_requests = \"0.1\"\nper_cpu_hour = \"0.000001\""), "0.123400", "half to even");
        assert_eq!(cost(""), "0.000000");
    }

    #[test]
    fn a_line_without_rates_has_no_cost() {
        let json = serde_json::to_value(UsageLine { used: used(), cost: None }).unwrap();
        assert_eq!((&json["network"], &json["requests"], &json["cost"]), (&"awin".into(), &1_234.into(), &().into()));
    }
}
