//! What the latest state holds of one window of a stream, for those who compare an answer with it.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, TimestampMicrosecondType};
use chrono::{DateTime, TimeDelta, Utc};
use deltalake::kernel::Add;
use futures::TryStreamExt;
use sluice_model::{Axis, Window};

use super::{LatestVersions, path_of};
use crate::error::Error;
use crate::follow::Follower;
use crate::hash::VANISHED;
use crate::index::{column, unreadable, wrong};
use crate::lake::Lake;
use crate::scan::stream_columns;
use crate::table::Table;

/// How far from a window's ends an instant must be: APIs cut windows at whole seconds or minutes.
const MARGIN: TimeDelta = TimeDelta::seconds(60);
/// What is known by its day alone must have its whole day inside.
const DAY: TimeDelta = TimeDelta::days(1);

/// When a transaction happened.
const HAPPENED: &str = "transacted_at";

/// The transactions that a network reported in a window, by their date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowState {
    /// How many there are; none of those that vanished.
    pub rows: u64,
    /// Their commissions by currency, in millionths; without a currency under the empty text.
    pub commission: BTreeMap<String, i128>,
    /// When the last of them was observed as it is.
    pub observed_at: Option<DateTime<Utc>>,
}

/// Those of a network, by account and stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowStates(HashMap<String, HashMap<String, WindowState>>);

impl WindowStates {
    /// What a network reported of a stream of an account; none if that is nothing.
    pub fn of(&self, account: &str, stream: &str) -> Option<&WindowState> {
        self.0.get(account)?.get(stream)
    }

    fn add(&mut self, account: &str, stream: &str, observed: i64, amount: Option<i128>, currency: &str) {
        if self.of(account, stream).is_none() {
            self.0.entry(account.to_owned()).or_default().insert(stream.to_owned(), WindowState::default());
        }
        let Some(state) = self.0.get_mut(account).and_then(|streams| streams.get_mut(stream)) else { return };
        state.rows += 1;
        state.observed_at = state.observed_at.max(DateTime::from_timestamp_micros(observed));
        let Some(amount) = amount else { return };
        match state.commission.get_mut(currency) {
            Some(sum) => *sum += amount,
            None => _ = state.commission.insert(currency.to_owned(), amount),
        }
    }
}

impl Lake {
    /// What the latest state holds of a network with its date of an axis in a window, by account and stream: when it happened,
    /// was decided or was paid. What lies close to the window's ends isn't counted. Only the files are read whose statistics
    /// reach into the window.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn window_states(&self, network: &str, axis: Axis, window: Window) -> Result<WindowStates, Error> {
        let table = Table::open(self, LatestVersions::TARGET.0, LatestVersions::TARGET.1).await?;
        let mut states = WindowStates::default();
        let mut adds = table.adds();
        let date = date_of(axis);
        adds.retain(|add| may_hold(add, network, date, window));
        for add in &adds {
            read_file(&table, add, date, window, &mut states).await?;
        }
        Ok(states)
    }
}

/// The column of a transaction's date; that of its event where it has none of the axis.
fn date_of(axis: Axis) -> &'static str {
    match axis {
        Axis::Validation => "validated_at",
        Axis::Payment => "paid_at",
        Axis::Transaction | Axis::Modified | Axis::None => HAPPENED,
    }
}

async fn read_file(
    table: &Table,
    add: &Add,
    date: &str,
    window: Window,
    states: &mut WindowStates,
) -> Result<(), Error> {
    let path = path_of(add);
    let failed = |source| unreadable(table, &path, source);
    let money = ["commission_amount", "commission_currency"];
    let names = ["account", "stream", date, "time_basis", "content_hash", "observed_at", money[0], money[1]];
    let mut batches = stream_columns(table.store(), &path, &names).await.map_err(failed)?;
    while let Some(rows) = batches.try_next().await.map_err(failed)? {
        let text =
            |name: &str| column(table, &rows, name)?.as_string_opt::<i32>().ok_or_else(|| wrong(table, name, "text"));
        let (accounts, streams, bases) = (text("account")?, text("stream")?, text("time_basis")?);
        let currencies = text("commission_currency")?;
        let moments = |name: &str| {
            let times = column(table, &rows, name)?.as_primitive_opt::<TimestampMicrosecondType>();
            times.ok_or_else(|| wrong(table, name, "a timestamp"))
        };
        let (times, observed) = (moments(date)?, moments("observed_at")?);
        let contents = column(table, &rows, "content_hash")?.as_binary_opt::<i32>();
        let contents = contents.ok_or_else(|| wrong(table, "content_hash", "binary"))?;
        let amounts = column(table, &rows, "commission_amount")?.as_primitive_opt::<Decimal128Type>();
        let amounts = amounts.ok_or_else(|| wrong(table, "commission_amount", "a decimal"))?;
        for row in 0..rows.num_rows() {
            // How exact another date is isn't known.
            let basis = if date == HAPPENED { bases.value(row) } else { "unknown" };
            let is_there = times.is_valid(row)
                && is_inside(window, times.value(row), basis)
                && contents.value(row) != VANISHED.to_be_bytes();
            if is_there {
                let amount = amounts.is_valid(row).then(|| amounts.value(row));
                let currency = if currencies.is_valid(row) { currencies.value(row) } else { "" };
                states.add(accounts.value(row), streams.value(row), observed.value(row), amount, currency);
            }
        }
    }
    Ok(())
}

fn is_inside(window: Window, micros: i64, basis: &str) -> bool {
    let Some(time) = DateTime::<Utc>::from_timestamp_micros(micros) else { return false };
    match basis {
        "date" => window.since <= time && time + DAY <= window.until,
        "unknown" => window.since + DAY <= time && time + DAY <= window.until,
        _ => window.since + MARGIN <= time && time < window.until - MARGIN,
    }
}

/// Whether a file may hold transactions of the window, by its partition and its statistics.
fn may_hold(add: &Add, network: &str, date: &str, window: Window) -> bool {
    if add.partition_values.get("network").and_then(Option::as_deref) != Some(network) {
        return false;
    }
    let stats = add.stats.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let time = |bound: &str| {
        let text = stats.as_ref()?.get(bound)?.get(date)?.as_str()?;
        Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
    };
    // Statistics are cut at milliseconds.
    let reach = TimeDelta::milliseconds(1);
    match time("minValues").zip(time("maxValues")) {
        Some((least, greatest)) => least < window.until && greatest + reach >= window.since,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_lies_close_to_an_end_is_not_inside() {
        let window: Window = "2026-01-01T00:00:00Z/2026-01-03T00:00:00Z".parse().unwrap();
        let inside =
            |time: &str, basis| is_inside(window, time.parse::<DateTime<Utc>>().unwrap().timestamp_micros(), basis);
        assert!(inside("2026-01-01T00:01:00Z", "instant") && !inside("2026-01-01T00:00:59Z", "instant"));
        assert!(inside("2026-01-02T23:58:59Z", "local") && !inside("2026-01-02T23:59:00Z", "local"));
        assert!(inside("2026-01-02T00:00:00Z", "date") && !inside("2026-01-02T00:00:01Z", "date"), "its day is longer");
        assert!(
            inside("2026-01-02T00:00:00Z", "unknown") && !inside("2026-01-01T23:59:59Z", "unknown"),
            "it may be any zone's"
        );
    }
}
