//! Requests against changes that are found late: fixed tiers of look-back beside a rule with a budget, over the lives of the
//! simulator's conversions. Nothing is sent: a policy sees what lies in the windows that it reads.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sluice_model::Window;
use sluice_runtime::adaptive::choice::choose;
use sluice_runtime::adaptive::evidence::Evidence;
use sluice_runtime::adaptive::rates::{ChangeRates, Observed, RowKind, age_class};
use sluice_runtime::adaptive::{Days, Unit, day_number, day_start};
use sluice_simulator::{Options, Simulator, TruthRow};

/// The network whose conversions live.
const NETWORK: &str = "awin";
/// Days that are looked back.
const DAYS: i64 = 180;
/// Days of a window that a rule with a budget chooses as one, and that one request answers.
const WINDOW_DAYS: i64 = 7;

/// What a policy cost and found.
#[derive(Serialize)]
pub(crate) struct Reread {
    /// The policy.
    pub(crate) policy: String,
    /// Requests a day and account.
    pub(crate) requests: f64,
    /// Changes of rows that it knew, found or not.
    pub(crate) changes: u64,
    /// Of those, not found when the time was over.
    pub(crate) not_found: u64,
    /// Days from a change to its finding, on average and of the latest twentieth; what wasn't found counts to the end.
    pub(crate) days_late: [f64; 2],
}

/// A policy that reads windows once a day.
enum Policy {
    /// Days back, and every how many days.
    Tiers(&'static [(i64, i64)]),
    /// Three days every day, and windows for so many requests.
    Adaptive(u32),
}

impl Policy {
    fn name(&self) -> String {
        match self {
            Self::Tiers(tiers) => {
                let tiers: Vec<String> =
                    tiers.iter().map(|(days, every)| format!("{days} d every {every} d")).collect();
                tiers.join(", ")
            }
            Self::Adaptive(requests) => format!("3 d every 1 d, and {requests} requests of {DAYS} d"),
        }
    }
}

/// Lets conversions live, and each policy read them.
pub(crate) fn measure(quick: bool) -> anyhow::Result<Vec<Reread>> {
    let days = if quick { 40 } else { 120 };
    let policies = [
        Policy::Tiers(&[(3, 1), (45, 1)]),
        Policy::Tiers(&[(3, 1), (45, 1), (DAYS, 7)]),
        Policy::Tiers(&[(3, 1), (DAYS, 1)]),
        Policy::Adaptive(3),
        Policy::Adaptive(6),
        Policy::Adaptive(9),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = "2026-01-01T00:00:00Z".parse()?;
    let options = Options { start, history_days: DAYS as u32, rows_per_day: 12, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options))?;
    let account = simulator.accounts().iter().find(|account| account.network == NETWORK);
    let account = account.ok_or_else(|| anyhow::anyhow!("the simulator has no account of {NETWORK}"))?.name.clone();
    let mut readers: Vec<Reader> = policies.into_iter().map(Reader::new).collect();
    let mut now = start;
    let mut before = HashMap::new();
    for day in 0..=days {
        let truth: HashMap<String, Row> =
            simulator.truth(NETWORK, &account).iter().map(|row| (row.transaction_id.clone(), Row::of(row))).collect();
        for reader in &mut readers {
            reader.notice(&before, &truth, now);
            reader.read_day(&truth, day, now);
        }
        before = truth;
        now = simulator.advance(TimeDelta::days(1));
    }
    Ok(readers.into_iter().map(|reader| reader.report(days as f64, now)).collect())
}

/// What is compared of a row.
#[derive(Clone, PartialEq)]
struct Row {
    transacted_at: DateTime<Utc>,
    status: String,
    amounts: String,
}

impl Row {
    fn of(row: &TruthRow) -> Self {
        let status = format!("{} {:?}", row.status_raw.as_deref().unwrap_or_default(), row.flags);
        Self { transacted_at: row.transacted_at, status, amounts: format!("{} {:?}", row.commission, row.sale_amount) }
    }

