//! A guest that no folder holds, because a test needs it with few requests and a bench with many.

use serde_json::{Value, json};

use crate::guest::Guest;

/// Bytes of the body of each request of [`follows_with_libraries`]: with its other texts nearly all that one answer may have.
const LIBRARY_BYTES: usize = (8 << 20) - (1 << 10);

/// Each answer leads to a request with 8 MiB of NULs: six times as many bytes in JSON.
pub fn follows_with_libraries(network: &str) -> Guest {
    follows_with_nuls(network, LIBRARY_BYTES)
}

/// Each answer leads to a request with so many NULs.
pub fn follows_with_nuls(network: &str, bytes: usize) -> Guest {
    let request = |key: Value, body: Value| {
        json!({
            "key": key, "method": "post", "url": [{"text": "https://api.example.com/sales?page="}, {"text": key}],
            "body": body, "state": key, "yields-records": true,
        })
    };
    let counter = json!({"count": 8, "at": 4_096});
    // Behind all that the host gives the guest.
    let library = json!([{"text": {"count": bytes, "at": 12 << 20}}]);
    let next = "(func $next (local $at i32)
        (local.set $at (i32.const 4103))
        (loop $carry
            (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 57))
                (then
                    (i32.store8 (local.get $at) (i32.const 48))
                    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                    (br $carry)))
            (i32.store8 (local.get $at) (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))))";
    let state = "(i64.load align=1 (i32.load offset=120 (local.get 0)))";
    Guest::new(
        network,
        &json!({
            "plan": {"ok": [request(json!("00000000"), Value::Null)]},
            "values": {
                "count": "00000000",
                "follow-answer": {"ok": {"verdict": {"more": [request(counter, library)]}}},
            },
            "more": next,
            "follow": format!("(i64.store (i32.const 4096) {state}) (call $next) $follow-answer"),
            "pages": 330,
        }),
    )
}
