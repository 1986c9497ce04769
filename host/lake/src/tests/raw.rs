use arrow::array::{AsArray, StringArray};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use object_store::ObjectStoreExt;
use sluice_model::{Digest, ErrorKind, Op, RawObject, SliceRead};

use super::*;
use crate::{EnvelopePath, Error, RawFilter, WireBody};

fn answer(run: &str, request: &str, secs: i64, body: &'static [u8]) -> RawObject {
    let object = response(run, request, secs);
    RawObject { body: Digest::of(body), body_bytes: body.len() as u64, ..(*object).clone() }
}

/// Keeps a response.
async fn keep(lake: &Lake, run: &str, request: &str, secs: i64, body: &'static [u8]) -> RawObject {
    let object = answer(run, request, secs, body);
    lake.put_raw(&object, &WireBody::of(Bytes::from_static(body))).await.unwrap();
    object
}

/// Where raw has a body.
fn body_path(object: &RawObject) -> String {
    let hex = object.body.to_hex();
    format!("raw/bodies/{}/{hex}.zst", &hex[..2])
}

async fn found(lake: &Lake, filter: &RawFilter) -> Vec<String> {
    let objects = lake.raw_objects(filter).await.unwrap();
    let expected = objects.size_hint();
    let objects: Vec<RawObject> = objects.try_collect().await.unwrap();
    assert_eq!(expected, (objects.len(), Some(objects.len())), "progress is drawn by it");
    objects.into_iter().map(|object| format!("{}/{}", object.run_id, object.request_id)).collect()
}

#[tokio::test]
async fn a_body_comes_back_as_it_was() {
    let (_folder, lake) = new_lake().await;
    let object = answer("run", "a", 1, b"{\"x\": 1}");
    for _ in 0..2 {
        lake.put_raw(&object, &WireBody::of(Bytes::from_static(b"{\"x\": 1}"))).await.unwrap();
    }
    assert_eq!(lake.raw_body(object.body).await.unwrap(), "{\"x\": 1}");
    assert_eq!(found(&lake, &RawFilter::default()).await, ["run/a"]);
}

