//! What the lake knows of a network's rows and reads.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::Window;
use sluice_query::Session;

use super::choice::KnownWindow;
use super::rates::{AGE_CLASSES, CLASSES, ChangeRates, Observed, RowKind, age_class};
use super::{AXIS, Days, Unit, day_number, day_start};
use crate::duplicates::{quoted, texts};
use crate::failure::Failure;

/// An account's id and a stream.
pub type StreamKey = (String, String);

/// What is known of a network's rows and reads.
#[derive(Default)]
pub struct Evidence {
    /// How often rows change.
    pub rates: ChangeRates,
    /// Rows by stream of an account, day and kind.
    rows: HashMap<StreamKey, HashMap<i64, Vec<(RowKind, u64)>>>,
    /// Complete reads, by stream of an account.
    reads: HashMap<StreamKey, Vec<(Window, DateTime<Utc>)>>,
    /// Requests and records of those reads.
    costs: HashMap<StreamKey, (f64, f64)>,
}

impl Evidence {
    /// Reads it from the lake.
    pub(super) async fn read(
        session: &Session,
        network: &str,
        days: Days,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let network = quoted(network);
        let rates = rates(&texts(session, &rates_query(&network, days, now)).await?);
        let mut evidence = Self { rates, ..Self::default() };
        for [account, stream, day, advertiser, status, count] in texts(session, &rows_query(&network, days)).await? {
            let kind = RowKind { advertiser, status };
            evidence.add_rows((account, stream), number(&day) as i64, kind, number(&count) as u64);
        }
        for [account, stream, since, until, at, requests, records] in
            texts(session, &reads_query(&network, days)).await?
        {
            let [since, until, at] = [since, until, at].map(|micros| moment(&micros));
            evidence.add_read((account, stream), Window { since, until }, at, (number(&requests), number(&records)));
        }
        Ok(evidence)
    }

    /// Adds rows of a day, by the day's number since 1970, that the tables hold of a stream of an account.
    pub fn add_rows(&mut self, of: StreamKey, day: i64, kind: RowKind, rows: u64) {
        self.rows.entry(of).or_default().entry(day).or_default().push((kind, rows));
    }

    /// Adds a complete read of a window, and the requests and records that it took.
    pub fn add_read(&mut self, of: StreamKey, window: Window, at: DateTime<Utc>, (requests, records): (f64, f64)) {
        let cost = self.costs.entry(of.clone()).or_default();
        *cost = (cost.0 + requests, cost.1 + records);
        self.reads.entry(of).or_default().push((Window { until: window.until.min(at), ..window }, at));
    }

