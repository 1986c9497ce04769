//! Random histories, against a model that keeps everything in memory and looks at everything each time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::latest::assert_latest;
use super::*;

/// What a network may say of a transaction. Those with the higher ids are corrections of others.
#[derive(Clone, Debug)]
struct Said {
    id: u8,
    day: i64,
    commission: i64,
    order: bool,
}

/// A response: one of two windows, at a place in time, and all that it says.
#[derive(Clone, Debug)]
struct Look {
    /// Its time among the others.
    order: u32,
    second: bool,
    said: Vec<Said>,
    /// Whether the slice was read whole.
    whole: bool,
    rejected: bool,
    /// Whether it is taken twice.
    retried: bool,
    /// Whether a new run begins after it.
    last: bool,
    /// Whether its run, if it is the run's first, is broken off after it and gone on with.
    broken: bool,
}

const WINDOWS: [&str; 2] = ["2026-01-01T00:00:00Z/2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z/2026-04-01T00:00:00Z"];
const CORRECTIONS: u8 = 5;

fn look() -> impl Strategy<Value = Look> {
    let said = (0..7_u8, any::<bool>(), 0..3_i64, any::<bool>());
    let said = prop::collection::vec(said, 0..6);
    // Most are read in order, by runs of their own, and without rejects.
    let flags = [0.7, 0.1, 0.2, 0.2].map(prop::bool::weighted);
    let order = prop_oneof![4 => Just(None), 1 => any::<u32>().prop_map(Some)];
    (order, any::<bool>(), said, flags, prop::bool::weighted(0.6)).prop_map(
        |(order, second, said, [whole, rejected, retried, broken], last)| {
            let day = |late: bool| if second { 35 + 35 * i64::from(late) } else { 3 + 17 * i64::from(late) };
            let said = said
                .into_iter()
                .map(|(id, late, commission, order)| Said { id, day: day(late), commission, order })
                .collect();
            Look { order: order.unwrap_or(u32::MAX), second, said, whole, rejected, retried, last, broken }
        },
    )
}

/// The looks with their moments in seconds, by run. One that is out of order was received before those before it.
fn runs(looks: Vec<Look>) -> Vec<Vec<(i64, Look)>> {
    let mut times: Vec<i64> = Vec::new();
    for look in &looks {
        let newest = times.iter().max().copied().unwrap_or(0);
        // Between two that were received, or after all.
        times.push(if look.order == u32::MAX { newest + 1_000 } else { i64::from(look.order) % (newest + 1) });
    }
    // No two at once.
    for place in 0..times.len() {
        while times[..place].contains(&times[place]) {
            times[place] += 1;
        }
    }
    let mut runs = vec![Vec::new()];
    for (time, look) in times.into_iter().zip(looks) {
        let last = look.last;
        // Even seconds: between two, requests are sent and windows are read.
        runs.last_mut().unwrap().push((2 * time + 10, look));
        if last {
            runs.push(Vec::new());
        }
    }
    runs.retain(|run: &Vec<(i64, Look)>| !run.is_empty());
    runs
}

#[derive(Clone, Debug)]
struct Known {
    said: Said,
    version: u32,
    observed: i64,
    vanished: bool,
}

#[derive(Default)]
struct Model {
    latest: BTreeMap<u8, Known>,
    rows: Vec<String>,
}

impl Model {
    fn put(&mut self, said: &Said, observed: i64, vanished: bool, change: &str) {
        let version = self.latest.get(&said.id).map_or(0, |known| known.version) + 1;
        let effective = if vanished { 0 } else { said.commission };
        let order = if said.order { "o1" } else { "-" };
        self.rows.push(format!(
            "{} {version} {} 0.00000{} 0.00000{effective} {order} {change} {}",
            said.id,
            moment(said.day * 86_400).format("%Y-%m-%dT%H:%M:%SZ"),
            said.commission,
            moment(observed).format("%Y-%m-%dT%H:%M:%SZ"),
        ));
        self.latest.insert(said.id, Known { said: said.clone(), version, observed, vanished });
    }

    fn look(&mut self, time: i64, said: &[Said]) {
        // Of several rows of a transaction in one response the last counts.
        let last: BTreeMap<u8, &Said> = said.iter().map(|said| (said.id, said)).collect();
        for said in last.into_values() {
            let Some(known) = self.latest.get(&said.id) else {
                self.put(said, time, false, if said.id >= CORRECTIONS { "correction" } else { "first-seen" });
                continue;
            };
            let same = (known.said.day, known.said.commission) == (said.day, said.commission);
            let change = match (known.vanished, same, known.said.order, said.order) {
                _ if time <= known.observed => continue,
                (true, ..) => "reappeared",
                (_, true, before, now) if before == now => continue,
                (_, true, false, true) => "late-attribution",
                _ => "network-change",
            };
            self.put(said, time, false, change);
        }
    }

    /// One run: its looks in the order of their moments, then what is gone from the windows that it read whole.
    fn run(&mut self, looks: &[(i64, Look)]) {
        let had_rows = !self.rows.is_empty();
        let mut sorted: Vec<&(i64, Look)> = looks.iter().collect();
        sorted.sort_by_key(|(time, _)| *time);
        for (time, look) in sorted {
            self.look(*time, &look.said);
        }
        let seen: BTreeSet<u8> = looks.iter().flat_map(|(_, look)| &look.said).map(|said| said.id).collect();
        if !had_rows || seen.is_empty() {
            return;
        }
        for second in [false, true] {
            let of_window: Vec<&(i64, Look)> = looks.iter().filter(|(_, look)| look.second == second).collect();
            let whole = of_window.iter().any(|(_, look)| look.whole);
            if !whole || of_window.iter().any(|(_, look)| look.rejected) {
                continue;
            }
            let sent = of_window.iter().map(|(time, _)| time - 1).min().unwrap();
            let gone: Vec<Known> = self.latest.values().cloned().collect();
            for known in gone {
                let inside = (known.said.day >= 31) == second;
                if inside && !known.vanished && known.observed < sent && !seen.contains(&known.said.id) {
                    self.put(&known.said, read_at(looks), true, "vanished");
                }
            }
        }
    }
}

