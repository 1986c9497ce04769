//! Raw that is older than it is kept.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use sluice_model::{SliceRead, Step};

use super::*;
use crate::{RawFilter, RawRetired, WireBody};

const KEEP: TimeDelta = TimeDelta::days(30);

fn answer(run: &str, request: &str, body: &'static str) -> RawObject {
    let object = response(run, request, 1);
    RawObject { body: Digest::of(body.as_bytes()), body_bytes: body.len() as u64, ..(*object).clone() }
}

async fn keep(lake: &Lake, run: &str, request: &str, body: &'static str) -> Digest {
    let object = answer(run, request, body);
    lake.put_raw(&object, &WireBody::of(Bytes::from(body))).await.unwrap();
    object.body
}

fn marker(run: &str) -> SliceRead {
    let slice = response(run, "a", 1).slice.clone();
    SliceRead {
        run_id: run.to_owned(),
        slice,
        sent_at: None,
        read_at: moment(2),
        requests: 1,
        records: 1,
        rejects: None,
        complete: true,
        error: None,
        error_kind: None,
        connector_digest: Digest::of(b"connector"),
    }
}

/// All files in a folder, at any depth.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn raw(lake: &Lake, folder: &str) -> PathBuf {
    lake.url().to_file_path().unwrap().join("raw").join(folder)
}

fn age(lake: &Lake, folder: &str, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for file in files(&raw(lake, folder)) {
        std::fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
    }
}

async fn retire(lake: &Lake) -> RawRetired {
    lake.retire_raw(KEEP, false, Utc::now()).await.unwrap()
}

async fn requests(lake: &Lake) -> Vec<String> {
    let objects: Vec<RawObject> = lake.raw_objects(&RawFilter::default()).await.unwrap().try_collect().await.unwrap();
    let mut requests: Vec<String> = objects.into_iter().map(|object| object.request_id).collect();
    requests.sort();
    requests
}

/// An old run of two responses, whose first body a new run got again.
async fn old_and_new(lake: &Lake) -> [Digest; 2] {
    let shared = keep(lake, "old", "a", "shared").await;
    let alone = keep(lake, "old", "b", "alone").await;
    lake.put_slice_read(&marker("old")).await.unwrap();
    lake.index_requests("old", None).await.unwrap();
    age(lake, "", 40);
    keep(lake, "new", "c", "shared").await;
    lake.put_slice_read(&marker("new")).await.unwrap();
    [shared, alone]
}

#[tokio::test]
async fn an_old_run_goes_and_a_body_that_a_new_one_shares_stays() {
    let (_folder, lake) = new_lake().await;
    let [shared, alone] = old_and_new(&lake).await;
    let dry = lake.retire_raw(KEEP, true, Utc::now()).await.unwrap();
    assert_eq!(requests(&lake).await, ["a", "b", "c"], "a dry run changes nothing");
    let done = retire(&lake).await;
    let expected = RawRetired { retired_runs: 1, retired_responses: 2, set_aside_bodies: 1, ..RawRetired::default() };
    assert_eq!((dry, done), (expected, expected));
    assert_eq!(requests(&lake).await, ["c"]);
    assert!(lake.slice_reads("old").await.unwrap().is_empty());
    assert_eq!(lake.slice_reads("new").await.unwrap().len(), 1);
    let gone = lake.raw_gone(&RawFilter::default()).await.unwrap();
    assert_eq!((gone.responses, gone.until), (2, Some(moment(1))));
    assert_eq!(lake.raw_lacks().await.unwrap().responses, 2);
    // What is set aside can still be read for a day.
    assert_eq!(retire(&lake).await, RawRetired::default());
    assert_eq!(lake.raw_body(alone).await.unwrap(), "alone");
    age(&lake, "aside", 2);
    let swept = retire(&lake).await;
    assert_eq!((swept.deleted_bodies, swept.restored_bodies), (1, 0));
    assert!(lake.raw_body(alone).await.unwrap_err().is_missing());
    assert_eq!(lake.raw_body(shared).await.unwrap(), "shared");
    assert_eq!(files(&raw(&lake, "bodies")).len(), 1);
}

static FOUND: Barrier = Barrier::new(2);
static RETIRED: Barrier = Barrier::new(2);