    /// What is known of each unit.
    pub fn candidates(&self, units: &[Unit<'_>], now: DateTime<Utc>, at_least_every: TimeDelta) -> Vec<KnownWindow> {
        let mut read_at: HashMap<StreamKey, HashMap<i64, DateTime<Utc>>> = HashMap::new();
        let mut candidates = Vec::with_capacity(units.len());
        for unit in units {
            let key = (unit.account.to_owned(), unit.stream.to_owned());
            let days = read_at.entry(key.clone()).or_insert_with(|| self.read_days(&key, now));
            candidates.push(self.candidate(unit, &key, days, now, at_least_every));
        }
        candidates
    }

    fn candidate(
        &self,
        unit: &Unit<'_>,
        key: &StreamKey,
        read_days: &HashMap<i64, DateTime<Utc>>,
        now: DateTime<Utc>,
        at_least_every: TimeDelta,
    ) -> KnownWindow {
        let (mut rows, mut expected_changes, mut read_at) = (0, 0.0, Some(now));
        for day in unit.days.first..=unit.days.last {
            let day_read_at = read_days.get(&day).copied();
            read_at = read_at.min(day_read_at);
            let unread_days = days_between(day_read_at.unwrap_or(now - at_least_every), now);
            let class = age_class(days_between(day_start(day), now));
            for (kind, count) in self.rows.get(key).and_then(|days| days.get(&day)).into_iter().flatten() {
                rows += count;
                expected_changes += *count as f64 * (1.0 - (-self.rates.rate(kind, class) * unread_days).exp());
            }
        }
        let (requests, records) = self.costs.get(key).copied().unwrap_or_default();
        let requests = if records > 0.0 { (requests / records * rows as f64).max(1.0) } else { 1.0 };
        KnownWindow {
            account: key.0.clone(),
            stream: key.1.clone(),
            window: unit.window(now),
            rows,
            read_at,
            expected_changes,
            requests,
        }
    }

    /// When each day was last read as a whole, as far as it has come.
    fn read_days(&self, key: &StreamKey, now: DateTime<Utc>) -> HashMap<i64, DateTime<Utc>> {
        let mut days: HashMap<i64, DateTime<Utc>> = HashMap::new();
        for (window, at) in self.reads.get(key).into_iter().flatten() {
            // The first day that it has from its begin on, and the last one that it has to its end.
            let first = day_number(window.since + TimeDelta::microseconds(86_400_000_000 - 1));
            let last = day_number(window.until.min(now));
            let is_whole = |day: i64| day_start(day + 1) <= window.until || day == day_number(*at);
            for day in (first..=last).filter(|day| is_whole(*day)) {
                let known = days.entry(day).or_insert(*at);
                *known = (*at).max(*known);
            }
        }
        days
    }
}

/// Ages and changes of the versions of a network's transactions of these days: a line for each advertiser, status and class of age.
fn rates_query(network: &str, days: Days, now: DateTime<Utc>) -> String {
    let ends = AGE_CLASSES.iter().map(|end| format!("{end}"));
    let classes: Vec<String> = std::iter::once("0".to_owned())
        .chain(ends.clone())
        .zip(ends.chain(["1e9".to_owned()]))
        .enumerate()
        .map(|(class, (from, to))| format!("({class}, CAST({from} AS DOUBLE), CAST({to} AS DOUBLE))"))
        .collect();
    let age = |moment: &str| format!("(date_part('epoch', {moment}) - date_part('epoch', transacted_at)) / 86400.0");
    let (seen, next) =
        (age("observed_at"), age("lead(observed_at) OVER (PARTITION BY transaction_key ORDER BY version)"));
    let since = day_start(days.first).format("%F %T");
    let today = age(&format!("TIMESTAMP '{}'", now.format("%F %T")));
    format!(
        "WITH classes(class, begins, ends) AS (VALUES {}),
         spans AS (
             SELECT coalesce(advertiser_id, '') AS advertiser, concat(validation_status, '/', payment_status) AS status,
                    greatest({seen}, 0) AS seen, {next} AS changed, {today} AS today
             FROM unified.transaction_versions
             WHERE network = {network} AND change <> 'mapping-change' AND transacted_at >= TIMESTAMP '{since}'
         ),
         aged AS (SELECT advertiser, status, seen, changed, greatest(coalesce(changed, today), seen) AS last FROM spans)
         SELECT advertiser, status, CAST(class AS VARCHAR),
                CAST(sum(CASE WHEN changed >= begins AND changed < ends THEN 1 ELSE 0 END) AS VARCHAR),
                CAST(sum(greatest(least(last, ends) - greatest(seen, begins), 0)) AS VARCHAR)
         FROM aged CROSS JOIN classes WHERE seen < ends AND last >= begins GROUP BY 1, 2, 3",
        classes.join(", ")
    )
}

fn rates(rows: &[[String; 5]]) -> ChangeRates {
    let mut rates = ChangeRates::default();
    for [advertiser, status, class, changes, row_days] in rows {
        let kind = RowKind { advertiser: advertiser.clone(), status: status.clone() };
        let class = (number(class) as usize).min(CLASSES - 1);
        rates.add(kind, class, Observed { changes: number(changes), row_days: number(row_days) });
    }
    rates
}

/// The rows that are there, by day.
fn rows_query(network: &str, days: Days) -> String {
    let since = day_start(days.first).format("%F %T");
    format!(
        "SELECT account, stream, CAST(CAST(floor(date_part('epoch', transacted_at) / 86400) AS BIGINT) AS VARCHAR),
                coalesce(advertiser_id, ''), concat(validation_status, '/', payment_status), CAST(count(*) AS VARCHAR)
         FROM unified.live_transactions WHERE network = {network} AND transacted_at >= TIMESTAMP '{since}'
         GROUP BY 1, 2, 3, 4, 5"
    )
}

/// The complete reads of the days.
fn reads_query(network: &str, days: Days) -> String {
    let since = day_start(days.first).format("%F %T");
    let micros = |column: &str| format!("CAST(CAST({column} AS BIGINT) AS VARCHAR)");
    let (since_micros, until_micros, read_micros) = (micros("since"), micros("until"), micros("max(read_at)"));
    format!(
        "SELECT account, stream, {since_micros}, {until_micros}, {read_micros},
                CAST(sum(requests) AS VARCHAR), CAST(sum(records) AS VARCHAR)
         FROM meta.coverage
         WHERE network = {network} AND axis = '{}' AND complete AND until >= TIMESTAMP '{since}'
         GROUP BY account, stream, since, until",
        AXIS.name()
    )
}

fn days_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    ((to - from).num_seconds() as f64 / 86_400.0).max(0.0)
}

