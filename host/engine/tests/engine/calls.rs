//! Calls into guests, and the outcome of those that misbehave.

use std::time::Duration;

use bytes::Bytes;
use sluice_engine::{Connector, Decoded, Engine, EngineOptions, Error, Limits, TrapReason};
use sluice_model::{Judgement, Method, Op, Refusal, RefusalKind, Request, Response, Slice, Verdict};

use crate::guest::{BODY, Guest};
use crate::{engine, engine_with};

fn slice() -> Slice {
    Slice { cursor: Some("c".to_owned()), ..crate::slice_of("test") }
}

fn request() -> Request {
    Request {
        key: "page-1".to_owned(),
        method: Method::Get,
        url: vec![Op::Text("https://api.example.com/".to_owned()), Op::Join(1)],
        headers: vec![("accept".to_owned(), vec![Op::Text("text/csv".to_owned())])],
        body: Some(vec![Op::Now("%s".to_owned())]),
        state: "1".to_owned(),
        yields_records: true,
    }
}

fn response() -> Response {
    Response { status: 200, headers: vec![], body: Bytes::from_static(b"{}"), records: Some(1), problem: None }
}

fn load(engine: &Engine, guest: Guest) -> Connector {
    engine.load(&guest.component(), "test.wasm").expect("it loads")
}

/// The result of `plan` of a guest whose `plan` is this.
fn plan(engine: &Engine, plan: &str, more: &str) -> Result<Vec<Request>, Error> {
    let guest = Guest { plan: plan.to_owned(), more: more.to_owned(), ..Guest::new("test", "1.0.0") };
    load(engine, guest).plan(&slice())
}

fn trap(answer: Result<Vec<Request>, Error>) -> TrapReason {
    match answer {
        Err(Error::Trapped { reason, connector, version, call }) => {
            assert_eq!((connector.as_str(), version.as_str(), call), ("test", "1.0.0", "plan"));
            reason
        }
        other => panic!("no trap: {other:?}"),
    }
}

fn answered(keys: &[&[u8]]) -> Result<Vec<Request>, Error> {
    let mut guest = Guest::new("test", "1.0.0");
    guest.plan = format!("i32.const {}", guest.image.requests(keys));
    load(&engine_with(|limits| limits.requests_per_answer = 3), guest).plan(&slice())
}

#[test]
fn requests_come_out_as_they_went_in() {
    let requests = answered(&[b"page-1", b"page-2"]).unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].key, "page-2");
    assert_eq!(requests[0].url, [Op::Text("https://api.example.com/".to_owned())]);
    assert!(requests[0].yields_records && requests[0].body.is_none());
}

#[test]
fn requests_that_break_the_rules_are_the_guests_fault() {
    let malformed = |keys: &[&[u8]]| match answered(keys) {
        Err(Error::Malformed { what, .. }) => what,
        other => panic!("not malformed: {other:?}"),
    };
    assert_eq!(malformed(&[b"a", b"a"]), "request \"a\": its key comes twice");
    assert_eq!(malformed(&[b"a", b"b", b"c", b"d"]), "4 requests, 3 are allowed in one answer");
    assert!(malformed(&[b""]).contains("its key is empty"));
}

#[test]
fn a_refusal_is_no_trap() {
    let mut guest = Guest::new("test", "1.0.0");
    guest.plan = format!("i32.const {}", guest.image.refusal("no\npublisher id"));
    let Err(Error::Refused { refusal, .. }) = load(&engine(), guest).plan(&slice()) else { panic!("no refusal") };
    assert_eq!((refusal.kind, refusal.text.as_str()), (RefusalKind::Settings, "no publisher id"));
}

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    let engine = engine_with(|limits| limits.call_timeout = Duration::from_millis(50));
    let reason = trap(plan(&engine, "(loop $again (br $again)) unreachable", ""));
    assert_eq!(reason, TrapReason::Deadline { millis: 50 });
}

#[test]
fn memory_ends_at_its_cap() {
    let hungry = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    assert_eq!(trap(plan(&engine(), hungry, "")), TrapReason::Memory { bytes: 4 << 20 });
}

