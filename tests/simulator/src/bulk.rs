//! The bench's rows: rendered once; a request copies the bytes and patches the ids and times.

use crate::accounts::Played;
use crate::awin::rows;
use crate::core::Core;
use crate::dice::hash;
use crate::json::Json;
use crate::network::Network;
use crate::sale::Source;
use crate::{Account, Options};
use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use std::collections::BTreeMap;

/// Stands where the 16 digits of an id go.
const ID: &str = "1111222233334444";
/// Stands where a time of 19 characters goes.
const TIME: &str = "TTTTTTTTTTTTTTTTTTT";
/// Left out, so that a row has about 1.2 kB.
const LEFT_OUT: [&str; 10] = [
    "trackedCurrencyAmount",
    "originalSaleAmount",
    "networkFee",
    "transactionQueryId",
    "campaign",
    "commissionSharingPublisherId",
    "commissionSharingSelectedRatePublisherId",
    "siteName",
    "publisherUrl",
    "basketProducts",
];
const MAX_ROWS: usize = 99_999;

/// Where a row's parts stand in the template.
#[derive(Debug)]
struct Marks {
    id: usize,
    times: Vec<usize>,
}

/// A rendered answer whose ids and times are still open.
#[derive(Debug)]
pub(crate) struct Bulk {
    template: Vec<u8>,
    rows: Vec<Marks>,
}

impl Bulk {
    /// Renders `count` rows of a publisher.
    pub(crate) fn new(seed: u64, publisher: &str, count: usize) -> Self {
        let count = count.min(MAX_ROWS);
        let mut bulk = Self { template: b"[".to_vec(), rows: Vec::with_capacity(count) };
        for (index, row) in originals(seed, publisher).iter().cycle().take(count).enumerate() {
            if index > 0 {
                bulk.template.push(b',');
            }
            let start = bulk.template.len();
            let id = row.find(ID).unwrap_or(0);
            let times = row.match_indices(TIME).map(|(at, _)| start + at).collect();
            bulk.rows.push(Marks { id: start + id, times });
            bulk.template.extend_from_slice(row.as_bytes());
        }
        bulk.template.push(b']');
        bulk
    }

    /// The answer for a window. Its ids follow from the window's start (by the minute), its length and the row's
    /// number; the times are spread evenly over the window.
    pub(crate) fn render(&self, start: NaiveDateTime, end: NaiveDateTime) -> Vec<u8> {
        let mut body = self.template.clone();
        let minutes = (start.and_utc().timestamp() / 60).rem_euclid(80_000_000) + 10_000_000;
        let length = (end - start).num_seconds();
        let mark = hash(0, &[&length.to_string(), &start.second().to_string()]) % 1000;
        let base = u64::try_from(minutes).unwrap_or(0) * 100_000_000 + mark * 100_000;
        let count = i64::try_from(self.rows.len()).unwrap_or(1).max(1);
        for (number, marks) in (0_i64..).zip(&self.rows) {
            write_number(&mut body, marks.id, 16, base + u64::try_from(number).unwrap_or(0));
            let time = start + TimeDelta::seconds(length * number / count);
            for at in &marks.times {
                patch_time(&mut body, *at, time);
            }
        }
        body
    }
}

/// Writes a number of fixed width.
fn write_number(body: &mut [u8], at: usize, width: usize, mut value: u64) {
    let Some(place) = body.get_mut(at..at + width) else { return };
    for byte in place.iter_mut().rev() {
        *byte = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn patch_time(body: &mut [u8], at: usize, time: NaiveDateTime) {
    if let Some(place) = body.get_mut(at..at + 19) {
        place.copy_from_slice(b"0000-00-00T00:00:00");
    }
    write_number(body, at, 4, u64::try_from(time.year()).unwrap_or(0));
    let parts = [(5, time.month()), (8, time.day()), (11, time.hour()), (14, time.minute()), (17, time.second())];
    for (offset, value) in parts {
        write_number(body, at + offset, 2, u64::from(value));
    }
}

/// Some dozens of different rows with the marks in them.
fn originals(seed: u64, publisher: &str) -> Vec<String> {
    let options = Options { seed, bulk_rows: None, ..Options::default() };
    let settings = BTreeMap::from([("publisher_id".to_owned(), publisher.to_owned())]);
    let account = Account { network: "awin".to_owned(), name: "bulk".to_owned(), settings, secrets: BTreeMap::new() };
    let played = Played { network: Network::Awin, account, place: 0, bulk: true };
    let core = Core::new(options, Vec::new(), DateTime::<Utc>::default().date_naive());
    let source = Source {
        seed,
        network: "awin",
        account: "bulk".to_owned(),
        zone: chrono_tz::UTC,
        rows_per_day: 64,
        everyday_amounts: false,
    };
    let clock = core.clock();
    let view = rows::View { zone: chrono_tz::UTC, basket: false, clock };
    let rendered = source.day((clock - TimeDelta::days(20)).date_naive()).into_iter().filter_map(|sale| {
        let seen = sale.seen(clock)?;
        let mut row = rows::render(&core, &played, &sale, &seen, &view);
        row.set("id", Json::text(ID)); // its quotes go below
        row.set("transactionDate", Json::text(TIME));
        row.set("clickDate", Json::text(TIME));
        for name in LEFT_OUT {
            row.drop(name);
        }
        Some(row.render().replacen(&format!("\"{ID}\""), ID, 1))
    });
    rendered.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").unwrap()
    }

    #[test]
    fn every_window_has_its_own_ids_and_times_in_it() {
        let bulk = Bulk::new(3, "1234567", 500);
        let mut ids = HashSet::new();
        for (start, end) in
            [("2026-01-01T00:00:00", "2026-01-01T01:00:00"), ("2026-01-01T01:00:00", "2026-01-02T00:00:00")]
        {
            let body = bulk.render(at(start), at(end));
            let rows: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
            assert_eq!(rows.len(), 500);
            assert!((1000..1500).contains(&(body.len() / 500)), "{} bytes a row", body.len() / 500);
            for row in rows {
                assert!(ids.insert(row["id"].as_u64().unwrap()));
                let time = row["transactionDate"].as_str().unwrap();
                assert!((start..end).contains(&time));
            }
        }
    }
}
