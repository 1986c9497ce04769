#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluice_model::{Grain, Kind, LookBack, Method, Op, Pin, Rate, Request, SecretSlot, Setting, TokenPlace};

use super::*;

/// A manifest that keeps every rule.
pub(in crate::check) fn manifest() -> Manifest {
    let layout = Layout {
        format: Format::Json("/data/*".to_owned()),
        pins: vec![Pin { path: "id".to_owned(), kind: Kind::Text }],
        inputs: vec!["id".to_owned(), "date".to_owned()],
        key: vec!["id".to_owned()],
    };
    let stream = Stream {
        name: "transactions".to_owned(),
        unified: true,
        axes: vec![Axis::Transaction, Axis::Modified],
        complete_windows: vec![Axis::Transaction],
        max_window_secs: Some(31 * DAY_SECS),
        history_days: None,
        grain: Grain::Day,
        timezone: "Europe/Amsterdam".to_owned(),
        layout,
    };
    Manifest {
        network: "2performant".to_owned(),
        title: "2Performant".to_owned(),
        version: "0.1.0".to_owned(),
        hosts: vec!["api.example.com".to_owned(), "*.example.co.uk".to_owned()],
        streams: vec![stream],
        settings: vec![],
        secrets: vec![],
        tokens: vec![],
        rate: None,
        schedule: "0 * * * *".to_owned(),
        look_back: vec![LookBack { every_secs: 3_600, days: 3, axis: Axis::Modified }],
        statuses: vec![],
    }
}

fn refused(change: impl FnOnce(&mut Manifest)) -> String {
    let mut wrong = manifest();
    change(&mut wrong);
    super::manifest(&wrong).expect_err("it breaks a rule")
}

#[test]
fn a_good_manifest_passes() {
    assert_eq!(super::manifest(&manifest()), Ok(()));
}

#[test]
fn networks_are_slugs_that_no_schema_has() {
    for network in ["", "Awin", "a_b", "-a", "a-", "a--b", "ä", &"a".repeat(65)] {
        assert!(refused(|m| m.network = network.to_owned()).contains("is no slug"), "{network:?}");
    }
    for network in ["unified", "meta", "raw", "information-schema", "public"] {
        assert!(refused(|m| m.network = network.to_owned()).contains("is reserved"), "{network:?}");
    }
}

#[test]
fn versions_are_semver() {
    for version in ["", "1", "1.2", "1.2.x", "1.2.3 ", "v1.2.3"] {
        assert!(refused(|m| m.version = version.to_owned()).contains("is no semver"), "{version:?}");
    }
    for version in ["1.2.3-rc.1", "1.2.3+build", "10.20.30"] {
        let mut right = manifest();
        right.version = version.to_owned();
        assert_eq!(super::manifest(&right), Ok(()));
    }
}

#[test]
fn hosts_are_names() {
    for host in ["", "localhost", "*.com", "*", "a.*.com", "https://a.com", "a.com:80", "10.0.0.1", "A.com", "-a.com"] {
        assert!(refused(|m| m.hosts = vec![host.to_owned()]).contains("is no name"), "{host:?}");
    }
    assert_eq!(refused(|m| m.hosts.clear()), "hosts: there are none");
}

#[test]
fn streams_have_a_name_an_axis_and_a_zone() {
    let of = |change: fn(&mut Stream)| refused(|m| change(&mut m.streams[0]));
    assert!(of(|s| s.name = "Sales".to_owned()).contains("snake_case"));
    assert!(of(|s| s.name = "_sales".to_owned()).contains("snake_case"));
    assert!(of(|s| s.name = "meta".to_owned()).contains("reserved"));
    assert_eq!(of(|s| s.axes.clear()), "stream \"transactions\": axes: there are none");
    assert!(of(|s| s.axes.push(Axis::None)).contains("`none` stands beside others"));
    assert!(of(|s| s.axes.push(Axis::Modified)).contains("comes twice"));
    assert!(of(|s| s.max_window_secs = Some(3_600)).contains("shorter than the grain"));
    assert!(of(|s| s.timezone = "CEST".to_owned()).contains("is no IANA zone"));
    assert_eq!(refused(|m| m.streams.clear()), "streams: there are none");
    assert!(refused(|m| m.streams = vec![m.streams[0].clone(); 65]).contains("64 are allowed"));
    assert!(refused(|m| m.streams = vec![m.streams[0].clone(); 2]).contains("comes twice"));
}

#[test]
fn layouts_are_well_formed() {
    let of = |change: fn(&mut Layout)| refused(|m| change(&mut m.streams[0].layout));
    assert!(of(|l| l.format = Format::Json("data".to_owned())).contains("is no JSON Pointer"));
    assert!(of(|l| l.format = Format::Xml("a..b".to_owned())).contains("is no path of elements"));
    assert!(of(|l| l.inputs.push(String::new())).contains("a path is empty"));
    assert!(of(|l| l.inputs.push("id".to_owned())).contains("comes twice"));
    assert!(of(|l| l.inputs.push("a\0".to_owned())).contains("control characters"));
    assert!(of(|l| l.inputs = (0..501).map(|n| n.to_string()).collect()).contains("500 are allowed"));
    assert!(of(|l| l.pins = vec![l.pins[0].clone(); 2_001]).contains("2000 are allowed"));
    let delimited = |delimiter, quote, charset: &str| {
        let charset = charset.to_owned();
        let format = Format::Delimited(Delimited {
            delimiter,
            quote,
            skip_lines: 0,
            header: vec![],
            charset,
            exact_fields: false,
            optional: vec![],
        });
        refused(|m| m.streams[0].layout.format = format)
    };
    assert!(delimited(b'\n', None, "utf-8").contains("can't separate"));
    assert!(delimited(b',', Some(b','), "utf-8").contains("can't quote"));
    assert!(delimited(b',', Some(b'"'), "utf-99").contains("no WHATWG label"));
}

