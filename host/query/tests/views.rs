//! The views that people ask for, over small histories.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod lake;

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::Schema;
use lake::{Row, TestLake, money, text};
use sluice_model::Fact;
use sluice_query::{Format, Session};

/// Five transactions: decided, paid, declined, vanished, and one in another currency.
fn rows() -> Vec<Row> {
    let a = Row { key: "a", ..Row::default() };
    let b = Row { key: "b", commission: 2_000_001, ..Row::default() };
    let c = Row { key: "c", commission: 9_000_000, ..Row::default() };
    let d = Row { key: "d", currency: Some("USD"), commission: 250_000, validation: "approved", ..Row::default() };
    let e = Row { key: "e", network: "cj", kind: "adjustment", commission: -750_000, ..Row::default() };
    let second =
        |row: &Row| Row { version: 2, change: "network-change", observed: "2026-02-01T08:00:00Z", ..row.clone() };
    vec![
        // By the network's own word, an hour before its midnight: the next day in Amsterdam.
        Row { validation: "approved", payment: "payable", validated: Some("2026-01-31T23:30:00Z"), ..second(&a) },
        Row { version: 3, payment: "paid", validation: "approved", observed: "2026-03-01T08:00:00Z", ..second(&b) },
        Row { validation: "approved", ..second(&b) },
        Row { validation: "declined", ..second(&c) },
        Row { version: 2, change: "vanished", gone: true, observed: "2026-02-02T08:00:00Z", ..e.clone() },
        a,
        b,
        c,
        d,
        e,
    ]
}

async fn session() -> (TestLake, Session) {
    let mut lake = TestLake::new();
    lake.append_history(&rows()).await;
    let session = lake.session().await;
    (lake, session)
}

async fn csv(session: &Session, sql: &str) -> String {
    text(session, sql, Format::Csv).await
}

#[tokio::test]
async fn earnings_are_counted_by_three_days_and_never_across_currencies() {
    let (_lake, session) = session().await;
    let earnings = |basis: &str| {
        format!(
            "select day, network, commission_currency c, validation_status v, payment_status p, transactions n, \
             commission_amount m, commission_effective e from unified.earnings_daily where basis = '{basis}' \
             order by day, c, v, p"
        )
    };
    assert_eq!(
        csv(&session, &earnings("transaction")).await,
        "day,network,c,v,p,n,m,e\n\
         2026-01-09,awin,EUR,approved,paid,1,2.000001,2.000001\n\
         2026-01-09,awin,EUR,approved,payable,1,5.000000,5.000000\n\
         2026-01-09,awin,EUR,declined,unpaid,1,9.000000,0.000000\n\
         2026-01-09,awin,USD,approved,unpaid,1,0.250000,0.250000\n"
    );
    // `d` was approved when it was first read: nobody knows since when.
    assert_eq!(
        csv(&session, &earnings("validation")).await,
        "day,network,c,v,p,n,m,e\n\
         2026-02-01,awin,EUR,approved,paid,1,2.000001,2.000001\n\
         2026-02-01,awin,EUR,approved,payable,1,5.000000,5.000000\n\
         2026-02-01,awin,EUR,declined,unpaid,1,9.000000,0.000000\n"
    );
    assert_eq!(
        csv(&session, &earnings("payment")).await,
        "day,network,c,v,p,n,m,e\n2026-03-01,awin,EUR,approved,paid,1,2.000001,2.000001\n"
    );
}

#[tokio::test]
async fn a_basis_reads_no_more_than_it_needs() {
    let (_lake, session) = session().await;
    let plan = "explain select sum(sale_amount) from unified.earnings_daily where basis = ";
    let scans = |plan: &str| plan.matches("DeltaScan").count();
    let by_day = csv(&session, &format!("{plan}'transaction'")).await;
    let by_validation = csv(&session, &format!("{plan}'validation'")).await;
    assert!(scans(&by_day) > 0 && scans(&by_day) < scans(&by_validation), "{by_day}\n{by_validation}");
}

