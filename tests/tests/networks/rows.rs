//! Rows that no table takes: they cost themselves, and nothing else.

use super::*;

const TIME: &str = "\"transactionDate\": \"2026-01-01T10:00:00\"";
const MONEY: &str = "\"commissionAmount\": {\"amount\": 1.5, \"currency\": \"GBP\"}";

/// Runs a network against a body and gives the output of the run, the ids of its transactions, and why others have none.
fn rows(network: &str, body: &[u8], limits: &str) -> (HostileRun, Vec<String>, Vec<String>) {
    let operator = operator(network, &saying(&[JSON], body), limits);
    let outcome = run(&operator, network);
    assert!(outcome.peak_kib < MAX_PEAK_KIB, "{} MiB", outcome.peak_kib >> 10);
    assert!(outcome.errors.len() < 1_000 && !outcome.stderr.contains("panicked"), "{outcome:?}");
    assert_eq!(kept(&operator)[0]["body_bytes"], body.len(), "the evidence is kept whole");
    let texts = |query: &str| {
        let rows = operator.sql(query).unwrap();
        rows.iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect()
    };
    let ids = texts("SELECT transaction_id AS text FROM unified.transactions ORDER BY 1");
    (outcome, ids, texts("SELECT DISTINCT reason AS text FROM meta.rejects ORDER BY 1"))
}

#[test]
fn numbers_of_ten_megabytes_are_no_trouble() {
    let digits = "1".repeat(10 << 20);
    let limits = LIMITS.replace("8388608", "16777216");
    let good = format!("{{\"id\": 7, {TIME}, {MONEY}}}");
    for (odd, why) in [
        (format!("\"id\": {digits}, {TIME}, {MONEY}"), "its transaction id has 10485760 bytes, 1024 are allowed"),
        (
            format!("\"id\": 1, {TIME}, \"commissionAmount\": {{\"amount\": {digits}.5, \"currency\": \"GBP\"}}"),
            "`commissionAmount.amount`: `1111111111111111111111111111111111111111` is no amount",
        ),
    ] {
        let (outcome, ids, rejects) = rows("awin", format!("[{good}, {{{odd}}}]").as_bytes(), &limits);
        assert_eq!((ids, rejects), (vec!["7".to_owned()], vec![why.to_owned()]));
        assert!(outcome.code == 1 && outcome.errors.contains("1 of 2 records could not be mapped"), "{outcome:?}");
    }
}

#[test]
fn a_value_that_the_contract_does_not_take_costs_its_row_alone() {
    let row = |id: usize, time: &str, currency: &str, validated: &str| {
        format!(
            "{{\"id\": {id}, \"commissionStatus\": \"word-{id}\", \"transactionDate\": \"{time}\", \"validationDate\": \
             \"{validated}\", \"commissionAmount\": {{\"amount\": 1, \"currency\": \"{currency}\"}}}}"
        )
    };
    let (now, never) = ("2026-01-01T10:00:00", "0001-01-01T00:00:00");
    // More words than a connector may call unknown.
    let mut all: Vec<String> = (100..1_200).map(|id| row(id, now, "GBP", never)).collect();
    all.extend([row(1, never, "GBP", now), row(2, "2201-01-01T00:00:00", "GBP", now), row(3, now, "points", now)]);
    all.push(row(4, now, "gbp", now));
    let (outcome, ids, rejects) = rows("awin", format!("[{}]", all.join(",")).as_bytes(), LIMITS);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(ids.len(), 1_102, "a word that is no currency is kept");
    let expected = ["it has no transaction time", "its transaction time is outside of the years 1900 to 2200"];
    assert_eq!(rejects, expected);
}

const HEADER: &str = "TransID|UserID|MerchantID|TransDate|TransAmount|Commission|Comment|Voided|PendingDate|Locked|\
    AffComment|BannerPage|ReversalDate|ClickDate|ClickTime|BannerId|SKUList|QuantityList|LockDate|PaidDate|\
    MerchantOrganization|MerchantWebsite|TransType|MerchantDefinedType|ReferenceTrans|StoreID";

#[test]
fn stray_quotes_cost_no_more_than_their_rows() {
    let row = |id: u32, comment: &str| {
        format!("{id}|1|2|01/01/2026 09:30:00 AM|120.50|9.64|{comment}||||||||||||||Shop|shop.example.com|Sale|||0")
    };
    let comments = ["a", "\"never closed", "in\"side", "\"a\"b", "\""];
    let all: Vec<String> = comments.iter().zip(1..).map(|(comment, id)| row(id, comment)).collect();
    // An answer that ends within a row is cut, which is another matter.
    let body = format!("{HEADER}\r\n{}{}\r\n", "x|\n".repeat(20_000), all.join("\r\n"));
    let (outcome, ids, rejects) = rows("shareasale", body.as_bytes(), LIMITS);
    assert_eq!(ids, ["1", "2", "3", "4", "5"]);
    let is_torn = |reason: &String| reason.ends_with("has fewer fields than the header: 2 instead of 26");
    assert!(!rejects.is_empty() && rejects.iter().all(is_torn), "{:?}", rejects.first());
    assert!(outcome.code == 1 && outcome.errors.contains("20000 of 20005 records could not be mapped"), "{outcome:?}");
}

#[test]
fn more_rows_than_one_answer_may_have_are_the_networks_doing() {
    let body = format!("{HEADER}\n{}", "x|\n".repeat((1 << 20) + 1));
    let kept = refused("shareasale", &saying(&[], body.as_bytes()), &["1048577 records, 1000000 are allowed"]);
    assert_eq!(kept[0]["body_bytes"], body.len());
}
