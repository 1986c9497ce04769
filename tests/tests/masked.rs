//! What a network echoes of secrets is masked before it is kept. Raw keeps enough all the same: tables that are built from it
//! hold what the run gave.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_tests::{HostileServer, Operator, response};

/// Runs and rebuilds take seconds each.
const CASES: u32 = 8;
/// A field of the connector's layout.
const DECLARED: &str = "transaction_type";
/// Pieces of the data with letters and digits, as a token has them.
const PIECE: &str = r#","sale_amount":100.0,"#;
const AMOUNT: &str = r#""amount":"5.00""#;
const WINDOW: [&str; 6] = ["--since", "2026-01-01", "--until", "2026-01-15", "--axis", "modified"];

/// What is secret of one account: what the operator gives, and what the network issues.
#[derive(Clone, Debug)]
struct Secrets {
    id: String,
    secret: String,
    token: String,
}

/// How a secret stands in a text.
#[derive(Clone, Copy, Debug)]
enum Writing {
    Plain,
    Hex,
    Base64,
    Url,
    /// Each byte as a character of Latin-1.
    Bytes,
}

/// How the network's page is written.
#[derive(Clone, Copy, Debug)]
enum Page {
    Json,
    /// With every character of a text escaped that may be.
    EscapedJson,
    Utf16,
    Zstd,
}

/// Where a network echoes it.
#[derive(Clone, Copy, Debug)]
enum EchoedIn {
    Text(&'static str),
    /// Within a field that is a part of a record's key.
    Id,
    /// As a field's name.
    Name,
    /// In an amount's own digits, if it has nothing else.
    Amount,
    Header,
    /// Behind all records.
    Padding,
}

#[derive(Clone, Debug)]
struct Echo {
    which: usize,
    writing: Writing,
    place: EchoedIn,
    record: usize,
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9]{8,40}",
        "[ -~]{6,24}",
        "[0-9]{6,18}",
        "[A-Za-z0-9+/]{20,60}={0,2}",
        // What occurs in the data by itself.
        prop_oneof![Just("a0000000000000000000000000000001".to_owned()), Just(DECLARED.to_owned())],
        "\\PC{4,12}",
    ]
    // The line break at its end is no part of a secret; a variable holds no NUL.
    .prop_map(|text| text.trim().replace('\0', "x"))
    .prop_filter("a secret has a character", |text| !text.is_empty())
}

fn secrets() -> impl Strategy<Value = Secrets> {
    // A network may give a piece of its data as a token, so as to have it blanked out.
    let token = prop_oneof![6 => "[a-z]{4}[0-9][A-Za-z0-9._-]{11,35}", 1 => prop_oneof![Just(PIECE), Just(AMOUNT)].prop_map(str::to_owned)];
    (secret(), secret(), token).prop_map(|(id, secret, token)| Secrets { id, secret, token })
}

fn echo() -> impl Strategy<Value = Echo> {
    let writings = vec![Writing::Plain, Writing::Hex, Writing::Base64, Writing::Url, Writing::Bytes];
    let writing = prop::sample::select(writings);
    let place = prop_oneof![
        3 => prop_oneof![Just("order_id"), Just("u1"), Just("product_name"), Just("note")].prop_map(EchoedIn::Text),
        1 => Just(EchoedIn::Id),
        1 => Just(EchoedIn::Name),
        1 => Just(EchoedIn::Amount),
        1 => Just(EchoedIn::Header),
        1 => Just(EchoedIn::Padding),
    ];
    (0..3_usize, writing, place, 0..4_usize).prop_map(|(which, writing, place, record)| Echo {
        which,
        writing,
        place,
        record,
    })
}

fn written(secret: &str, writing: Writing) -> String {
    use base64::Engine as _;
    match writing {
        Writing::Plain => secret.to_owned(),
        Writing::Hex => secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        Writing::Base64 => base64::engine::general_purpose::STANDARD.encode(secret),
        Writing::Url => secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        Writing::Bytes => secret.bytes().map(char::from).collect(),
    }
}

fn record(number: usize) -> Value {
    json!({
        "etransaction_id": format!("a{number:031}"), "advertiser_id": 50_001, "sid": 3_456_789,
        "order_id": format!("P-{number}"), "offer_id": "400123", "sku_number": "S-1", "product_name": "Lamp",
        "sale_amount": 100.0, "quantity": 1, "commissions": 1.5, "u1": "member-7", "currency": "USD",
        "process_date": "Mon Jan 05 2026 10:12:30 GMT+0000 (UTC)",
        "transaction_date": "Mon Jan 05 2026 10:02:11 GMT+0000 (UTC)",
        "transaction_type": "realtime", "is_event": "N", "commission_list_id": "12", "note": "-",
    })
}

