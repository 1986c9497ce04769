//! What is true at the present clock, for tests to compare a product's tables with.

use crate::sale::{Sale, SaleState};
use crate::zone::TimeBasis;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A sale.
    Sale,
    /// A lead.
    Lead,
    /// A bonus without a sale.
    Bonus,
    /// A correction of an earlier row; it counts with its sign.
    Adjustment,
    /// A signal without a commission (Rakuten `is_event` = `Y`).
    Event,
}

/// The state of a row as flags, whatever words the network has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flags {
    /// Refused (declined, deleted, rejected, voided).
    pub voided: bool,
    /// Can no longer change, as the network says it (CJ locked and closed, ShareASale `Locked`).
    pub locked: bool,
    /// Paid out (Awin `paidToPublisher`, TradeTracker `paidOut`, ShareASale `PaidDate`).
    pub paid: bool,
}

/// A row that the network delivers at the present clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruthRow {
    /// The network's id, as text.
    pub transaction_id: String,
    /// The network's own status word as delivered; none for Rakuten; for ShareASale, whose state is spread over
    /// three columns, `voided`, `paid`, `locked` or `pending`, in this precedence.
    pub status_raw: Option<String>,
    /// The state as flags.
    pub flags: Flags,
    /// The commission: an exact plain decimal without needless zeros (`8`, `-19.99`).
    pub commission: String,
    /// The commission's currency: delivered, or by the account's setting (CJ), or USD (ShareASale).
    pub currency: Option<String>,
    /// The sale's value in the same form, in the same currency.
    pub sale_amount: Option<String>,
    /// The instant that the delivered transaction time means.
    pub transacted_at: DateTime<Utc>,
    /// How sure that instant is.
    pub time_basis: TimeBasis,
    /// What the row is.
    pub kind: Kind,
    /// Sub ids under the network's own names; without the empty ones, and without CJ's alias `sid`.
    pub sub_ids: BTreeMap<String, String>,
    /// The order id where the network has one and it isn't empty (ShareASale: what stands behind `Sale - ` in the comment).
    pub order_id: Option<String>,
}

impl TruthRow {
    /// A conversion as it is seen: in its advertiser's currency, at the instant when it happened; a sale without sub ids and
    /// order id, for the networks to say what they have.
    pub(crate) fn of(sale: &Sale, seen: &SaleState<'_>, transaction_id: String, status: &str) -> Self {
        let (value, commission) = sale.amounts(seen);
        Self {
            transaction_id,
            status_raw: Some(status.to_owned()),
            flags: Flags { voided: seen.voided(), locked: false, paid: seen.paid() },
            commission: commission.plain(),
            currency: Some(sale.advertiser.currency.to_owned()),
            sale_amount: Some(value.plain()),
            transacted_at: sale.transacted_at,
            time_basis: TimeBasis::Instant,
            kind: Kind::Sale,
            sub_ids: BTreeMap::new(),
            order_id: None,
        }
    }
}

/// Sub ids by name, without empty ones.
pub(crate) fn sub_ids<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|text| !text.is_empty())?.to_owned())))
        .collect()
}

/// A text that isn't empty.
pub(crate) fn filled(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(str::to_owned)
}