    fn kind(&self) -> RowKind {
        RowKind { advertiser: String::new(), status: self.status.clone() }
    }
}

/// A policy with what it knows.
struct Reader {
    policy: Policy,
    known: HashMap<String, Row>,
    /// When the first change that isn't found of a row came.
    stale: BTreeMap<String, DateTime<Utc>>,
    reads: Vec<(Window, DateTime<Utc>, f64)>,
    rates: ChangeRates,
    requests: f64,
    days_late: Vec<f64>,
}

impl Reader {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            known: HashMap::new(),
            stale: BTreeMap::new(),
            reads: Vec::new(),
            rates: ChangeRates::default(),
            requests: 0.0,
            days_late: Vec::new(),
        }
    }

    /// Notes which of the rows that it knows have changed since yesterday.
    fn notice(&mut self, before: &HashMap<String, Row>, truth: &HashMap<String, Row>, now: DateTime<Utc>) {
        for (id, row) in truth {
            if self.known.contains_key(id) && before.get(id) != Some(row) {
                self.stale.entry(id.clone()).or_insert(now);
            }
        }
    }

    fn read_day(&mut self, truth: &HashMap<String, Row>, day: i64, now: DateTime<Utc>) {
        let back = |days: i64| Window { since: day_start(day_number(now) - days), until: now };
        // All begin with the whole history, which isn't counted.
        let windows = match &self.policy {
            _ if day == 0 => vec![back(DAYS)],
            Policy::Tiers(tiers) => {
                tiers.iter().filter(|(_, every)| day % every == 0).map(|(days, _)| back(*days)).collect()
            }
            Policy::Adaptive(budget) => [vec![back(3)], self.chosen(*budget, now)].concat(),
        };
        for window in windows {
            self.read(truth, window, now, day > 0);
        }
        for row in self.known.values() {
            let class = age_class((now - row.transacted_at).num_seconds() as f64 / 86_400.0);
            self.rates.add(row.kind(), class, Observed { changes: 0.0, row_days: 1.0 });
        }
    }

    fn chosen(&self, budget: u32, now: DateTime<Utc>) -> Vec<Window> {
        let of = || (String::new(), String::new());
        let mut evidence = Evidence::default();
        evidence.rates = self.rates.clone();
        let mut rows: HashMap<(i64, RowKind), u64> = HashMap::new();
        for row in self.known.values() {
            *rows.entry((day_number(row.transacted_at), row.kind())).or_default() += 1;
        }
        for ((day, kind), count) in rows {
            evidence.add_rows(of(), day, kind, count);
        }
        // One request answers a window of any number of rows here.
        for (window, at, _) in &self.reads {
            evidence.add_read(of(), *window, *at, (0.0, 1.0));
        }
        let (first, last) = (day_number(now) - DAYS, day_number(now));
        let begins = (first - first.rem_euclid(WINDOW_DAYS)..=last).step_by(WINDOW_DAYS as usize);
        let units: Vec<Unit<'_>> = begins
            .map(|begin| Days { first: begin.max(first), last: (begin + WINDOW_DAYS - 1).min(last) })
            .map(|days| Unit { account: "", stream: "", days })
            .collect();
        let every = TimeDelta::days(60);
        let choice = choose(evidence.candidates(&units, now, every), budget, every, now);
        choice.chosen.into_iter().map(|(candidate, _)| candidate.window).collect()
    }

    fn read(&mut self, truth: &HashMap<String, Row>, window: Window, now: DateTime<Utc>, counts: bool) {
        let requests = ((window.until - window.since).num_days() as f64 / WINDOW_DAYS as f64).ceil().max(1.0);
        self.requests += if counts { requests } else { 0.0 };
        self.reads.push((window, now, requests));
        for (id, row) in
            truth.iter().filter(|(_, row)| window.since <= row.transacted_at && row.transacted_at < window.until)
        {
            let known = self.known.insert(id.clone(), row.clone());
            if let Some(known) = known.filter(|known| known != row) {
                let class = age_class((now - row.transacted_at).num_seconds() as f64 / 86_400.0);
                self.rates.add(known.kind(), class, Observed { changes: 1.0, row_days: 0.0 });
            }
            if let Some(since) = self.stale.remove(id) {
                self.days_late.push((now - since).num_seconds() as f64 / 86_400.0);
            }
        }
    }

    fn report(mut self, days: f64, end: DateTime<Utc>) -> Reread {
        let not_found = self.stale.len() as u64;
        let until_the_end = |since: &DateTime<Utc>| (end - *since).num_seconds() as f64 / 86_400.0;
        self.days_late.extend(self.stale.values().map(until_the_end));
        self.days_late.sort_by(f64::total_cmp);
        let count = self.days_late.len().max(1);
        let mean = self.days_late.iter().sum::<f64>() / count as f64;
        let late = self.days_late.get(count * 19 / 20).copied().unwrap_or_default();
        Reread {
            policy: self.policy.name(),
            requests: self.requests / days,
            changes: self.days_late.len() as u64,
            not_found,
            days_late: [mean, late],
        }
    }
}
