//! What a network delivers of sales: entries, which templates make into records.

use super::facts::{Facts, Rows, Truth};
use super::scope::Scope;
use crate::accounts::Played;
use crate::core::Core;
use crate::money::Money;
use crate::sale::{Decision, Line, Sale, SaleState, Validation, What};
use crate::truth::{Flags, Kind, TruthRow};
use crate::zone::{TimeBasis, earliest, local};
use chrono::{DateTime, TimeDelta, Utc};

/// A row of a sale.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) sale: Sale,
    pub(crate) decision: Option<Decision>,
    pub(crate) settled: bool,
    /// `base`, or what a correction is for: `amended`, `voided`.
    pub(crate) part: &'static str,
    /// Its place among the rows of the sale.
    pub(crate) number: u64,
    pub(crate) value: Money,
    pub(crate) commission: Money,
    /// When it last changed.
    pub(crate) modified_at: DateTime<Utc>,
    /// Its product lines, which add up to it.
    pub(crate) lines: Vec<Line>,
}

/// The rows of an account that are there at a clock, in the order in which they happened.
pub(crate) fn entries(core: &Core, index: usize, clock: DateTime<Utc>, rows: Rows) -> Vec<Entry> {
    if matches!(rows, Rows::Advertisers | Rows::Static) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for sale in core.sales(index, clock).iter() {
        let Some(seen) = sale.seen(clock) else { continue };
        match rows {
            Rows::Corrections => found.extend(corrected(sale, &seen)),
            _ => found.push(present(sale, &seen)),
        }
    }
    found.sort_by_key(|entry| (entry.sale.transacted_at, entry.sale.serial, entry.number));
    found
}

/// The sale in its present state.
fn present(sale: &Sale, seen: &SaleState<'_>) -> Entry {
    let (value, commission) = sale.amounts(seen);
    let changes = [
        seen.amendment.map(|it| it.at),
        seen.decision.map(|it| it.at),
        seen.decision.filter(|_| seen.settled).map(|it| it.settled_at),
    ];
    Entry {
        decision: seen.decision.cloned(),
        settled: seen.settled,
        part: "base",
        number: 0,
        value,
        commission,
        modified_at: changes.into_iter().flatten().fold(sale.appeared_at, DateTime::max),
        lines: lines(sale, value, commission),
        sale: sale.clone(),
    }
}

/// The sale's lines with other amounts: all but the last one have three tenths of the whole.
fn lines(sale: &Sale, value: Money, commission: Money) -> Vec<Line> {
    let mut rest = (value, commission);
    let count = sale.lines.len();
    let line = |(at, line): (usize, &Line)| {
        let part = if at + 1 == count { rest } else { (value.part(300, 2), commission.part(300, 2)) };
        rest = (rest.0.minus(part.0), rest.1.minus(part.1));
        Line { sale: part.0, commission: part.1, ..line.clone() }
    };
    sale.lines.iter().enumerate().map(line).collect()
}

/// The sale as it was at first, and rows for the changes since.
fn corrected(sale: &Sale, seen: &SaleState<'_>) -> Vec<Entry> {
    let first = Entry {
        decision: None,
        settled: false,
        value: sale.sale,
        commission: sale.commission,
        modified_at: sale.appeared_at,
        lines: sale.lines.clone(),
        ..present(sale, seen)
    };
    let mut left = (sale.sale, sale.commission);
    let mut rows = vec![first.clone()];
    let mut correct = |part: &'static str, at: DateTime<Utc>, to: (Money, Money)| {
        let by = (to.0.minus(left.0), to.1.minus(left.1));
        left = to;
        let number = rows.len() as u64;
        // A change that takes or gives nothing would be a row of nothing.
        if by != (Money::cents(0), Money::cents(0)) {
            let lines = lines(sale, by.0, by.1);
            rows.push(Entry { part, number, value: by.0, commission: by.1, modified_at: at, lines, ..first.clone() });
        }
    };
    if let Some(amendment) = seen.amendment {
        correct("amended", amendment.at, (amendment.sale, amendment.commission));
    }
    if let Some(decision) = seen.decision.filter(|_| seen.voided()) {
        correct("voided", decision.at, (Money::cents(0), Money::cents(0)));
    }
    rows
}

impl Entry {
    pub(crate) fn validation(&self) -> Option<Validation> {
        self.decision.as_ref().map(|decision| decision.validation)
    }

    pub(crate) fn is_voided(&self) -> bool {
        matches!(self.validation(), Some(Validation::Declined | Validation::Deleted))
    }

    pub(crate) fn is_paid(&self) -> bool {
        self.settled && self.validation() == Some(Validation::Approved)
    }

    /// The key of its word among the network's states.
    pub(crate) fn state(&self) -> &'static str {
        match () {
            () if self.part != "base" => self.part,
            () if self.is_voided() => "declined",
            () if self.is_paid() => "paid",
            () if self.decision.is_some() => "approved",
            () => "pending",
        }
    }

    /// A date by its name in facts files.
    pub(crate) fn date(&self, name: &str) -> Option<DateTime<Utc>> {
        let decided = self.decision.as_ref().map(|decision| decision.at);
        match name {
            "transacted" => Some(self.sale.transacted_at),
            "clicked" => self.sale.clicked_at,
            "appeared" => Some(self.sale.appeared_at),
            "modified" => Some(self.modified_at),
            "decided" => decided,
            "locks" => Some(decided.unwrap_or(self.sale.appeared_at + TimeDelta::days(45))),
            "settled" => self.decision.as_ref().filter(|_| self.settled).map(|decision| decision.settled_at),
            _ => None,
        }
    }

    fn kind(&self) -> (&'static str, Kind) {
        match self.sale.what {
            _ if self.part != "base" => ("adjustment", Kind::Adjustment),
            What::Sale => ("sale", Kind::Sale),
            What::Lead => ("lead", Kind::Lead),
            What::Bonus => ("bonus", Kind::Bonus),
        }
    }

    /// What is true of it.
    pub(crate) fn truth(&self, facts: &Facts, played: &Played, truth: &Truth) -> Vec<TruthRow> {
        let lines = if truth.per_line { self.lines.len() } else { 1 };
        let row = |line: usize| {
            let scope = Scope::of(facts, played).with_entry(self).with_line(line);
            let text = |template: &str| scope.text(template).unwrap_or_default();
            let filled = |template: &str| Some(text(template)).filter(|text| !text.is_empty());
            let (name, kind) = self.kind();
            let time = self.date(&truth.time).unwrap_or(self.sale.transacted_at);
            let (transacted_at, time_basis) =
                if truth.local { earliest(local(time, facts.zone), facts.zone) } else { (time, TimeBasis::Instant) };
            TruthRow {
                transaction_id: text(&truth.id),
                status_raw: filled(&truth.status),
                flags: Flags { voided: self.is_voided(), locked: false, paid: self.is_paid() },
                commission: text(&truth.commission),
                currency: filled(&truth.currency),
                sale_amount: filled(&truth.sale),
                transacted_at,
                time_basis,
                kind: truth.kinds.get(name).copied().unwrap_or(kind),
                sub_ids: truth
                    .sub_ids
                    .iter()
                    .filter_map(|(name, template)| Some((name.clone(), filled(template)?)))
                    .collect(),
                order_id: truth.order.as_deref().and_then(filled),
            }
        };
        (0..lines).map(row).collect()
    }
}
