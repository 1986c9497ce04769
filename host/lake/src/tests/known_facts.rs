//! What the tables hold of the facts of an answer.

use sluice_model::Fact;

use super::facts::{only, payments};
use super::replay::{candidate, go_through_mapped};
use super::*;
use crate::{FactWorth, KnownFact, Prepared};

fn paid(request: &str, secs: i64, rows: &[(&str, i64)]) -> Prepared {
    let mapped = only(Fact::Payments, payments(rows));
    Prepared::of(response("run", request, secs), &layout(&["id"]), connector(), mapped).unwrap()
}

async fn commit(lake: &Lake, request: &str, secs: i64, rows: &[(&str, i64)]) {
    let mut ledger = lake.ledger();
    let mapped = only(Fact::Payments, payments(rows));
    ledger.add(response("run", request, secs), &layout(&["id"]), &connector(), mapped).await.unwrap();
    ledger.commit().await.unwrap();
}

fn worth(amount: i128) -> FactWorth {
    FactWorth { amount: Some(amount), currency: None }
}

#[tokio::test]
async fn the_latest_version_of_each_is_known_but_for_what_was_taken_back() {
    let (_folder, lake) = new_lake().await;
    let answer = paid("z", 90, &[("1", 500), ("2", 7), ("3", 9)]);
    let nothing = lake.known_facts("awin-test").await.unwrap();
    assert_eq!(nothing.of(&answer, Fact::Payments).await.unwrap(), []);
    commit(&lake, "a", 10, &[("1", 4), ("2", 7)]).await;
    commit(&lake, "b", 20, &[("1", 5)]).await;
    let of = async |network: &str| {
        let known = lake.known_facts(network).await.unwrap();
        let mut found = known.of(&answer, Fact::Payments).await.unwrap();
        found.sort_by_key(|known| known.now.amount);
        found
    };
    let one = KnownFact { before: worth(5), now: worth(500) };
    let two = KnownFact { before: worth(7), now: worth(7) };
    assert_eq!(of("awin-test").await, [two, one.clone()]);
    assert_eq!(of("another").await, []);
    let replay = lake.replay(candidate(), Some("replay"), None).await.unwrap();
    let gone = only(Fact::Payments, payments(&[("1", 4)]));
    go_through_mapped(replay, "a", 10, &gone).await.commit().await.unwrap();
    assert_eq!(of("awin-test").await, [one], "the second one was taken back");
}