#[test]
fn guests_on_all_cores_take_the_most_memory_one_after_another() {
    const CORES: usize = 4;
    let mut limits = Limits { memory_bytes: 16 << 20, call_timeout: Duration::from_secs(20), ..Limits::default() };
    limits.small_memory_bytes = 1 << 20;
    let options = EngineOptions { limits, max_instances: 8, ..EngineOptions::default() };
    let engine = Engine::new(options).expect("an engine");
    let mut guest = Guest::new("test", "1.0.0");
    // It touches all of it before it answers.
    guest.plan = format!(
        "(drop (memory.grow (i32.const 200)))
         (memory.fill (i32.const 1000000) (i32.const 7) (i32.const 12000000)) i32.const {}",
        guest.image.requests(&[b"page-1"])
    );
    let connector = load(&engine, guest);
    let most = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..CORES).map(|_| scope.spawn(|| (0..5).all(|_| connector.plan(&slice()).is_ok()))).collect();
        let mut most = 0;
        while !calls.iter().all(|call| call.is_finished()) {
            most = most.max(engine.live().memory_bytes);
            std::thread::yield_now();
        }
        assert!(calls.into_iter().all(|call| call.join().unwrap()), "each has its turn");
        most
    });
    assert!(most <= (16 << 20) + ((CORES - 1) << 20), "{most} bytes at once");
}

#[test]
fn endless_recursion_ends_at_the_stack() {
    let reason = trap(plan(&engine(), "(call $deep) i32.const 0", "(func $deep (call $deep) (call $deep))"));
    assert_eq!(reason, TrapReason::Trap("wasm trap: call stack exhausted".to_owned()));
}

#[test]
fn a_panic_of_the_guest_is_a_trap() {
    let reason = trap(plan(&engine(), "unreachable", ""));
    assert_eq!(reason, TrapReason::Trap("wasm trap: wasm `unreachable` instruction executed".to_owned()));
}

#[test]
fn the_own_text_of_a_panic_is_reported() {
    let mut guest = Guest { plan: "unreachable".to_owned(), ..Guest::new("test", "1.0.0") };
    guest.image.put(b"sluice panicked: as a constant sluice panicked:\x09\0\0\0no\nmoney!");
    let reason = trap(load(&engine(), guest).plan(&slice()));
    assert_eq!(reason, TrapReason::Trap("no money!".to_owned()));
}

#[test]
fn an_answer_has_a_largest_size() {
    let mut guest = Guest::new("test", "1.0.0");
    guest.plan = format!("i32.const {}", guest.image.requests(&[&[b'a'; 3_000]]));
    let engine = engine_with(|limits| limits.output_bytes = 2_000);
    assert_eq!(trap(load(&engine, guest).plan(&slice())), TrapReason::OutputTooLarge { bytes: 2_000 });
}

#[test]
fn bad_pointers_and_bad_text_are_traps() {
    assert!(matches!(trap(plan(&engine(), "i32.const 0x7ffffff0", "")), TrapReason::Trap(_)));
    assert!(matches!(trap(plan(&engine(), "i32.const 3", "")), TrapReason::Trap(_)));
    assert!(matches!(trap(answered(&[&[0xff]])), TrapReason::Trap(_)));
    // A list that begins in memory and ends far outside of it.
    let mut guest = Guest::new("test", "1.0.0");
    let answer = guest.image.put(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0]);
    guest.plan = format!("i32.const {answer}");
    assert!(matches!(trap(load(&engine(), guest).plan(&slice())), TrapReason::Trap(_)));
}

#[test]
fn nothing_of_a_call_is_left_for_the_next() {
    // It counts its calls in memory, and fails at the second.
    let once = "(if (i32.load (i32.const 8)) (then unreachable)) (i32.store (i32.const 8) (i32.const 1)) i32.const 16";
    let guest = Guest { plan: once.to_owned(), ..Guest::new("test", "1.0.0") };
    let connector = load(&engine(), guest);
    for _ in 0..5 {
        assert!(connector.plan(&slice()).unwrap().is_empty());
    }
}

#[test]
fn a_trap_does_not_wedge_the_connector() {
    let guest = Guest { plan: "unreachable".to_owned(), ..Guest::new("test", "1.0.0") };
    let connector = load(&engine(), guest);
    for _ in 0..10 {
        assert!(connector.plan(&slice()).is_err());
        let judgement = connector.follow(&slice(), &request(), &response()).unwrap();
        assert_eq!(judgement, Judgement { verdict: Verdict::Done, cursor: None });
    }
}

