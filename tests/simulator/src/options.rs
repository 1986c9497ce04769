//! How a simulator is set up.

use crate::fault::FaultPlan;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An account to be played; its settings and secrets follow from the seed and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSpec {
    /// The network's slug.
    pub network: String,
    /// The operator's name for the account.
    pub name: String,
    /// Settings that replace the drawn ones.
    pub settings: BTreeMap<String, String>,
}

impl AccountSpec {
    /// An account with drawn settings.
    pub fn new(network: &str, name: &str) -> Self {
        Self { network: network.to_owned(), name: name.to_owned(), settings: BTreeMap::new() }
    }
}

/// An account with the names of settings and secrets that the product knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The network's slug.
    pub network: String,
    /// The operator's name for the account.
    pub name: String,
    /// What a request says openly.
    pub settings: BTreeMap<String, String>,
    /// What must never be printed; each long and distinctive, most with characters that need URL-encoding.
    pub secrets: BTreeMap<String, String>,
}

/// Variations of the shape of the data. The truth doesn't change under them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shapes {
    /// Some rows come twice within an answer; on Rakuten also across pages.
    pub duplicate_rows: bool,
    /// From this clock on, rows have a field that no document names, holding an object (ShareASale: a column).
    /// CJ has none of it: it answers what is selected.
    pub new_field_from: Option<DateTime<Utc>>,
    /// Some rows have a text where a number or flag was: Awin `lapseTime`, CJ `isCrossDevice`, Rakuten `quantity`,
    /// ShareASale `BannerId`. In TradeTracker's XML everything is text.
    pub changed_type: bool,
}

/// The setup of a simulator. Everything it does follows from these.
#[derive(Debug, Clone)]
pub struct Options {
    /// What all draws follow from.
    pub seed: u64,
    /// The simulated clock at the start.
    pub start: DateTime<Utc>,
    /// Days of transactions before the start.
    pub history_days: u32,
    /// Transactions per account and day, about.
    pub rows_per_day: u32,
    /// The accounts; empty means two (`alpha`, `beta`) for each network but those by data.
    pub accounts: Vec<AccountSpec>,
    /// Which requests fail, and how.
    pub faults: FaultPlan,
    /// Variations of the data's shape.
    pub shapes: Shapes,
    /// Refuse by Awin's documented limit (20 requests a minute per token, by the real clock).
    pub enforce_rate_limits: bool,
    /// Records in one CJ answer.
    pub cj_page_limit: usize,
    /// Seconds that a Rakuten token lives, by the real clock and by the simulated one together.
    pub token_life_secs: u32,
    /// Days of Rakuten events that are still delivered, by process date; an older start is refused. The API's are 30;
    /// none delivers all, so that a served history can be compared with the truth.
    pub rakuten_keep_days: Option<u32>,
    /// The most rows in one Rakuten page, whatever limit is asked for; none gives what is asked for.
    pub rakuten_page_limit: Option<usize>,
    /// The most rows in one page of networks by data whose servers may give fewer than they are asked for.
    pub page_limit: Option<usize>,
    /// Amounts as shops have them: without the sales of millions that exact sums are tested with.
    pub everyday_amounts: bool,
    /// Requests of an Awin credential in so many seconds, as the simulator enforces them; none are the API's 20 in 60.
    pub awin_rate: Option<(usize, u64)>,
    /// Adds an Awin account `bulk` that gives this many rows (at most 99,999) for any window.
    pub bulk_rows: Option<usize>,
    /// The first of six ports in a row: the networks', then the control listener's, then those of networks by data that have
    /// accounts. None takes free ones.
    pub port_base: Option<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            start: DateTime::from_timestamp(1_767_960_000, 0).unwrap_or_default(), // 2026-01-09 12:00
            history_days: 60,
            rows_per_day: 6,
            accounts: Vec::new(),
            faults: FaultPlan::default(),
            shapes: Shapes::default(),
            enforce_rate_limits: false,
            cj_page_limit: 100,
            token_life_secs: 3600,
            rakuten_keep_days: None,
            rakuten_page_limit: None,
            page_limit: None,
            everyday_amounts: false,
            awin_rate: None,
            bulk_rows: None,
            port_base: None,
        }
    }
}