fn read_at(looks: &[(i64, Look)]) -> i64 {
    looks.iter().map(|(time, _)| time + 5).max().unwrap()
}

fn answer(run: &str, time: i64, look: &Look) -> (Arc<RawObject>, Mapped) {
    let mut origin = (*response(run, &format!("r{time}"), time)).clone();
    origin.slice.window = WINDOWS[usize::from(look.second)].parse().unwrap();
    let sales: Vec<Sale> = look.said.iter().map(|said| sale(&said.id.to_string(), said.day, said.commission)).collect();
    let mut mapped = mapped(&sales);
    let orders: StringArray = look.said.iter().map(|said| said.order.then_some("o1")).collect();
    let kinds: StringArray =
        look.said.iter().map(|said| Some(if said.id >= CORRECTIONS { "adjustment" } else { "sale" })).collect();
    let rows = with_column(&mapped.transactions.unwrap(), "order_id", Arc::new(orders));
    mapped.transactions = Some(with_column(&rows, "kind", Arc::new(kinds)));
    if look.rejected {
        mapped.rejects = vec![reject(99, "no id")];
    }
    (Arc::new(origin), mapped)
}

async fn store(lake: &Lake, run: &str, looks: &[(i64, Look)]) {
    // What is committed out of order counts in the order of commits, so only what came in order may be broken off.
    if looks[0].1.broken && looks.is_sorted_by_key(|(time, _)| *time) {
        let mut ledger = lake.ledger();
        let (origin, mapped) = answer(run, looks[0].0, &looks[0].1);
        ledger.add(origin, &layout(&["id"]), &connector(), mapped).await.unwrap();
        ledger.flush().await.unwrap();
    }
    let mut ledger = lake.ledger();
    let mut whole = BTreeMap::new();
    for (time, look) in looks {
        for _ in 0..1 + usize::from(look.retried) {
            let (origin, mapped) = answer(run, *time, look);
            if look.whole {
                whole.insert(look.second, origin.slice.clone());
            }
            ledger.add(origin, &layout(&["id"]), &connector(), mapped).await.unwrap();
        }
    }
    for slice in whole.values() {
        ledger.window_read(slice, moment(read_at(looks)));
    }
    ledger.commit().await.unwrap();
}

async fn versions(lake: &Lake) -> Vec<String> {
    let columns = [
        "transaction_id",
        "version",
        "transacted_at",
        "commission_amount",
        "commission_effective",
        "order_id",
        "change",
        "observed_at",
    ];
    values(lake, "unified", "transaction_versions", &columns).await
}

async fn check(runs: Vec<Vec<(i64, Look)>>) {
    let (_folder, lake) = new_lake().await;
    let mut model = Model::default();
    for (number, looks) in runs.iter().enumerate() {
        store(&lake, &format!("run-{number}"), looks).await;
        model.run(looks);
        let mut expected = model.rows.clone();
        expected.sort();
        assert_eq!(versions(&lake).await, expected, "after run {number}");
        assert_eq!(assert_latest(&lake).await, model.latest.len(), "after run {number}");
    }
    let mut homes = values(&lake, "unified", "transaction_versions", &["transaction_id", "month"]).await;
    homes.dedup();
    assert_eq!(homes.len(), model.latest.len(), "a transaction lives in one month");
    build_again(&lake, &runs, &model).await;
}

/// Building all of raw again adds nothing; what had come out of order is put right by it, once.
async fn build_again(lake: &Lake, runs: &[Vec<(i64, Look)>], model: &Model) {
    let in_order = runs.iter().flatten().map(|(time, _)| *time).is_sorted();
    for first in [true, false] {
        let mut ledger = lake.ledger();
        for (number, looks) in runs.iter().enumerate() {
            for (time, look) in looks {
                let (origin, mapped) = answer(&format!("run-{number}"), *time, look);
                ledger.add(origin, &layout(&["id"]), &connector(), mapped).await.unwrap();
            }
        }
        let new = ledger.commit().await.unwrap().new_versions;
        assert!(new == 0 || first && !in_order, "building again from raw adds {new} versions");
    }
    let mut newest: BTreeMap<u8, (i64, &Said)> = BTreeMap::new();
    for (time, look) in runs.iter().flatten() {
        for said in &look.said {
            let known = newest.entry(said.id).or_insert((*time, said));
            if *time >= known.0 {
                *known = (*time, said);
            }
        }
    }
    // Of those that vanished the network said nothing later.
    newest.retain(|id, (time, _)| !model.latest[id].vanished || *time > model.latest[id].observed);
    let mut expected: Vec<String> =
        newest.values().map(|(_, said)| format!("{} 0.00000{}", said.id, said.commission)).collect();
    expected.sort();
    let mut latest = values(lake, "unified", "transactions", &["transaction_id", "commission_amount", "change"]).await;
    latest.retain(|row| !row.ends_with("vanished"));
    let latest: Vec<&str> = latest.iter().filter_map(|row| row.rsplit_once(' ')).map(|(said, _)| said).collect();
    assert_eq!(latest, expected, "the latest state is what the network said last");
}

/// A few, for each writes many tables; `PROPTEST_CASES` asks for another number.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(12))
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn the_ledger_is_that_of_a_naive_model(looks in prop::collection::vec(look(), 1..10)) {
        tokio::runtime::Runtime::new().unwrap().block_on(check(runs(looks)));
    }
}