#[test]
fn a_refusal_is_one_whether_it_is_a_verdict_or_an_error() {
    let mut guest = Guest::new("test", "1.0.0");
    let text = guest.image.put(b"no");
    // The error's kind, `settings`, stands at 604, the address and the length of its text behind it.
    guest.follow = format!(
        "(i32.store8 (i32.const 600) (i32.const 1))
         (i32.store8 (i32.const 604) (i32.const 1))
         (i32.store (i32.const 608) (i32.const {text}))
         (i32.store (i32.const 612) (i32.const 2))
         i32.const 600",
    );
    let judgement = load(&engine(), guest).follow(&slice(), &request(), &response()).unwrap();
    let refusal = Refusal { kind: RefusalKind::Settings, text: "no".to_owned() };
    assert_eq!(judgement, Judgement { verdict: Verdict::Refused(refusal), cursor: None });
}

/// What `follow` gives as the cursor when its guest keeps the text that these instructions put at 520 (address) and
/// 524 (length). `$place` stands for the place `/id`.
fn kept(instructions: &str, limits: impl FnOnce(&mut Limits)) -> Result<Option<String>, Error> {
    let mut guest = Guest::new("test", "1.0.0");
    let place = guest.image.put(b"/id");
    // The answer stands at 600: its cursor begins at 24.
    guest.follow = format!(
        "{instructions}
         (i32.store8 (i32.const 624) (i32.const 1))
         (i64.store align=1 (i32.const 628) (i64.load (i32.const 520)))
         i32.const 600",
    )
    .replace("$body", BODY)
    .replace("$place", &format!("(i32.const {place}) (i32.const 3)"));
    let response = Response { body: Bytes::from_static(br#"{"id":"a-1"}"#), ..response() };
    load(&engine_with(limits), guest).follow(&slice(), &request(), &response).map(|judgement| judgement.cursor)
}

#[test]
fn a_guest_reads_the_body_and_looks_into_it() {
    let read = "(call $read $body (i32.const 5) (i32.const 520)) (call $read $body (i32.const 99) (i32.const 520))";
    assert_eq!(kept(read, |_| {}).unwrap().as_deref(), Some(r#":"a-1"}"#));
    let look = "(call $value-at $body $place (i32.const 516))";
    assert_eq!(kept(look, |_| {}).unwrap().as_deref(), Some("a-1"));
}

#[test]
fn looking_into_the_body_has_a_budget() {
    let twice = "(call $value-at $body $place (i32.const 516)) (call $value-at $body $place (i32.const 516))";
    assert!(kept(twice, |limits| limits.lookups = 2).is_ok());
    for change in [|limits: &mut Limits| limits.lookups = 1, |limits: &mut Limits| limits.lookup_bytes = 13] {
        let Err(Error::Trapped { reason, .. }) = kept(twice, change) else { panic!("no trap") };
        assert_eq!(reason.to_string(), "it asked for more `value-at` than one call may");
    }
}

#[test]
fn native_records_pass_through_a_map() {
    let connector = load(&engine(), Guest::new("test", "1.0.0"));
    let native = connector.decode("sales", &[], br#"{"data":[{"id":1},{"id":2}]}"#).unwrap();
    let mapped = connector.map(&slice(), &request(), &response(), native).unwrap();
    assert_eq!(mapped.native.rows, 2);
    assert!(mapped.transactions.is_none() && mapped.rejects.is_empty());
}

#[test]
fn a_stream_that_is_not_there_is_the_hosts_fault() {
    let connector = load(&engine(), Guest::new("test", "1.0.0"));
    let slice = Slice { stream: "leads".to_owned(), ..slice() };
    let error = connector.plan(&slice).unwrap_err();
    assert_eq!(error.to_string(), "connector `test` 1.0.0 has no stream `leads`");
    assert!(!error.is_guest_fault());
    let mapped = connector.map(&slice, &request(), &response(), Decoded::default());
    assert!(matches!(mapped, Err(Error::UnknownStream { .. })));
}
