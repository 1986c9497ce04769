//! Delimited texts whose header lacks columns, and those that have no transaction.

use serde_json::json;
use sluice_tests::{Answer, Operator};

use crate::held::DOUBTS;
use crate::network::Network;
use crate::oddities::{TOTAL, collect, network, rows, shareasale};
use crate::pages::network_of;

/// Effiliation's columns and a value of each.
const EFFILIATION: [(&str, &str); 12] = [
    ("id_transaction", ""),
    ("id_affilieur", "99"),
    ("id_programme", "301"),
    ("effi_id", "member-7"),
    ("type", "sale"),
    ("montant", "120.50"),
    ("commission", "6.00"),
    ("statut", "Attente"),
    ("dateclic", "2026-01-05 10:00:00"),
    ("datetran", "2026-01-05 10:30:00"),
    ("ref", "CMD"),
    ("payed", "0"),
];

/// Effiliation's answer with these transactions, without some columns.
fn effiliation(ids: std::ops::Range<u32>, without: &[&str]) -> String {
    let columns = || EFFILIATION.iter().filter(|(name, _)| !without.contains(name));
    let header = columns().map(|(name, _)| *name).collect::<Vec<_>>().join("|");
    let row = |id: u32| {
        let values = columns().map(|(name, value)| match *name {
            "id_transaction" | "ref" => format!("{value}{id}"),
            _ => (*value).to_owned(),
        });
        values.collect::<Vec<_>>().join("|") + "\n"
    };
    header + "\n" + &ids.map(row).collect::<String>()
}

/// A network whose steps answer with these texts.
fn texts(folder: &tempfile::TempDir, of: (&str, serde_json::Value, &str), texts: &[&str]) -> (Network, Operator) {
    let steps = texts.iter().map(|text| json!([{"text": text, "headers": {"content-type": "text/csv"}}])).collect();
    let (name, settings, secret) = of;
    network_of(folder.path(), (name, settings, json!({secret: "env:AWIN_TOKEN"})), &[], &steps)
}

fn run(operator: &Operator, network: &str) -> Answer {
    operator
        .sluice(&["run", network, "--since", "2026-01-01", "--until", "2026-01-30", "--axis", "transaction"])
        .unwrap()
}

#[test]
fn a_column_that_is_gone_from_a_header_is_doubted() {
    let folder = tempfile::tempdir().unwrap();
    let (before, now) = (effiliation(0..24, &[]), effiliation(100..110, &["ref"]));
    let (network, operator) = texts(&folder, ("effiliation", json!({}), "key"), &[&before, &now]);
    assert_eq!(run(&operator, "effiliation").code, 0);
    network.set_step(1);
    let answer = run(&operator, "effiliation");
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(rows(&operator, DOUBTS), json!([{"k": "fill", "f": "ref", "s": "open"}]));
    assert_eq!(rows(&operator, TOTAL), json!([{"n": 24, "s": "144.000000"}]));
}

#[test]
fn a_window_with_nothing_but_a_payout_has_no_transaction() {
    let text = shareasale();
    let (header, _) = text.split_once('\n').unwrap();
    let payout = "154900004|123456|47|01/20/2026 02:15:00 AM|0|-206.92|Affiliate Payment|||1|||||||||2026-01-20|2026-01-20|\
                  ShareASale.com|shareasale.com|Affiliate Payment|||\n";
    let body = format!("{header}\n{payout}");
    let folder = tempfile::tempdir().unwrap();
    let steps = json!([[{"file": "payout", "headers": {"content-type": "text/plain"}}]]);
    let (_network, operator) = network(folder.path(), "shareasale", &[("payout", body.as_bytes())], &steps);
    let answer = collect(&operator, "shareasale");
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 0}]));
    assert_eq!(rows(&operator, "SELECT count(*) n FROM shareasale.transactions"), json!([{"n": 1}]));
    let paid = "SELECT payment_id, CAST(amount AS VARCHAR) AS amount, payment_status FROM unified.payments";
    let payment = json!([{"payment_id": "154900004", "amount": "206.920000", "payment_status": "paid"}]);
    assert_eq!(rows(&operator, paid), payment);
}

/// A connector that needs a column fails by its name, whatever else a header has.
#[test]
fn a_header_without_the_columns_of_money_and_status_is_refused() {
    let ebay = ("ebay", json!({"account_sid": "sid1", "currency": "USD"}), "token");
    let belboon = ("belboon", json!({}), "api_key");
    let ebay_text = "EpnTransactionId,EventDate,UpdateDate,CustomId,Payout\n5001,2026-01-05,2026-01-05,m-7,3.60\n";
    let belboon_text = "conversion_uniqid;conversion_tracking_time;conversion_order_value;conversion_commission_total\n\
                        u1;2026-01-05 11:30:00;120.50;6.02\n";
    for (of, text, columns) in [
        (ebay, ebay_text, ["DeltaEarnings", "DeltaSales", "Status"]),
        (belboon, belboon_text, ["conversion_status", "conversion_currency_code", "conversion_currency_code"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (name, file) = (of.0, format!("raw of {}", of.0));
        let (_network, operator) = texts(&folder, of, &[text]);
        let answer = run(&operator, name);
        assert_eq!(answer.code, 1, "{file}: {answer:?}");
        let output = format!("{}{}", answer.stdout, answer.stderr);
        assert!(columns.iter().all(|column| output.contains(&format!("`{column}`"))), "{output}");
        assert_eq!(rows(&operator, "SELECT count(*) n FROM unified.transactions"), json!([{"n": 0}]));
    }
}

#[test]
fn a_text_without_a_byte_is_no_text_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = texts(&folder, ("effiliation", json!({}), "key"), &[""]);
    let answer = run(&operator, "effiliation");
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(format!("{}{}", answer.stdout, answer.stderr).contains("the body is empty"), "{answer:?}");
    assert_eq!(rows(&operator, "SELECT count(*) n FROM meta.coverage WHERE complete"), json!([{"n": 0}]));
}