#[tokio::test]
async fn unpaid_is_what_was_approved_or_is_payable() {
    let (_lake, session) = session().await;
    let unpaid = "select transaction_id t, validation_status v, payment_status p, commission_effective c, \
                  commission_currency u, age_days > 100 as old, overdue_days d from unified.unpaid order by t";
    assert_eq!(
        csv(&session, unpaid).await,
        "t,v,p,c,u,old,d\na,approved,payable,5.000000,EUR,true,\nd,approved,unpaid,0.250000,USD,true,\n"
    );
}

#[tokio::test]
async fn ages_are_counted_to_today() {
    let mut lake = TestLake::new();
    let row = Row { validation: "approved", payable: Some("2026-01-12"), ..Row::default() };
    lake.append_history(&[row]).await;
    let session = lake.session().await;
    let difference = "select age_days - overdue_days as d, \
                      age_days - (cast(local_day(now(), 'Europe/Amsterdam') as int) - cast(date '2026-01-09' as int)) as a \
                      from unified.unpaid";
    assert_eq!(csv(&session, difference).await, "d,a\n3,0\n");
}

#[tokio::test]
async fn latency_is_counted_where_the_decision_was_observed_or_reported() {
    let (_lake, session) = session().await;
    let latency = "select network n, account a, advertiser_id i, basis b, transactions t, days_min, days_median, \
                   days_p90, days_max from unified.validation_latency order by n, b";
    assert_eq!(
        csv(&session, latency).await,
        "n,a,i,b,t,days_min,days_median,days_p90,days_max\n\
         awin,uk,7,network,1,23,23.0,23.0,23\n\
         awin,uk,7,observed,2,23,23.0,23.0,23\n"
    );
}

#[tokio::test]
async fn as_of_holds_what_had_been_observed() {
    let (_lake, session) = session().await;
    let at = |moment: &str| {
        format!("select transaction_key k, version v, change c from unified.as_of('{moment}') order by k")
    };
    assert_eq!(csv(&session, &at("2026-01-10T11:59:59Z")).await, "k,v,c\n");
    let first = "k,v,c\na,1,first-seen\nb,1,first-seen\nc,1,first-seen\nd,1,first-seen\ne,1,first-seen\n";
    assert_eq!(csv(&session, &at("2026-01-10T12:00:00Z")).await, first);
    assert_eq!(
        csv(&session, &at("2026-02-15")).await,
        "k,v,c\na,2,network-change\nb,2,network-change\nc,2,network-change\nd,1,first-seen\n",
        "`e` is gone by then"
    );
    let now = "select * from unified.as_of(now()) order by transaction_key";
    let live = "select * from live_transactions order by transaction_key";
    assert_eq!(csv(&session, now).await, csv(&session, live).await);
    let joined = "select count(*) n from as_of('2026-01-10T12:00:00Z') was join unified.as_of('2026-03-02') now \
                  on was.transaction_key = now.transaction_key where was.version < now.version";
    assert_eq!(csv(&session, joined).await, "n\n3\n");
    let named = "select as_of.version from unified.as_of('2026-02-15') where as_of.transaction_key = 'a'";
    assert_eq!(csv(&session, named).await, "version\n2\n");
}