#[tokio::test]
async fn a_body_under_a_wrong_digest_is_refused() {
    let (_folder, lake) = new_lake().await;
    let error =
        lake.put_raw(&answer("run", "a", 1, b"one"), &WireBody::of(Bytes::from_static(b"two"))).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn damage_is_found() {
    let (_folder, lake) = new_lake().await;
    let object = keep(&lake, "run", "a", 1, b"body").await;
    let path = object_store::path::Path::from(body_path(&object));
    let forged = zstd::bulk::compress(b"forged", 1).unwrap();
    lake.store().put(&path, forged.into()).await.unwrap();
    assert!(matches!(lake.raw_body(object.body).await, Err(Error::Damaged { .. })));
    lake.store().put(&path, Bytes::from_static(b"no zstd").into()).await.unwrap();
    assert!(matches!(lake.raw_body(object.body).await, Err(Error::Damaged { .. })));
}

#[tokio::test]
async fn another_answer_under_the_same_names_is_kept_too() {
    let (_folder, lake) = new_lake().await;
    keep(&lake, "run", "a", 1, b"one").await;
    keep(&lake, "run", "a", 2, b"two").await;
    assert_eq!(found(&lake, &RawFilter::default()).await, ["run/a", "run/a"]);
}

#[tokio::test]
async fn runs_are_ordered_by_what_was_observed_not_by_their_ids() {
    let (_folder, lake) = new_lake().await;
    for (run, request, secs) in [("a", "1", 30), ("b", "1", 10), ("b", "2", 40), ("c", "1", 20)] {
        keep(&lake, run, request, secs, b"x").await;
    }
    assert_eq!(lake.raw_runs().await.unwrap(), ["b", "c", "a"]);
}

#[tokio::test]
async fn raw_is_found_oldest_first_indexed_or_not() {
    let (_folder, lake) = new_lake().await;
    for (run, request, secs) in [("run-1", "a", 5), ("run-1", "b", 3), ("run-2", "c", 4)] {
        keep(&lake, run, request, secs, b"x").await;
    }
    let refused = RawObject { outcome: "refused".to_owned(), ..answer("run-1", "d", 1, b"x") };
    lake.put_raw(&refused, &WireBody::of(Bytes::from_static(b"x"))).await.unwrap();
    let all = RawFilter::default();
    assert_eq!(found(&lake, &all).await, ["run-1/b", "run-2/c", "run-1/a"]);
    assert_eq!(lake.index_requests("run-1", None).await.unwrap(), 3);
    assert_eq!(lake.index_requests("run-1", None).await.unwrap(), 0);
    assert_eq!(values(&lake, "meta", "requests", &["request_id", "outcome", "masked"]).await.len(), 3);
    assert_eq!(found(&lake, &all).await, ["run-1/b", "run-2/c", "run-1/a"]);
    let run = RawFilter { run_id: Some("run-1".to_owned()), ..RawFilter::default() };
    assert_eq!(found(&lake, &run).await, ["run-1/b", "run-1/a"]);
    let none = RawFilter { account: Some("de".to_owned()), ..RawFilter::default() };
    assert!(found(&lake, &none).await.is_empty());
    let later = RawFilter { since: Some("2026-02-01T00:00:00Z".parse().unwrap()), ..RawFilter::default() };
    assert!(found(&lake, &later).await.is_empty());
}

#[tokio::test]
async fn an_envelope_gets_its_outcome_once_it_is_known() {
    let (_folder, lake) = new_lake().await;
    let unjudged = RawObject { outcome: "unjudged".to_owned(), ..answer("run", "a", 1, b"body") };
    let at = lake.put_raw(&unjudged, &WireBody::of(Bytes::from_static(b"body"))).await.unwrap().envelope;
    let all = RawFilter::default();
    assert!(found(&lake, &all).await.is_empty(), "nothing is made of it yet");
    assert_eq!(kept(&lake, "run").await, [(at.clone(), unjudged.clone())]);
    let judged = RawObject { outcome: "answered".to_owned(), ..unjudged };
    lake.put_outcome(&at, &judged).await.unwrap();
    assert_eq!(found(&lake, &all).await, ["run/a"]);
    assert_eq!(kept(&lake, "run").await, [(at, judged)], "and it is one response still");
}

#[tokio::test]
async fn a_response_that_comes_after_all_were_listed_is_found_by_its_request() {
    let (folder, lake) = new_lake().await;
    let first = async |request: &str| lake.first_response("run", request).await.unwrap();
    assert_eq!(first("a").await, None);
    keep(&lake, "run", "a", 1, b"one").await;
    let listed = lake.run_responses("run").await.unwrap();
    assert_eq!(first("a").await.as_slice(), listed);
    assert_eq!(first("b").await, None);
    // What a crash of the machine left.
    std::fs::write(folder.path().join("lake/raw/envelopes/run/b-1.json"), "").unwrap();
    assert_eq!(first("b").await, None);
}

async fn kept(lake: &Lake, run: &str) -> Vec<(EnvelopePath, RawObject)> {
    let mut kept = Vec::new();
    for response in lake.run_responses(run).await.unwrap() {
        let raw = lake.run_response(&response.envelope).await.unwrap();
        kept.push((response.envelope, raw));
    }
    kept
}

#[tokio::test]
async fn an_envelope_is_packed_and_one_that_is_not_is_read_all_the_same() {
    let (folder, lake) = new_lake().await;
    let mut object = answer("run", "a", 1, b"body");
    object.request.body = Some(vec![Op::Text("\0".repeat(1 << 20))]);
    let stored = lake.put_raw(&object, &WireBody::of(Bytes::from_static(b"body"))).await.unwrap();
    assert!(stored.written_bytes < 16 << 10, "{}", stored.written_bytes);
    assert_eq!(kept(&lake, "run").await, [(stored.envelope.clone(), object.clone())]);
    let path = folder.path().join("lake/raw/envelopes/run/a-1.json");
    std::fs::write(path, serde_json::to_vec(&object).unwrap()).unwrap();
    assert_eq!(kept(&lake, "run").await, [(stored.envelope, object)]);
    assert_eq!(found(&lake, &RawFilter::default()).await, ["run/a"]);
}

#[tokio::test]
async fn a_long_url_is_cut_in_the_index_of_requests() {
    let (_folder, lake) = new_lake().await;
    let mut object = answer("run", "a", 1, b"body");
    object.sent.url = format!("https://api.example.com/{}", "é".repeat(1 << 20));
    lake.put_raw(&object, &WireBody::of(Bytes::from_static(b"body"))).await.unwrap();
    assert_eq!(lake.index_requests("run", None).await.unwrap(), 1);
    assert_eq!(lake.index_requests("run", None).await.unwrap(), 0, "no row twice");
    let table = lake.system_table("requests").await.unwrap();
    let rows = crate::scan::read_columns(table.store(), &table.files()[0].path, &["url"]).await.unwrap();
    let urls: &StringArray = rows[0].column(0).as_string();
    assert!((4_000..=4_096).contains(&urls.value(0).len()), "{}", urls.value(0).len());
}

#[tokio::test]
async fn the_newest_response_of_a_network_is_known() {
    let (_folder, lake) = new_lake().await;
    let network = response("run-1", "a", 1).slice.network.clone();
    let last = async |until: i64| lake.last_received(&network, moment(until)).await.unwrap();
    assert_eq!(last(9).await, None);
    for (run, secs) in [("run-1", 1), ("run-2", 5), ("run-3", 3)] {
        keep(&lake, run, "a", secs, b"x").await;
        lake.index_requests(run, None).await.unwrap();
    }
    assert_eq!(last(9).await, Some(moment(5)));
    assert_eq!(last(5).await, Some(moment(5)));
    assert_eq!(last(4).await, Some(moment(3)), "up to a moment");
    assert_eq!(last(0).await, None);
    assert_eq!(lake.last_received("other", moment(9)).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_crash_of_the_machine_left_empty_counts_as_not_kept() {
    let (folder, lake) = new_lake().await;
    for _ in 0..2 {
        let object = keep(&lake, "run", "a", 1, b"body").await;
        assert_eq!(lake.raw_body(object.body).await.unwrap(), "body");
        assert_eq!(lake.run_responses("run").await.unwrap().len(), 1);
        for path in [body_path(&object), "raw/envelopes/run/a-1.json".to_owned()] {
            std::fs::write(folder.path().join("lake").join(path), "").unwrap();
        }
    }
    lake.put_slice_read(&marker("uk", 1, None)).await.unwrap();
    for entry in std::fs::read_dir(folder.path().join("lake/raw/slices/run")).unwrap() {
        std::fs::write(entry.unwrap().path(), "").unwrap();
    }
    assert!(lake.slice_reads("run").await.unwrap().is_empty());
}

fn marker(account: &str, secs: i64, error: Option<&str>) -> SliceRead {
    let Slice { settings, window, timezone, .. } = response("run", "a", 1).slice.clone();
    let names = ["awin-test", account, "transactions"].map(str::to_owned);
    let [network, account, stream] = names;
    SliceRead {
        run_id: "run".to_owned(),
        slice: Slice { network, account, stream, settings, window, timezone, axis: Axis::Modified, cursor: None },
        sent_at: None,
        read_at: moment(secs),
        requests: 2,
        records: 7,
        rejects: Some(1),
        complete: error.is_none(),
        error: error.map(str::to_owned),
        error_kind: error.map(|_| ErrorKind::Credentials),
        connector_digest: Digest::of(b"connector"),
    }
}

#[tokio::test]
async fn of_a_slice_read_twice_the_later_marker_counts() {
    let (_folder, lake) = new_lake().await;
    assert!(lake.slice_reads("run").await.unwrap().is_empty());
    let (failed, other, whole) = (marker("uk", 1, Some("refused")), marker("de", 2, None), marker("uk", 3, None));
    for read in [&failed, &whole, &other, &failed] {
        lake.put_slice_read(read).await.unwrap();
    }
    assert_eq!(lake.slice_reads("run").await.unwrap(), [other, whole]);
    assert!(lake.slice_reads("another").await.unwrap().is_empty());
}

#[tokio::test]
async fn connectors_are_kept_by_digest() {
    let (_folder, lake) = new_lake().await;
    let component = Bytes::from_static(b"\0asm");
    assert!(lake.put_connector(component.clone()).await.unwrap());
    assert!(!lake.put_connector(component.clone()).await.unwrap(), "it is kept already");
    let digest = sluice_model::Digest::of(&component);
    assert_eq!(lake.connector(digest).await.unwrap(), Bytes::from_static(b"\0asm"));
}