/// The network's page and its headers.
fn page(secrets: &Secrets, echoes: &[Echo], page: Page) -> (Vec<u8>, Vec<(String, String)>) {
    let mut records: Vec<Value> = (1..=4).map(record).collect();
    let mut headers = vec![("content-type".to_owned(), "application/json;charset=UTF-8".to_owned())];
    let mut padding = String::new();
    for Echo { which, writing, place, record } in echoes {
        let text = written([&secrets.id, &secrets.secret, &secrets.token][*which], *writing);
        let record = &mut records[*record];
        match place {
            EchoedIn::Text(name) => record[*name] = json!(format!("<{text}> & \"{text}\"")),
            EchoedIn::Id => record["etransaction_id"] = json!(format!("x{text}")),
            EchoedIn::Name => record[text.as_str()] = json!(1),
            EchoedIn::Amount if text.len() < 12 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                record["commissions"] = json!(text.parse::<u64>().unwrap());
            }
            EchoedIn::Header if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                headers.push(("x-echo".to_owned(), text));
            }
            EchoedIn::Amount | EchoedIn::Header => {}
            EchoedIn::Padding => padding.push_str(&" ".repeat(text.len())),
        }
    }
    let body = format!("{}{padding}", Value::from(records));
    let body = match page {
        Page::Json => body.into_bytes(),
        Page::EscapedJson => escaped(&body).into_bytes(),
        Page::Utf16 => body.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Page::Zstd => {
            headers.push(("content-encoding".to_owned(), "zstd".to_owned()));
            zstd::encode_all(body.as_bytes(), 1).unwrap()
        }
    };
    (body, headers)
}

/// JSON with each letter in its texts escaped.
fn escaped(json: &str) -> String {
    let (mut out, mut is_text, mut is_escape) = (String::new(), false, false);
    for c in json.chars() {
        match c {
            _ if is_escape => out.push(c),
            '"' => out.push(c),
            c if is_text && c != '\\' => {
                out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            }
            c => out.push(c),
        }
        is_text ^= c == '"' && !is_escape;
        is_escape = c == '\\' && !is_escape;
    }
    out
}

fn network(secrets: &Secrets, echoes: &[Echo], written: Page) -> HostileServer {
    let token = json!({"access_token": secrets.token, "token_type": "Bearer", "expires_in": 3600}).to_string();
    let (body, headers) = page(secrets, echoes, written);
    HostileServer::start(move |ask, stream| {
        let json = [("content-type", "application/json;charset=UTF-8")];
        let answer = match &ask.head {
            head if head.contains("/token") => response(200, &json, token.as_bytes()),
            head if head.contains("page=1") => {
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                response(200, &headers, &body)
            }
            _ => response(200, &json, b"[]"),
        };
        stream.write_all(&answer)
    })
    .unwrap()
}

fn operator(secrets: &Secrets, origin: &str) -> Operator {
    let mut operator = Operator::empty().unwrap();
    operator.install("rakuten", "rakuten.wasm").unwrap();
    operator.set("RAKUTEN_ID", &secrets.id);
    operator.set("RAKUTEN_SECRET", &secrets.secret);
    let file = json!({
        "connector": "rakuten", "schedule": "0 0 29 2 *", "base_url": origin,
        "rate": {"requests": 1000, "per_secs": 1, "concurrency": 4},
        "accounts": [{"name": "main", "settings": {"sid": "3456789"},
            "secrets": {"client_id": "env:RAKUTEN_ID", "client_secret": "env:RAKUTEN_SECRET"}}],
    });
    operator.write("networks/rakuten.json", &file.to_string()).unwrap();
    operator
}

