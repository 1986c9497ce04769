//! Brightlink, publisher side: sales by their date.

use sluice_connector::*;

inputs! {
    ID = "id",
    STATE = "state",
    SHOP = "shop.id",
    SHOP_NAME = "shop.name",
    SOLD = "sold_at",
    AMOUNT = "amount",
    COMMISSION = "commission",
    CURRENCY = "currency",
    REF = "ref",
}

/// The network's words, and what they mean.
const STATUSES: &[Status] = &[
    Status::new("open", ValidationStatus::Pending, PaymentStatus::Unpaid),
    Status::new("confirmed", ValidationStatus::Approved, PaymentStatus::Unpaid),
    Status::new("paid", ValidationStatus::Approved, PaymentStatus::Paid),
    Status::new("cancelled", ValidationStatus::Declined, PaymentStatus::Unpaid),
];

/// The connector.
pub struct Network;

impl Connector for Network {
    fn describe() -> Manifest {
        Manifest {
            network: "brightlink".into(),
            title: "Brightlink".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            hosts: vec!["api.brightlink.example".into()],
            streams: vec![Stream {
                max_window_secs: Some(31 * 86_400),
                layout: Layout {
                    pins: pins(Kind::Decimal, &["amount", "commission"]),
                    inputs: inputs(),
                    key: vec!["id".into()],
                    ..json("/sales")
                },
                ..stream("sales")
            }],
            settings: vec![required_setting("site", "the site's number")],
            secrets: vec![required_secret("token", "API token, from your profile's page")],
            tokens: vec![],
            rate: Some(Rate { requests: 60, per_secs: 60, concurrency: 2 }),
            schedule: "0 * * * *".into(),
            look_back: vec![look_back(3_600, 3, Axis::Transaction), look_back(86_400, 45, Axis::Transaction)],
            statuses: Status::manifest(STATUSES),
        }
    }

    fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
        Ok(vec![page(slice, 1)])
    }

    fn follow(slice: &Slice, request: &Request, response: &Response) -> Result<Judgement, Refusal> {
        let judgement = by_status(response, None);
        if !matches!(judgement.verdict, Verdict::Done) || response.value_at("/next_page").is_none() {
            return Ok(judgement);
        }
        let this: u32 = request.state.parse().unwrap_or(1);
        Ok(more(vec![page(slice, this + 1)]))
    }

    fn map(_: &Slice, _: &Request, _: &Response, records: &Records, out: &mut Output) -> Result<(), Refusal> {
        out.map_each(records, map);
        Ok(())
    }
}

fn page(slice: &Slice, number: u32) -> Request {
    let url = text("https://api.brightlink.example/v1/sales")
        .query("site", slice.setting("site").unwrap_or_default())
        .query("from", &format_time(slice.window.since, "%Y-%m-%dT%H:%M:%SZ"))
        .query("to", &format_time(slice.window.until, "%Y-%m-%dT%H:%M:%SZ"))
        .query("page", &number.to_string());
    get(format!("page-{number}"), url)
        .header("authorization", text("Bearer ").secret("token"))
        .state(number.to_string())
}

fn map(record: Record, out: &mut Output) -> Result<(), String> {
    let status_raw = record.filled(STATE);
    let status = out.status(STATUSES, status_raw);
    let row = Transaction {
        transaction_id: record.required(ID)?,
        validation_status: status.validation,
        payment_status: status.payment,
        status_raw,
        advertiser_id: record.filled(SHOP),
        advertiser_name: record.filled(SHOP_NAME),
        transacted_at: record.iso_time(SOLD)?,
        sale_amount: record.money(AMOUNT)?,
        sale_currency: record.filled(CURRENCY),
        commission_amount: record.money(COMMISSION)?,
        commission_currency: record.filled(CURRENCY),
        sub_ids: &[("ref", record.text(REF))],
        ..Transaction::default()
    };
    out.push(record, &row);
    Ok(())
}

export!(Network);