#[test]
fn tokens_use_declared_slots() {
    let source = |secret: &str| TokenSource {
        name: "oauth".to_owned(),
        request: Request {
            key: "token".to_owned(),
            method: Method::Post,
            url: vec![Op::Text("https://api.example.com/token".to_owned())],
            headers: vec![("authorization".to_owned(), vec![Op::Secret(secret.to_owned())])],
            body: None,
            state: String::new(),
            yields_records: false,
        },
        value: TokenPlace::Json("/access_token".to_owned()),
        lifetime: None,
        lifetime_secs: Some(3_600),
        refresh_value: None,
        refresh: None,
        rotates: false,
    };
    let slot = || SecretSlot { name: "client".to_owned(), meaning: "The client's secret".to_owned(), required: true };
    let mut right = manifest();
    right.secrets.push(slot());
    right.tokens.push(source("client"));
    assert_eq!(super::manifest(&right), Ok(()));
    assert_eq!(
        refused(|m| m.tokens.push(source("client"))),
        "token \"oauth\": the secret \"client\" isn't in the manifest"
    );
    assert!(refused(|m| m.secrets = vec![slot(), slot()]).contains("comes twice"));
    let at = |place: TokenPlace| {
        refused(|m| {
            m.secrets.push(slot());
            m.tokens.push(TokenSource { value: place, ..source("client") });
        })
    };
    let framing = at(TokenPlace::Header("Content-Encoding".to_owned()));
    assert!(framing.contains("header `content-encoding` says how an answer is to be read"), "{framing}");
}

#[test]
fn schedules_and_rates_make_sense() {
    assert!(refused(|m| m.schedule.clear()).contains("has no five fields"));
    assert_eq!(refused(|m| m.rate = Some(Rate { requests: 0, per_secs: 1, concurrency: 1 })), "rate has a 0");
    assert_eq!(refused(|m| m.look_back[0].axis = Axis::Payment), "look-back: no stream has the axis `payment`");
    let setting =
        |meaning: String| Setting { name: "id".to_owned(), meaning, required: true, default: None, identifies: true };
    assert!(refused(|m| m.settings.push(setting("x".repeat(5_000)))).contains("4096 are allowed"));
}

#[test]
fn a_look_back_ends_somewhere() {
    let days = |days| vec![LookBack { every_secs: 60, days, axis: Axis::Modified }];
    assert_eq!(refused(|m| m.look_back = days(u32::MAX)), "look-back: 4294967295 days, 3660 are allowed");
    let seconds = refused(|m| {
        m.streams[0].grain = Grain::Second;
        m.streams[0].max_window_secs = Some(1);
        m.look_back = days(3_660);
    });
    assert_eq!(seconds, "look-back and max-window-secs: 316224000 windows of an account, 100000 are allowed");
}

#[test]
fn a_refusal_is_short_however_long_the_name() {
    let refusal = refused(|m| m.streams[0].name = "x".repeat(10_000));
    assert!(refusal.starts_with("stream \"xxx") && refusal.len() < 300, "{refusal}");
}

#[test]
fn windows_are_complete_on_axes_that_there_are_and_reach_back_a_day_at_least() {
    let with = |axes: &[Axis]| refused(|m| m.streams[0].complete_windows = axes.to_vec());
    assert!(with(&[Axis::Payment]).contains("complete-windows: `payment` is none of its axes"));
    assert!(with(&[Axis::Transaction, Axis::Transaction]).contains("complete-windows: \"transaction\" comes twice"));
    assert!(refused(|m| m.streams[0].history_days = Some(0)).contains("history-days: 0 leaves nothing"));
    let mut good = manifest();
    good.streams[0].complete_windows.clear();
    good.streams[0].history_days = Some(14);
    assert_eq!(super::manifest(&good), Ok(()));
}

#[test]
fn what_each_slice_or_account_has_a_copy_of_is_bounded() {
    let setting = |nth: usize, bytes: usize| Setting {
        name: format!("s{nth}"),
        meaning: "m".to_owned(),
        required: false,
        identifies: false,
        default: Some("x".repeat(bytes)),
    };
    let mut right = manifest();
    right.settings = (0..16).map(|nth| setting(nth, 4 << 10)).collect();
    assert_eq!(super::manifest(&right), Ok(()));
    let text = refused(|m| m.settings = (0..17).map(|nth| setting(nth, 4 << 10)).collect());
    assert_eq!(text, "defaults of settings: 69632 bytes, 65536 are allowed");
    let text = refused(|m| {
        let pin = |nth: usize| Pin { path: format!("{nth}{}", "x".repeat(4_000)), kind: Kind::Text };
        m.streams[0].layout.pins = (0..300).map(pin).collect();
    });
    assert!(text.contains("bytes as JSON, 1048576 are allowed"), "{text}");
}
