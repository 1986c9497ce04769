//! Rakuten's events: a row per SKU, and a further, negative row for each correction.

use crate::awin::rows::new_field;
use crate::core::Core;
use crate::dice::hash;
use crate::json::Json;
use crate::money::Money;
use crate::sale::{Line, Sale, SaleState, What};
use crate::truth::{Flags, Kind, TruthRow, filled, sub_ids};
use crate::zone::TimeBasis;
use chrono::{DateTime, Utc};

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) processed_at: DateTime<Utc>,
    pub(crate) transacted_at: DateTime<Utc>,
    pub(crate) transaction_type: &'static str,
    kind: Kind,
    quantity: i64,
    value: Money,
    commission: Money,
    line: Line,
    sale: Sale,
    sid: String,
}

/// All events of an account that are processed by a clock.
pub(crate) fn events(core: &Core, index: usize, clock: DateTime<Utc>) -> Vec<Event> {
    let sid = core.accounts.get(index).map_or_else(String::new, |played| played.setting("sid").to_owned());
    let mut events = Vec::new();
    for sale in core.sales(index, clock).iter() {
        let Some(seen) = sale.seen(clock) else { continue };
        for (number, line) in sale.lines.iter().enumerate() {
            let row = original(sale, line, number, &sid);
            events.extend(corrections(&row, number, &seen));
            events.push(row);
        }
    }
    events
}

fn original(sale: &Sale, line: &Line, number: usize, sid: &str) -> Event {
    let id = format!("{:016x}{:016x}", hash(2, &[&sale.key]), hash(3, &[&sale.key, &number.to_string()]));
    // A lead is here an event that isn't a sale: it pays nothing.
    let event = sale.what == What::Lead;
    Event {
        id,
        processed_at: sale.appeared_at,
        transacted_at: sale.transacted_at,
        transaction_type: if sale.serial.is_multiple_of(3) { "batch" } else { "realtime" },
        kind: if event { Kind::Event } else { Kind::Sale },
        quantity: if event { 0 } else { line.quantity },
        value: line.sale,
        commission: if event { Money::cents(0) } else { line.commission },
        line: line.clone(),
        sale: sale.clone(),
        sid: sid.to_owned(),
    }
}

/// A partial return of the first line, and a full reversal of what is left when the order is refused.
fn corrections(row: &Event, number: usize, seen: &SaleState<'_>) -> Vec<Event> {
    let mut corrections = Vec::new();
    if row.kind == Kind::Event {
        return corrections;
    }
    let mut left = (row.value, row.commission);
    if let Some(amendment) = seen.amendment.filter(|_| number == 0) {
        let back = (row.value.part(300, 2), row.commission.part(300, 2));
        left = (left.0.minus(back.0), left.1.minus(back.1));
        corrections.push(row.correct("part", amendment.at, 0, back));
    }
    if let Some(decision) = seen.decision.filter(|_| seen.voided()) {
        corrections.push(row.correct("void", decision.at, -row.quantity, left));
    }
    // A return of less than a cent would be a row of nothing.
    corrections.retain(|it| it.value < Money::cents(0) || it.commission < Money::cents(0));
    corrections
}

impl Event {
    fn correct(&self, what: &str, at: DateTime<Utc>, quantity: i64, back: (Money, Money)) -> Self {
        Self {
            id: format!("{:016x}{:016x}", hash(4, &[what, &self.id]), hash(5, &[&self.id])),
            processed_at: at,
            transaction_type: "batch",
            kind: Kind::Adjustment,
            quantity,
            value: back.0.negated(),
            commission: back.1.negated(),
            ..self.clone()
        }
    }

    pub(crate) fn currency(&self) -> &'static str {
        self.sale.advertiser.currency
    }

    /// Whether the row is delivered twice when rows are.
    pub(crate) fn twice(&self) -> bool {
        hash(6, &[&self.id]).is_multiple_of(12)
    }

    /// The long form or the short one, by row.
    fn time(&self, at: DateTime<Utc>) -> Json {
        let long = self.sale.serial.is_multiple_of(2);
        let format = if long { "%a %b %d %Y %H:%M:%S GMT+0000 (UTC)" } else { "%Y-%m-%d %H:%M:%S" };
        Json::Text(at.format(format).to_string())
    }

    fn sub_id(&self) -> Option<&'static str> {
        self.sale.sub_ids.first().copied().flatten()
    }

    /// A number in the documents' sample, a text in their schema.
    fn offer(&self) -> Json {
        let offer = 400_000 + self.sale.serial % 700;
        if self.sale.serial.is_multiple_of(2) { Json::number(offer) } else { Json::Text(offer.to_string()) }
    }

    /// The row with every documented field.
    pub(crate) fn render(&self, core: &Core, clock: DateTime<Utc>) -> Json {
        let number = self.sale.serial;
        let mut row = Json::map([
            ("etransaction_id", Json::text(&self.id)),
            ("advertiser_id", Json::number(self.sale.advertiser.id)),
            ("sid", Json::number(&self.sid)),
            ("order_id", Json::text_or_null(self.sale.order_id.as_deref())),
            ("offer_id", self.offer()),
            ("sku_number", Json::text(&self.line.sku)),
            ("product_name", Json::text(self.line.product)),
            ("sale_amount", Json::Number(self.value.json())),
            ("quantity", Json::number(self.quantity)),
            ("commissions", Json::Number(self.commission.json())),
            ("process_date", self.time(self.processed_at)),
            ("transaction_date", self.time(self.transacted_at)),
            ("transaction_type", Json::text(self.transaction_type)),
            ("u1", Json::text_or_null(self.sub_id())),
            ("currency", Json::text(self.currency())),
            ("is_event", Json::text(if self.kind == Kind::Event { "Y" } else { "N" })),
            ("commissions_list_id", Json::text(if number.is_multiple_of(4) { "" } else { "12" })),
        ]);
        if core.options.shapes.changed_type && number.is_multiple_of(5) {
            row.set("quantity", Json::Text(self.quantity.to_string()));
        }
        if core.has_new_field(clock) {
            row.set("attribution", new_field(&self.sale));
        }
        row
    }

    /// The truth of the row.
    pub(crate) fn truth(&self) -> TruthRow {
        TruthRow {
            transaction_id: self.id.clone(),
            status_raw: None,
            flags: Flags::default(),
            commission: self.commission.plain(),
            currency: Some(self.currency().to_owned()),
            sale_amount: Some(self.value.plain()),
            transacted_at: self.transacted_at,
            time_basis: TimeBasis::Instant,
            kind: self.kind,
            sub_ids: sub_ids([("u1", self.sub_id())]),
            order_id: filled(self.sale.order_id.as_deref()),
        }
    }
}
