//! Several hosts that share a network: each writes the rows of its own accounts, all to the same tables. See
//! `docs/decisions/0025-work-on-many-hosts.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::latest::assert_latest;
use super::*;
use crate::{Committer, CommitterOptions, Counts, Error, Fence, Prepared};

const VERSIONS: &str = "transaction_versions";

/// Writes often, and forgets most keys in between.
fn small() -> CommitterOptions {
    CommitterOptions { flush_rows: 20, index_keys: 12, all_keys: 16, ..CommitterOptions::default() }
}

/// Has a run read sales of an account.
async fn read(
    committer: &Committer,
    fence: Option<Fence>,
    account: &str,
    secs: i64,
    sales: &[Sale],
) -> Result<Counts, Error> {
    let run = committer.run(fence);
    for (place, some) in sales.chunks(5).enumerate() {
        let secs = secs + i64::try_from(place).unwrap();
        let mut origin = (*response(&format!("run-{account}"), &format!("{account}-{secs}"), secs)).clone();
        origin.slice.account = account.to_owned();
        let prepared = Prepared::of(Arc::new(origin), &layout(&["id"]), connector(), mapped(some)).unwrap();
        run.add(prepared, Box::new(())).await?;
    }
    run.finish().await
}

/// Three hosts read the accounts of one network side by side, again and again, as dates move between months. The accounts
/// change hosts in each round, and one is read by two hosts at once, as after a lease that nobody knew to be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hosts_that_share_a_network_write_every_version_once() {
    let (_folder, lake) = new_lake().await;
    let url = lake.url().clone();
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(Lake::open_writable(url.as_str()).await.unwrap().committer(small()));
    }
    for round in 0..4_i64 {
        let reads = (0..7_usize).map(|number| {
            let account = format!("account-{}", number % 6);
            let committer = hosts[(number + number / 6 + usize::try_from(round).unwrap()) % 3].clone();
            let sales: Vec<Sale> =
                (0..12).map(|place| sale(&place.to_string(), (place * 9 + round * 17) % 90, round)).collect();
            tokio::spawn(async move { read(&committer, None, &account, 1 + round * 1_000, &sales).await.unwrap() })
        });
        let mut new = 0;
        for read in reads.collect::<Vec<_>>() {
            new += read.await.unwrap().new_versions;
        }
        assert_eq!(new, 6 * 12, "round {round}: each account's sales are new to one host");
    }
    let versions = values(&lake, "unified", VERSIONS, &["account", "transaction_id", "version"]).await;
    let distinct: BTreeSet<&String> = versions.iter().collect();
    assert_eq!((versions.len(), distinct.len()), (4 * 72, 4 * 72));
    let natives = values(&lake, "awin_test", "transactions", &["_account", "_key", "_content_hash"]).await;
    let distinct: BTreeSet<&String> = natives.iter().collect();
    assert_eq!(natives.len(), distinct.len(), "no native row comes twice");
    assert_eq!(assert_latest(&lake).await, 72);
}

pub(super) fn fence(resource: &str, epoch: i64, lapsed: &[(&str, i64)]) -> Option<Fence> {
    let lapsed: BTreeMap<String, i64> = lapsed.iter().map(|(name, epoch)| ((*name).to_owned(), *epoch)).collect();
    Some(Fence { resource: resource.to_owned(), epoch, lapsed: Arc::new(lapsed) })
}

#[tokio::test]
async fn who_takes_over_an_account_stops_the_late_host_of_it() {
    let (_folder, lake) = new_lake().await;
    let [late, heir] = [(), ()].map(|()| lake.committer(CommitterOptions::default()));
    read(&late, fence("process/1", 4, &[]), "uk", 1, &[sale("1", 0, 1)]).await.unwrap();
    read(&heir, fence("process/2", 9, &[("process/1", 5)]), "uk", 2, &[sale("1", 0, 2)]).await.unwrap();
    let refused = read(&late, fence("process/1", 4, &[]), "uk", 3, &[sale("1", 0, 3)]).await;
    assert!(matches!(refused, Err(Error::Fenced { .. } | Error::Shared(_))), "{refused:?}");
    // The lease has another holder since, whose rows are welcome.
    read(&late, fence("process/1", 5, &[]), "de", 4, &[sale("1", 0, 4)]).await.unwrap();
    // An epoch that a table has isn't made smaller by who knows less.
    read(&heir, fence("process/3", 2, &[("process/1", 3)]), "fr", 5, &[sale("1", 0, 5)]).await.unwrap();
    let mut versions = Table::open(&lake, "unified", VERSIONS).await.unwrap();
    assert_eq!(versions.epoch("process/1").await.unwrap(), Some(5));
    let rows = values(&lake, "unified", VERSIONS, &["account", "version"]).await;
    assert_eq!(rows, ["de 1", "fr 1", "uk 1", "uk 2"]);
}
