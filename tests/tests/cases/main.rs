//! Situations from public bug reports (`tests/cases/README.md`): a network that is played from a script, the commands of
//! an operator, and the right result.
//!
//! A case that is still wrong is ignored with what is missing; its right result isn't weakened for that.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agree;
mod columns;
mod course;
mod cut;
mod earlier;
mod held;
mod identity;
mod kinds;
mod network;
mod oddities;
mod pages;
mod parts;
mod special;
mod vector;
mod wide;
mod widths;

use std::collections::BTreeSet;

/// A test for each case: played from its `course.json`, or by a function of its own.
macro_rules! cases {
    ($($(#[$ignored:meta])? $name:ident: $folder:literal $(by $play:path)?;)*) => {
        $(
            #[test]
            $(#[$ignored])?
            fn $name() {
                cases!(@play $folder $(, $play)?);
            }
        )*

        const FOLDERS: &[&str] = &[$($folder),*];
    };
    (@play $folder:literal) => { course::play($folder) };
    (@play $folder:literal, $play:path) => { $play($folder) };
}

cases! {
    an_amount_that_moved_is_noticed: "01-awin-amount-moved";
    a_torn_row_is_a_reject_and_changes_nothing: "03-shareasale-torn-line";
    a_clock_that_was_ahead_freezes_nothing: "05-clock-ahead-once";
    a_renamed_account_counts_once: "06-account-renamed";
    realtime_and_batch_rows_of_one_sale_are_reported: "08-rakuten-realtime-and-batch";
    pages_smaller_than_asked_are_followed: "09-rakuten-smaller-pages";
    a_header_with_spaces_is_read: "10-shareasale-header-with-spaces";
    a_publisher_that_is_configured_twice_is_refused: "11-same-publisher-twice";
    a_sale_that_is_booked_late_is_asked_for: "13-awin-booked-late" by special::booked_late;
    an_id_with_two_contents_is_a_reject: "14-awin-one-id-two-rows";
    a_currency_in_lower_case_is_that_currency: "17-rakuten-lower-case-currency";
    a_campaign_by_reference_is_that_campaign: "19-tradetracker-multi-reference";
    a_date_of_zeros_is_none: "20-tradetracker-zero-date";
    half_an_emoji_costs_nothing_else: "21-awin-half-an-emoji";
    one_byte_of_another_charset_costs_nothing_else: "23-shareasale-one-latin-1-byte";
    rows_that_others_deleted_stay_deleted: "25-lake-rows-deleted-by-others" by special::deleted_by_others;
    a_token_that_is_no_number_costs_nothing_else: "26-awin-nan-token";
    behind_a_pooler_runs_take_turns: "29-postgres-behind-pgbouncer" by special::behind_a_pooler;
    odd_characters_cost_nothing: "30-tradetracker-odd-characters";
    every_form_of_retry_after_is_kept_to: "33-retry-after-forms" by special::retry_after;
    older_words_and_forms_are_read: "35-cj-legacy-words";
    a_day_of_the_month_or_of_the_week_starts_a_run: "39-cron-day-or-weekday" by special::day_or_weekday;
    a_rejected_doubt_never_reaches_the_tables: "50-awin-doubt-rejected";
    an_accepted_doubt_is_committed_and_then_usual: "51-awin-doubt-accepted";
    amounts_in_another_unit_are_doubted: "52-awin-cents";
    an_empty_answer_is_doubted_until_another_agrees: "53-awin-empty-window";
    status_words_that_turn_unknown_are_doubted: "54-awin-unknown-status";
    fewer_records_than_the_network_states_are_doubted: "55-cj-fewer-than-stated";
    days_are_those_of_the_accounts_zone: "56-awin-account-zone";
    what_is_no_currency_is_kept_and_not_summed: "57-awin-points";
    a_record_that_a_later_page_lost_is_noticed: "58-cj-page-loses-a-record";
    rows_of_one_order_and_article_are_suspected_of_being_one: "59-rakuten-same-sku";
}

#[test]
fn every_case_has_a_test() {
    let folders: BTreeSet<String> = std::fs::read_dir(course::cases_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("script.json").is_file())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(folders, FOLDERS.iter().map(|folder| (*folder).to_owned()).collect());
}

/// All Rust files of a folder, as one text.
fn sources(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_kind_of_fault_has_tests_that_there_are() {
    let mut code = String::new();
    for folder in ["host", "sdk", "connectors", "tests"] {
        sources(&sluice_tests::repository().join(folder), &mut code);
    }
    let page = std::fs::read_to_string(course::cases_dir().join("README.md")).unwrap();
    let (_, table) = page.split_once("| kind | tests |").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 16);
    for (at, row) in rows.iter().enumerate() {
        let (kind, tests) = row.trim_matches('|').split_once('|').unwrap();
        assert!(kind.trim().starts_with(&format!("{}. ", at + 1)), "{kind}");
        let names = tests.split('`').skip(1).step_by(2).map(|name| name.rsplit(' ').next().unwrap());
        for name in names.filter(|name| !name.ends_with(".rs")) {
            assert!(code.contains(&format!("fn {name}(")), "{kind}: no test {name}");
        }
        let cases =
            tests.split([',', ';', ' ']).filter(|word| word.len() == 2 && word.bytes().all(|b| b.is_ascii_digit()));
        for case in cases {
            assert!(FOLDERS.iter().any(|folder| folder.starts_with(case)), "{kind}: no case {case}");
        }
    }
}
