//! What accounts take that aren't read: of tens of thousands, most at any moment.
//!
//! This binary counts what is allocated and not given back, and holds a single test: others beside it would be counted too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use sluice_fetch::{Access, Account, FetchOptions, Fetcher};
use sluice_model::{Rate, Secret};
use sluice_tests::CountingAllocator;

/// Accounts that are opened before anything is counted: as many as there are searches for secrets that are kept, and more.
const WARM_UP: usize = 300;
/// Accounts that are opened and counted.
const ACCOUNTS: usize = 1_500;
/// What one may take that is opened: its settings and secrets, several times.
const OPEN_BYTES: isize = 6 << 10;
/// What one may leave behind: its sign-ins, its tokens, and its share of a rate.
const LEFT_BYTES: isize = 4 << 10;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

fn access(number: usize) -> Access {
    let secret = |slot: &str| (slot.to_owned(), Secret::new(format!("{slot}-{number:08}-{}", "k3y/+".repeat(6))));
    Access {
        network: "shop".into(),
        account: format!("account-{number}"),
        manifest_hosts: vec!["api.example.com".into()],
        operator_hosts: vec!["api.example.com".into()],
        base_url: None,
        settings: vec![("publisher_id".into(), number.to_string())],
        secrets: BTreeMap::from([secret("token"), secret("password")]),
        secret_reloader: None,
        tokens: Vec::new(),
        rate: Rate { requests: 20, per_secs: 60, concurrency: 4 },
    }
}

fn of_each(before: isize) -> isize {
    (ALLOCATOR.allocated() - before) / ACCOUNTS.cast_signed()
}

#[test]
fn accounts_that_are_not_read_take_little() {
    let fetcher = Fetcher::new(FetchOptions::default()).unwrap();
    let text = |number: usize| format!("token-{number:08}-{}", "k3y/+".repeat(6));
    let open = |number: usize| {
        let account = fetcher.account(access(number)).unwrap();
        assert_eq!(account.redact(&text(number)), "***", "each has searched for its secrets");
        account
    };
    (0..WARM_UP).for_each(|number| drop(open(number)));
    let before = ALLOCATOR.allocated();
    let open: Vec<Account> = (WARM_UP..WARM_UP + ACCOUNTS).map(open).collect();
    let opened = of_each(before);
    assert_eq!(open[0].redact(&text(WARM_UP)), "***", "the first is asked again");
    assert_ne!(open[0].redact(&text(WARM_UP + 1)), "***", "it masks its own");
    drop(open);
    let left = of_each(before);
    println!("bytes of an account: {opened} open, {left} afterwards");
    assert!(opened <= OPEN_BYTES, "an open account takes {opened} bytes");
    assert!(left <= LEFT_BYTES, "an account leaves {left} bytes behind");
}
