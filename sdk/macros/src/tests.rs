#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use super::*;

const GOOD: &str = r#"
network = "brightlink"
title = "Brightlink"
hosts = ["api.brightlink.example"]
look_back = [{ every = "1h", days = 3, axis = "transaction" }]

[settings]
site = "the site's number"

[secrets]
token = "API token"

[headers]
authorization = "Bearer ${secret token}"

[statuses]
open = "pending unpaid"
paid = "approved paid locked"

[[streams]]
name = "sales"
records = "/sales"
key = ["id"]

[streams.request]
url = "https://api.brightlink.example/v1/sales"
query = { site = "${setting site}", page = "${page}" }

[streams.axes.transaction]
from = "${first-day %Y-%m-%d}"
to = "${last-day %Y-%m-%d}"

[streams.pages]
size = 100
end = "last-page /pages"

[streams.map]
transaction_id = "id"
status = "state"
transacted_at = "sold_at"
sale_amount = "amount as decimal-comma"
sale_currency = "$const EUR"
sub_ids = ["ref"]
"#;

/// The mistake of a file in which one text stands for another.
fn wrong(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let text = GOOD.replacen(from, to, 1);
    expansion(&text, Path::new("network.toml")).expect_err("it has a mistake").to_string()
}

#[test]
fn a_good_file_becomes_rust() {
    let code = expansion(GOOD, Path::new("network.toml")).unwrap();
    for part in [
        "Status::new(\"paid\", ValidationStatus::Approved, PaymentStatus::Paid).locked(true)",
        ".query(\"from\", &{ let mut text = String::new();text.push_str(&slice.window.text(Moment::FirstDay, \"%Y-%m-%d\"))",
        ".header(\"authorization\", text(\"\").text(\"Bearer \").secret(\"token\"))",
        "record.money_by(3, |text| Money::parse_grouped(text, ','))?",
        "end: End::LastPage(\"/pages\")",
        "sale_currency: Some(\"EUR\")",
        "include_str!(\"network.toml\")",
    ] {
        assert!(code.contains(part), "no {part} in:\n{code}");
    }
}

#[test]
fn a_mistake_names_its_line() {
    for (from, to, expected) in [
        ("title = \"Brightlink\"", "name = \"B\"", "1: the file has no `title`"),
        ("hosts = [", "colour = \"red\"\nhosts = [", "4: the file has no key `colour`; it has errors, "),
        ("every = \"1h\"", "every = \"hourly\"", "5: `hourly` is no time like `30m`, `2h` or `7d`"),
        ("axis = \"transaction\"", "axis = \"sale\"", "5: `sale` is no axis: "),
        ("${secret token}", "${secret key}", "14: there is no secret `key`; there are: token"),
        ("${secret token}", "${secret token", "14: a `${` isn't closed"),
        ("${secret token}", "${password}", "14: `${password …}` is nothing that a template may have"),
        ("\"pending unpaid\"", "\"waiting unpaid\"", "17: a status begins with pending, "),
        ("\"approved paid locked\"", "\"approved paid final\"", "18: `final`: a status' third word is locked or open"),
        ("records = \"/sales\"", "records = \"sales\"", "22: `sales` is no JSON Pointer"),
        ("records = \"/sales\"\n", "", "20: a stream needs one of `records` (JSON), "),
        ("https://api", "http://api", "26: a URL begins with https://"),
        ("end = \"last-page /pages\"", "end = \"last-page\"", "35: `last-page` needs the place that says it: "),
        ("size = 100\n", "", "33: `pages` has no `size`"),
        ("sold_at\"", "sold_at as german\"", "40: `german`: a time is read as iso, "),
        ("as decimal-comma", "as comma", "41: `comma`: an amount is read as plain, "),
        ("sale_amount =", "sales_amount =", "41: `map` has no key `sales_amount`; it has adjust, "),
        ("\"$const EUR\"", "\"$setting currency\"", "42: there is no setting `currency`"),
        ("transacted_at = \"sold_at\"\n", "", "37: `[streams.map]` has no `transacted_at`"),
        ("[streams.map]", "[streams.map", "37: "),
    ] {
        let found = wrong(from, to);
        assert!(found.starts_with(expected), "{found}, not {expected}");
    }
}

const PAYMENTS: &str = r#"
[[streams]]
name = "payouts"
fact = "payments"
records = "/payouts"

[streams.request]
url = "https://api.brightlink.example/v1/payouts"

[streams.axes.none]

[streams.map]
payment_id = { parts = ["year", "number"] }
amount = "cents as minor"
currency = "currency"
paid_at = "paid"
payment_status = "$const paid"
"#;