fn moment(micros: &str) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(number(micros) as i64).unwrap_or(DateTime::UNIX_EPOCH)
}

/// A number that the query wrote; 0 for null.
fn number(text: &str) -> f64 {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-06-10T12:00:00Z".parse().unwrap()
    }

    fn key() -> StreamKey {
        ("uk".to_owned(), "sales".to_owned())
    }

    /// Pending rows change once in ten days, paid ones never; all was read `days_ago`.
    fn evidence(days_ago: i64) -> Evidence {
        let kind = |status: &str| RowKind { advertiser: "a".to_owned(), status: status.to_owned() };
        let mut rates = ChangeRates::default();
        for class in 0..CLASSES {
            rates.add(kind("pending"), class, Observed { changes: 1_000.0, row_days: 10_000.0 });
            rates.add(kind("paid"), class, Observed { changes: 0.0, row_days: 1_000_000.0 });
        }
        let today = day_number(now());
        let mut evidence = Evidence { rates, ..Evidence::default() };
        for (days_ago, status, rows) in [(5, "pending", 100), (12, "paid", 100), (12, "pending", 10)] {
            evidence.add_rows(key(), today - days_ago, kind(status), rows);
        }
        let at = now() - TimeDelta::days(days_ago);
        evidence.add_read(key(), Window { since: day_start(today - 20), until: at }, at, (2.0, 100.0));
        evidence
    }

    fn candidates(evidence: &Evidence) -> Vec<KnownWindow> {
        let today = day_number(now());
        let units = [(today - 7, today - 1), (today - 14, today - 8), (today - 25, today - 15)];
        let units = units.map(|(first, last)| Unit { account: "uk", stream: "sales", days: Days { first, last } });
        evidence.candidates(&units, now(), TimeDelta::days(30))
    }

    #[test]
    fn changes_are_expected_where_rows_still_change_and_were_not_read_for_long() {
        let [recent, older, never] = &candidates(&evidence(1))[..] else { panic!("three") };
        // 100 rows, one change in ten days, unread for a day.
        assert!((recent.expected_changes - 9.5).abs() < 0.1, "{recent:?}");
        assert!((older.expected_changes - 0.95).abs() < 0.02, "{older:?}");
        assert_eq!((recent.rows, older.rows, never.rows), (100, 110, 0));
        assert_eq!((recent.requests, older.requests, never.requests), (2.0, 2.2, 1.0));
        assert_eq!(recent.read_at, Some(now() - TimeDelta::days(1)));
        assert_eq!(never.read_at, None, "its first days were not read");
        let again = candidates(&evidence(0));
        assert!(again.iter().all(|candidate| candidate.expected_changes == 0.0), "{again:?}");
    }

    #[test]
    fn a_day_counts_as_read_only_as_a_whole() {
        let today = day_number(now());
        let mut evidence = Evidence::default();
        let noon = day_start(today - 3) + TimeDelta::hours(12);
        evidence.add_read(key(), Window { since: noon, until: now() }, now(), (1.0, 1.0));
        let days = evidence.read_days(&key(), now());
        let mut read: Vec<i64> = days.keys().map(|day| today - day).collect();
        read.sort_unstable();
        assert_eq!(read, [0, 1, 2]);
    }
}
