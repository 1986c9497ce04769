//! ShareASale's monthly payouts, which stand among the transactions and are none.

use crate::accounts::Played;
use crate::network::Network;
use crate::sale::Sale;
use crate::zone::print;
use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use std::collections::BTreeMap;

use super::rows::{DAY, TIME, paid_at};

/// The payouts until a clock, each with its row: on the 20th, minus what was paid since the payout before.
pub(crate) fn payouts(played: &Played, sales: &[Sale], clock: DateTime<Utc>) -> Vec<(DateTime<Utc>, Vec<String>)> {
    let mut sums: BTreeMap<DateTime<Utc>, f64> = BTreeMap::new();
    for sale in sales {
        let Some(seen) = sale.seen(clock) else { continue };
        let payout = paid_at(&seen).and_then(payout_after).filter(|at| *at <= clock);
        if let Some(at) = payout {
            // A sum of floats, as the network's: some are binary fractions such as -206.91999999999996.
            *sums.entry(at).or_default() -= sale.amounts(&seen).1.plain().parse::<f64>().unwrap_or_default();
        }
    }
    sums.into_iter().map(|(at, sum)| (at, row(played, at, sum))).collect()
}

/// The first payout after a moment.
fn payout_after(moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let of_month = |day: NaiveDate| Some(day.with_day(20)?.and_hms_opt(8, 15, 0)?.and_utc());
    let this = of_month(moment.date_naive())?;
    if moment < this { Some(this) } else { of_month(moment.date_naive().with_day(1)? + Months::new(1)) }
}

fn row(played: &Played, at: DateTime<Utc>, sum: f64) -> Vec<String> {
    let zone = Network::ShareAsale.zone();
    let id = 700_000_000_000 + u64::try_from(played.place).unwrap_or(0) * 1_000_000;
    let id = id + u64::try_from(at.year()).unwrap_or(0) * 100 + u64::from(at.month());
    let day = print(at, zone, DAY);
    let mut row = vec![String::new(); super::rows::HEADER.len()];
    for (name, text) in [
        ("Trans ID", id.to_string()),
        ("User ID", played.setting("affiliate_id").to_owned()),
        ("Merchant ID", "47".to_owned()),
        ("Trans Date", print(at, zone, TIME)),
        ("Trans Amount", "0".to_owned()),
        ("Commission", sum.to_string()),
        ("Comment", format!("Affiliate Payment {day}")),
        ("Locked", "1".to_owned()),
        ("Lock Date", day.clone()),
        ("Paid Date", day),
        ("Merchant Organization", "ShareASale.com".to_owned()),
        ("Merchant Website", "shareasale.com".to_owned()),
        ("Trans Type", "Affiliate Payment".to_owned()),
    ] {
        if let Some(place) = super::rows::HEADER.iter().position(|it| *it == name) {
            row[place] = text;
        }
    }
    row
}