#[tokio::test]
async fn restatements_tell_state_against_state() {
    let (_lake, session) = session().await;
    let between = |from: &str, to: &str| {
        format!(
            "select transaction_key k, cause, version_before b, version_after a, validation_before v, \
             validation_after w, commission_before x, commission_after y, commission_difference d \
             from unified.restatements('{from}', '{to}') order by k"
        )
    };
    assert_eq!(
        csv(&session, &between("2026-01-31", "2026-02-15")).await,
        "k,cause,b,a,v,w,x,y,d\n\
         a,network-change,1,2,pending,approved,5.000000,5.000000,0.000000\n\
         b,network-change,1,2,pending,approved,2.000001,2.000001,0.000000\n\
         c,network-change,1,2,pending,declined,9.000000,0.000000,-9.000000\n\
         e,vanished,1,2,pending,pending,-0.750000,0.000000,0.750000\n"
    );
    let new = csv(&session, &between("2026-01-01", "2026-02-15")).await;
    assert!(new.contains("\nc,\"first-seen, network-change\",,2,,declined,,0.000000,0.000000\n"), "{new}");
    assert_eq!(csv(&session, &between("2026-02-15", "2026-02-15")).await, "k,cause,b,a,v,w,x,y,d\n");
}

#[tokio::test]
async fn what_moves_to_another_currency_leaves_the_one_and_comes_to_the_other() {
    let mut lake = TestLake::new();
    let first = Row { currency: None, ..Row::default() };
    let second =
        Row { version: 2, observed: "2026-02-01", change: "correction", currency: Some("GBP"), ..first.clone() };
    lake.append_history(&[first, second]).await;
    let session = lake.session().await;
    let moved = "select commission_currency c, commission_before x, commission_after y, commission_difference d, \
                 sale_currency s, sale_difference e from unified.restatements('2026-01-31', '2026-02-15') order by d";
    assert_eq!(
        csv(&session, moved).await,
        "c,x,y,d,s,e\n,5.000000,,-5.000000,,-100.000000\nGBP,,5.000000,5.000000,GBP,100.000000\n"
    );
}

/// What a replay removed is written as a mapping change, what a network no longer reports as vanished: neither counts.
#[tokio::test]
async fn a_transaction_that_is_gone_counts_nowhere_whatever_removed_it() {
    let approved = Row {
        validation: "approved",
        payment: "paid",
        validated: Some("2026-01-20"),
        paid: Some("2026-01-25"),
        ..Row::default()
    };
    let mut rows = Vec::new();
    for (key, change) in [("removed", "mapping-change"), ("vanished", "vanished")] {
        let first = Row { key, payment: if key == "removed" { "payable" } else { "paid" }, ..approved.clone() };
        let gone = Row { version: 2, change, gone: true, observed: "2026-02-01", ..first.clone() };
        rows.extend([first, gone]);
    }
    let mut lake = TestLake::new();
    lake.append_history(&rows).await;
    let session = lake.session().await;
    let sum = |relation: &str| format!("select count(*) n, coalesce(sum(sale_amount), 0) s from unified.{relation}");
    let daily = "select coalesce(sum(transactions), 0) n, coalesce(sum(sale_amount), 0) s from unified.earnings_daily";
    let latency = "select coalesce(sum(transactions), 0) n, 0.000000 s from unified.validation_latency";
    let relations =
        [sum("unpaid"), daily.to_owned(), latency.to_owned(), sum("as_of(now())"), sum("live_transactions")];
    for query in relations {
        assert_eq!(csv(&session, &query).await, "n,s\n0,0.000000\n", "{query}");
    }
    assert_eq!(csv(&session, &sum("as_of('2026-01-31')")).await, "n,s\n2,200.000000\n", "they were there once");
    assert_eq!(csv(&session, "select count(*) n from transactions").await, "n\n2\n", "their rows stay");
    let restated = "select transaction_key k, sale_before a, sale_after b, commission_after c, commission_difference d \
                    from unified.restatements('2026-01-31', '2026-02-15') order by k";
    assert_eq!(
        csv(&session, restated).await,
        "k,a,b,c,d\n\
         removed,100.000000,0.000000,0.000000,-5.000000\n\
         vanished,100.000000,0.000000,0.000000,-5.000000\n"
    );
    let live = "select transaction_key k, version v from transaction_versions where is_live(content_hash) order by k";
    assert_eq!(csv(&session, live).await, "k,v\nremoved,1\nvanished,1\n");
}