/// What tables hold, whatever order and file it is in.
fn tables(operator: &Operator) -> Vec<String> {
    let of = |query: &str| -> Vec<String> {
        let answer = operator.sluice(&["sql", query, "--format", "csv"]).unwrap();
        // A run whose only answer can't be read makes no table.
        let mut lines: Vec<String> = answer.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let names = ["rakuten.transactions", "unified.transaction_versions", "unified.transactions", "meta.rejects"];
    names.map(|name| of(&format!("SELECT * FROM {name}"))).concat()
}

fn check(secrets: &Secrets, echoes: &[Echo], page: Page) -> Result<(), TestCaseError> {
    let server = network(secrets, echoes, page);
    let operator = operator(secrets, &server.origin());
    let run = operator.sluice(&[&["run", "rakuten"][..], &WINDOW].concat()).unwrap();
    let before = tables(&operator);
    let build = operator.sluice(&["build", "--from-raw"]).unwrap();
    let after = tables(&operator);
    prop_assert_eq!(&before, &after, "run {:?}, build {:?}", run, build);
    // A secret that is a piece of JSON may make its text none.
    let is_plain = |value: &String| value.bytes().all(|byte| byte.is_ascii_alphanumeric()) && value != DECLARED;
    if [&secrets.id, &secrets.secret].into_iter().all(is_plain) {
        let native = operator.sql("SELECT count(*) AS n FROM rakuten.transactions").unwrap();
        prop_assert!(native[0]["n"].as_u64() >= Some(1), "run {:?}", run);
    }
    // Nothing that is secret enough to be masked is left in the tables, in a file or in a log. Names that the connector
    // declares are theirs, and pieces of the data are no tokens.
    let is_masked = |value: &&String| {
        let is_long = value.len() >= 8 && value.bytes().any(|byte| !byte.is_ascii_digit());
        is_long && ![DECLARED, PIECE, AMOUNT].contains(&value.as_str())
    };
    let logs = [&run, &build].map(|answer| format!("{}{}", answer.stdout, answer.stderr)).concat();
    let files = files(&operator);
    for value in [&secrets.id, &secrets.secret, &secrets.token].into_iter().filter(is_masked) {
        prop_assert!(!before.iter().any(|line| line.contains(value.as_str())), "{} is in the tables", value);
        prop_assert!(!logs.contains(value.as_str()), "{} is in the logs: {}", value, logs);
        for (path, bytes) in &files {
            let holds = bytes.windows(value.len()).any(|window| window == value.as_bytes());
            prop_assert!(!holds, "{} is in {}", value, path.display());
        }
    }
    Ok(())
}

/// What the lake and the state store have on disk, unpacked.
fn files(operator: &Operator) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![operator.join("lake")]);
    let state = std::fs::read_dir(operator.join("")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = state.filter(|path| path.to_string_lossy().contains("state.")).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() { folders.push(entry.path()) } else { paths.push(entry.path()) }
        }
    }
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let is_packed = bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let bytes = if is_packed { zstd::decode_all(&bytes[..]).unwrap() } else { bytes };
        // A connector's code holds no secret, and is large.
        if path.extension().is_none_or(|extension| extension != "wasm") {
            found.push((path, bytes));
        }
    }
    found
}

#[test]
fn a_piece_of_the_data_that_a_network_gives_as_a_token_is_not_blanked_out() {
    let secrets = Secrets { id: "client-id-01".into(), secret: "client-secret-01".into(), token: PIECE.into() };
    let server = network(&secrets, &[], Page::Json);
    let operator = operator(&secrets, &server.origin());
    let run = operator.sluice(&[&["run", "rakuten"][..], &WINDOW].concat()).unwrap();
    let rows = operator.sql("SELECT count(*) AS n FROM unified.transactions").unwrap();
    assert_eq!(rows[0], json!({"n": 4}), "{run:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn tables_from_raw_are_those_of_the_run_whatever_was_masked(
        secrets in secrets(),
        echoes in prop::collection::vec(echo(), 1..6),
        page in prop::sample::select(vec![Page::Json, Page::EscapedJson, Page::Utf16, Page::Zstd]),
    ) {
        check(&secrets, &echoes, page)?;
    }
}

/// As the strategies above once found it: nothing in it is beyond ASCII, so that it is UTF-8 as well.
#[test]
fn a_page_in_utf_16_is_read_whatever_its_headers_say() {
    let secrets = Secrets { id: "client-id-01".into(), secret: "client-secret-01".into(), token: "token-01".into() };
    let server = network(&secrets, &[], Page::Utf16);
    let operator = operator(&secrets, &server.origin());
    let run = operator.sluice(&[&["run", "rakuten"][..], &WINDOW].concat()).unwrap();
    let rows = operator.sql("SELECT count(*) AS n FROM unified.transactions").unwrap();
    assert_eq!(rows[0], json!({"n": 4}), "{run:?}");
}