#[test]
fn a_stream_of_payments_becomes_rust() {
    let code = expansion(&format!("{GOOD}{PAYMENTS}"), Path::new("network.toml")).unwrap();
    for part in [
        "let (payment_id, _) = { composed = [record.required(0)?,record.required(1)?,].join(\"-\");",
        "amount: record.money_in(4, record.filled(2), |text, currency| \
         currency.and_then(|currency| Money::minor(text, currency)))?",
        "payment_status: PaymentStatus::Paid, ..Payment::default() };",
        "out.push_payment(record, &row);",
    ] {
        assert!(code.contains(part), "no {part} in:\n{code}");
    }
    for (from, to, expected) in [
        ("fact = \"payments\"", "fact = \"coupons\"", "`coupons` is no kind of fact: items, payments, "),
        (
            "fact = \"payments\"",
            "fact = \"payments\"\nunified = true",
            "a stream of facts of another kind isn't unified",
        ),
        ("$const paid", "$const sent", "`payment_status` is `$const` and one of: unpaid, payable, paid, clawed-back"),
        (
            "currency = \"currency\"\n",
            "",
            "`amount` is read as minor, and `[streams.map]` has no column of its currency",
        ),
        ("amount =", "sum =", "`map` has no key `sum`; it has advertiser_id, "),
        ("\"paid\"", "\"paid when approved\"", "only columns of transactions wait for a decision"),
    ] {
        let text = format!("{GOOD}{}", PAYMENTS.replacen(from, to, 1));
        let mistake = expansion(&text, Path::new("network.toml")).expect_err("it has a mistake").to_string();
        assert!(mistake.contains(expected), "{mistake}, not {expected}");
    }
}

#[test]
fn an_amount_in_a_minor_unit_is_of_its_own_currency() {
    let code = |columns: &str| {
        let text =
            GOOD.replacen("sale_amount = \"amount as decimal-comma\"\nsale_currency = \"$const EUR\"\n", columns, 1);
        expansion(&text, Path::new("network.toml")).map_err(|mistake| mistake.to_string())
    };
    let amounts = "sale_amount = \"yen as plain | minor\"\ncommission_amount = \"cents as minor\"\n\
                   original_commission_amount = \"was as minor\"\n";
    let both =
        code(&format!("{amounts}sale_currency = \"$const JPY\"\ncommission_currency = \"$const EUR\"\n")).unwrap();
    let minor = "currency.and_then(|currency| Money::minor(text, currency))";
    for (currency, parse) in [
        ("JPY", format!("|text, currency| Money::parse(text).or_else(|| {minor}))?")),
        ("EUR", format!("|text, currency| {minor})?")),
    ] {
        assert!(both.contains(&format!("Some(\"{currency}\"), {parse}")), "no {currency} in:\n{both}");
    }
    assert_eq!(both.matches("Some(\"EUR\"), |text").count(), 2, "the amount before an amendment is in the same one");
    let one = code(&format!("{amounts}commission_currency = \"$const EUR\"\n")).unwrap();
    assert_eq!(one.matches("Some(\"EUR\"), |text").count(), 3, "the only one that is mapped is that of all");
    let none = code(amounts).unwrap_err();
    assert!(
        none.contains("`sale_amount` is read as minor, and `[streams.map]` has no column of its currency"),
        "{none}"
    );
}

#[test]
fn money_and_status_need_a_column_that_is_there() {
    let text = |optional: &str| {
        let delimited = format!("[streams.delimited]\noptional = [{optional}]\n[streams.request]");
        let text = GOOD.replacen("records = \"/sales\"\n", "", 1).replacen("[streams.request]", &delimited, 1);
        text.replacen("\"amount as decimal-comma\"", "[\"amount as decimal-comma\", \"total\"]", 1)
    };
    let mistake = |optional: &str| expansion(&text(optional), Path::new("network.toml")).err().map(|m| m.to_string());
    assert_eq!(mistake("\"ref\", \"total\""), None);
    let money = mistake("\"amount\", \"total\"").unwrap();
    assert_eq!(money, "25: `sale_amount` needs a column that isn't `optional`: a header may lack `amount`");
    assert!(mistake("\"state\"").unwrap().contains("`status` needs"));
    let payments = PAYMENTS.replacen("records = \"/payouts\"\n", "", 1).replacen(
        "[streams.request]",
        "[streams.delimited]\noptional = [\"cents\"]\n[streams.request]",
        1,
    );
    let of_payments = expansion(&format!("{GOOD}{payments}"), Path::new("network.toml")).expect_err("it has a mistake");
    assert!(of_payments.to_string().contains("`amount` needs a column that isn't `optional`"), "{of_payments}");
}

#[test]
fn braces_nest_and_stand_for_themselves_elsewhere() {
    let names = template::Names { secrets: vec!["id".into(), "key".into()], ..template::Names::default() };
    let code = |text: &str| {
        let text = document::Text { text: text.into(), line: 1 };
        template::read(&text, &names).map(|pieces| template::code(&pieces))
    };
    assert_eq!(
        code("Basic ${base64 ${secret id}:${secret key}}").unwrap(),
        "text(\"\").text(\"Basic \").then(text(\"\").secret(\"id\").text(\":\").secret(\"key\")\
         .apply(Function::Base64))"
    );
    assert_eq!(
        code("{\"a\":\"${json-escape ${secret id}}\"}").unwrap(),
        "text(\"\").text(\"{\\\"a\\\":\\\"\").then(text(\"\").secret(\"id\").apply(Function::JsonEscape)).text(\"\\\"}\")"
    );
}