/// Holds a writer between its look at the body and its envelope.
fn hold(step: Step) {
    if step == Step::BodyKept {
        FOUND.wait();
        RETIRED.wait();
    }
}

#[tokio::test]
async fn a_body_that_a_writer_found_just_before_it_was_moved_comes_back() {
    let (_folder, lake) = new_lake().await;
    let body = keep(&lake, "old", "a", "shared").await;
    age(&lake, "", 40);
    let held = lake.clone().watched(hold);
    let writer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(keep(&held, "new", "b", "shared"))
    });
    FOUND.wait();
    assert_eq!(retire(&lake).await.set_aside_bodies, 1, "no envelope names it");
    RETIRED.wait();
    writer.join().unwrap();
    assert_eq!(requests(&lake).await, ["b"]);
    assert_eq!(lake.raw_body(body).await.unwrap(), "shared");
    age(&lake, "aside", 2);
    assert_eq!(retire(&lake).await, RawRetired { restored_bodies: 1, ..RawRetired::default() });
    assert!(files(&raw(&lake, "aside")).is_empty());
    assert_eq!(lake.raw_body(body).await.unwrap(), "shared");
    // And it is as young as its return.
    assert_eq!(retire(&lake).await, RawRetired::default());
}

#[tokio::test]
async fn what_an_upkeep_that_died_had_noted_is_gone_and_deleted_by_the_next() {
    let (_folder, lake) = new_lake().await;
    old_and_new(&lake).await;
    let of_old = |folder: &str| files(&raw(&lake, &format!("{folder}/old")));
    let left: Vec<(PathBuf, Vec<u8>)> = of_old("envelopes")
        .into_iter()
        .chain(of_old("slices"))
        .map(|f| (f.clone(), std::fs::read(f).unwrap()))
        .collect();
    assert_eq!(left.len(), 3);
    retire(&lake).await;
    for (file, bytes) in &left {
        std::fs::write(file, bytes).unwrap();
    }
    assert_eq!(requests(&lake).await, ["c"]);
    assert!(lake.slice_reads("old").await.unwrap().is_empty(), "a window without its answers would look empty");
    age(&lake, "envelopes/old", 40);
    age(&lake, "slices/old", 40);
    let again = retire(&lake).await;
    assert_eq!((again.retired_runs, again.retired_responses), (0, 0), "they were counted");
    assert!(of_old("envelopes").is_empty() && of_old("slices").is_empty());
    assert_eq!(lake.raw_lacks().await.unwrap().responses, 2);
}

#[tokio::test]
async fn a_run_that_goes_on_after_its_responses_went_keeps_the_new_ones() {
    let (_folder, lake) = new_lake().await;
    keep(&lake, "old", "a", "one").await;
    age(&lake, "", 40);
    assert_eq!(retire(&lake).await.retired_runs, 1);
    let later = RawObject { received_at: Utc::now(), ..answer("old", "b", "two") };
    lake.put_raw(&later, &WireBody::of(Bytes::from("two"))).await.unwrap();
    assert_eq!(requests(&lake).await, ["b"]);
    lake.index_requests("old", None).await.unwrap();
    assert_eq!(requests(&lake).await, ["b"]);
    assert_eq!(lake.raw_gone(&RawFilter::default()).await.unwrap().responses, 0);
    assert_eq!(retire(&lake).await.retired_runs, 0);
}

#[tokio::test]
async fn an_envelope_that_cannot_be_read_keeps_every_body() {
    let (_folder, lake) = new_lake().await;
    old_and_new(&lake).await;
    let envelope = files(&raw(&lake, "envelopes/new")).remove(0);
    std::fs::write(envelope, "{").unwrap();
    lake.retire_raw(KEEP, false, Utc::now()).await.unwrap_err();
    assert_eq!(files(&raw(&lake, "bodies")).len(), 2);
}

#[tokio::test]
async fn what_somebody_else_deleted_is_missed() {
    let (_folder, lake) = new_lake().await;
    old_and_new(&lake).await;
    assert!(lake.raw_lacks().await.unwrap().is_nothing());
    std::fs::remove_file(files(&raw(&lake, "envelopes/old")).remove(0)).unwrap();
    assert_eq!(lake.raw_lacks().await.unwrap().responses, 1);
}