/// A history that nobody chose: whatever changes, differences add up to what the sums differ by.
#[tokio::test]
async fn differences_add_up_to_what_the_sums_differ_by() {
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let days = ["2026-01-10", "2026-01-11", "2026-01-12", "2026-01-13"];
    let currencies = [Some("EUR"), Some("USD"), None];
    let mut state = 7_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut rows = Vec::new();
    for (at, key) in keys.into_iter().enumerate() {
        let mut day = draw(3);
        for version in 1..=draw(4) + 1 {
            let change =
                if version == 1 { "first-seen" } else { ["network-change", "vanished", "reappeared"][draw(3)] };
            rows.push(Row {
                key,
                network: ["awin", "cj"][at % 2],
                version: i32::try_from(version).unwrap(),
                change,
                gone: change == "vanished",
                observed: days[day],
                validation: ["pending", "approved", "declined"][draw(3)],
                currency: currencies[draw(3)],
                sale: draw(1000) as i128 * 10_000,
                commission: draw(1000) as i128 * 10_000 - 2_000_000,
                ..Row::default()
            });
            day = (day + draw(3)).min(days.len() - 1);
        }
    }
    let mut lake = TestLake::new();
    lake.append_history(&rows).await;
    let session = lake.session().await;
    let mut changes = 0;
    for (at, from) in days.into_iter().enumerate() {
        for to in &days[at..] {
            let sums = "select c, sum(m) money, sum(s) sales from";
            let by_currency = "group by c having sum(m) <> 0 or sum(s) <> 0 order by c";
            let differences = format!(
                "select commission_currency c, commission_difference m, 0 s from restatements('{from}', '{to}')
                 union all select sale_currency, 0, sale_difference from restatements('{from}', '{to}')"
            );
            let state = |moment: &str, sign: &str| {
                format!(
                    "select commission_currency c, {sign}commission_effective m, 0 s from as_of('{moment}') union all
                     select sale_currency, 0, {sign}sale_amount
                     from as_of('{moment}')"
                )
            };
            let differences = format!("{sums} ({differences}) {by_currency}");
            let sums = format!("{sums} ({} union all {}) {by_currency}", state(to, ""), state(from, "-"));
            let output = csv(&session, &differences).await;
            assert_eq!(output, csv(&session, &sums).await, "{from} to {to}");
            changes += output.lines().count() - 1;
        }
    }
    assert!(changes > 8, "only {changes} sums differ: the test shows nothing");
}

/// Payments by key, version and whether there is one.
fn payments(rows: &[(&str, i32, bool)]) -> RecordBatch {
    let schema = Fact::Payments.versions_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match (field.name().as_str(), field.data_type()) {
            ("payment_key", _) => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            ("version", _) => Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1))),
            ("content_hash", _) => {
                Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| [u8::from(row.2); 16])))
            }
            ("amount", _) => money(vec![Some(5_000_000); rows.len()]),
            (name @ ("network" | "month"), _) => Arc::new(StringArray::from(vec![name; rows.len()])),
            (_, other) => new_null_array(other, rows.len()),
        }
    });
    let columns: Vec<ArrayRef> = columns.collect();
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap()
}

#[tokio::test]
async fn payments_that_a_replay_took_back_are_not_among_the_latest() {
    let mut lake = TestLake::new();
    let rows = [("a", 1, true), ("b", 1, true), ("b", 2, false), ("c", 1, true), ("c", 2, false), ("c", 3, true)];
    lake.append("unified", "payment_versions", &["network", "month"], payments(&rows)).await;
    let session = lake.session().await;
    let latest = "select payment_key k, version v from unified.payments order by 1";
    assert_eq!(csv(&session, latest).await, "k,v\na,1\nc,3\n");
    assert_eq!(csv(&session, "select sum(amount) s from unified.payments").await, "s\n10.000000\n");
    assert_eq!(csv(&session, "select count(*) n from unified.payment_versions").await, "n\n6\n");
}
