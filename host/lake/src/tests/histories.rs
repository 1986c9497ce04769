use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// One look: what the network says of some transactions, and whether a new ledger begins with it.
type Look = (bool, Vec<(u8, i64, i64)>);

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let sale = (0..6_u8, prop::sample::select(vec![0_i64, 3, 35, 70]), 0..3_i64);
    prop::collection::vec((any::<bool>(), prop::collection::vec(sale, 0..6)), 1..8)
}

/// What versions a table that is re-read as a whole at each look would have.
fn model(looks: &[Look]) -> Vec<String> {
    let mut latest: HashMap<u8, (i64, i64, i32)> = HashMap::new();
    let mut rows = Vec::new();
    for (_, sales) in looks {
        let mut last: HashMap<u8, (i64, i64)> = HashMap::new();
        last.extend(sales.iter().map(|(id, day, commission)| (*id, (*day, *commission))));
        for (id, (day, commission)) in last {
            let version = match latest.get(&id) {
                Some((known_day, known_commission, _)) if (*known_day, *known_commission) == (day, commission) => {
                    continue;
                }
                Some((.., version)) => version + 1,
                None => 1,
            };
            latest.insert(id, (day, commission, version));
            rows.push(format!(
                "{id} {version} {} 0.00000{commission}",
                moment(day * 86_400).format("%Y-%m-%dT%H:%M:%SZ")
            ));
        }
    }
    rows.sort();
    rows
}

async fn store(looks: &[Look]) -> (Vec<String>, Vec<String>) {
    let (_folder, lake) = new_lake().await;
    for _ in 0..2 {
        // The second time, everything is built again from raw, and must add nothing.
        let mut ledger = lake.ledger("run");
        for (secs, (fresh, sales)) in (1..).zip(looks) {
            let sales: Vec<Sale> =
                sales.iter().map(|(id, day, commission)| sale(&id.to_string(), *day, *commission)).collect();
            let origin = response("run", &format!("r{secs}"), secs);
            ledger.add(origin, &layout(&["id"]), &connector(), mapped(&sales)).await.unwrap();
            if *fresh {
                ledger.commit().await.unwrap();
                ledger = lake.ledger("run");
            }
        }
        ledger.commit().await.unwrap();
    }
    let columns = ["transaction_id", "version", "transacted_at", "commission_amount"];
    let versions = values(&lake, "unified", "transaction_versions", &columns).await;
    let homes = values(&lake, "unified", "transaction_versions", &["transaction_id", "month"]).await;
    (versions, homes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn versions_are_those_of_a_naive_model(looks in looks()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (versions, mut homes) = runtime.block_on(store(&looks));
        prop_assert_eq!(versions, model(&looks));
        homes.dedup();
        let mut ids: Vec<&str> = homes.iter().filter_map(|home| home.split(' ').next()).collect();
        let all = ids.len();
        ids.dedup();
        prop_assert_eq!(ids.len(), all, "a transaction lives in one month");
    }
}
