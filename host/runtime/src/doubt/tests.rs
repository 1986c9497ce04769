//! Each rule, and that what is usual raises none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use sluice_model::{BodyFindings, Format, Kinds, Layout, Mapped, NativeBatch, NativeColumn};

use super::*;

mod accepted;
mod ends;
mod facts;
mod few;
mod mixed;

/// A transaction, as far as the rules look at it; amounts in millionths.
#[derive(Clone, Debug)]
struct Row {
    commission: Option<i128>,
    sale: Option<i128>,
    currency: Option<&'static str>,
    status: &'static str,
    day: i32,
    sub_id: Option<&'static str>,
}

fn row() -> Row {
    Row {
        commission: Some(8_000_000),
        sale: Some(100_000_000),
        currency: Some("GBP"),
        status: "pending",
        day: 20_000,
        sub_id: Some("m-1"),
    }
}

fn rows(count: usize) -> Vec<Row> {
    vec![row(); count]
}

fn layout() -> Layout {
    Layout {
        format: Format::Json(String::new()),
        pins: Vec::new(),
        inputs: ["id", "commission.amount", "commission.currency", "sale.amount", "subId"].map(str::to_owned).to_vec(),
        key: vec!["id".to_owned()],
    }
}

fn native(path: &str, values: Vec<Option<String>>, kinds: Kinds) -> NativeColumn {
    let kinds = if values.iter().all(Option::is_none) { Kinds::default() } else { kinds };
    NativeColumn { path: path.to_owned(), text: StringArray::from(values), kinds }
}

/// Records of these rows, with a commission under the path `commission`.
fn mapped_at(rows: &[Row], commission: &str) -> Mapped {
    let text = |of: fn(&Row) -> Option<String>| rows.iter().map(of).collect::<Vec<_>>();
    let decimal = |of: fn(&Row) -> Option<i128>| -> ArrayRef {
        let amounts: Decimal128Array = rows.iter().map(of).collect();
        Arc::new(amounts.with_precision_and_scale(18, 6).unwrap())
    };
    let columns = vec![
        native("id", text(|_| Some("1".to_owned())), Kinds::INTEGER),
        native(commission, text(|row| row.commission.map(|amount| amount.to_string())), Kinds::FLOAT),
        native("commission.currency", text(|row| row.currency.map(str::to_owned)), Kinds::TEXT),
        native("sale.amount", text(|row| row.sale.map(|amount| amount.to_string())), Kinds::FLOAT),
        native("subId", text(|row| row.sub_id.map(str::to_owned)), Kinds::TEXT),
    ];
    let currencies: ArrayRef = Arc::new(rows.iter().map(|row| row.currency).collect::<StringArray>());
    let statuses: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.status)).collect::<StringArray>());
    let days: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.day)).collect::<Date32Array>());
    let given: Vec<(&str, ArrayRef)> = vec![
        ("commission_amount", decimal(|row| row.commission)),
        ("commission_currency", currencies.clone()),
        ("sale_amount", decimal(|row| row.sale)),
        ("sale_currency", currencies),
        ("validation_status", statuses.clone()),
        ("status_raw", statuses),
        ("transaction_day", days),
    ];
    let fields: Vec<Field> =
        given.iter().map(|(name, array)| Field::new(*name, DataType::clone(array.data_type()), true)).collect();
    let arrays = given.into_iter().map(|(_, array)| array).collect();
    let transactions = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let native = NativeBatch { rows: rows.len(), columns };
    Mapped {
        native,
        transactions: Some(transactions),
        facts: std::collections::BTreeMap::new(),
        rejects: Vec::new(),
        unknown_statuses: Vec::new(),
        total: None,
        findings: BodyFindings::default(),
    }
}

fn seen(rows: &[Row]) -> Observation {
    Observation::of(&mapped_at(rows, "commission.amount"))
}

fn profile(responses: usize, rows: &[Row]) -> Profile {
    let mut profile = Profile::default();
    (0..responses).for_each(|_| profile.add(&seen(rows)));
    profile
}

fn judged(profile: &Profile, seen: &Observation) -> Vec<(DoubtKind, Option<String>)> {
    let doubts = judge_response(profile, &layout(), &DoubtSettings::default(), seen);
    doubts.into_iter().map(|doubt| (doubt.kind, doubt.field)).collect()
}

fn about(kind: DoubtKind, field: &str) -> Vec<(DoubtKind, Option<String>)> {
    vec![(kind, Some(field.to_owned()))]
}

#[test]
fn the_same_again_raises_no_doubt() {
    for (earlier, now) in [(0, 10), (1, 1), (5, 5), (10, 1_000), (1_000, 1)] {
        assert_eq!(judged(&profile(1, &rows(earlier)), &seen(&rows(now))), []);
    }
}

#[test]
fn an_amount_that_moved_is_doubted_with_its_old_and_new_name() {
    let mut moved = mapped_at(&rows(5), "commission");
    moved.transactions = mapped_at(&vec![Row { commission: None, ..row() }; 5], "commission").transactions;
    let doubts = judge_response(&profile(1, &rows(5)), &layout(), &DoubtSettings::default(), &Observation::of(&moved));
    assert_eq!(doubts.len(), 1);
    assert_eq!(doubts[0].field.as_deref(), Some("commission.amount"));
    assert_eq!(
        doubts[0].reason,
        "`commission.amount` is gone from all 5 records; it was filled in 5 of 5 before; `commission` is new; \
         commission_amount would be null"
    );
}

#[test]
fn four_records_tell_nothing_alone_but_with_others_they_do() {
    let without = |count| vec![Row { commission: None, ..row() }; count];
    let usual = profile(1, &rows(4));
    assert_eq!(judged(&usual, &seen(&without(4))), [], "too few");
    let few = |seen: &Observation| judge_few(&usual, &layout(), &DoubtSettings::default(), seen);
    assert!(few(&seen(&without(4))) && !few(&seen(&rows(4))));
    assert!(few(&seen(&vec![Row { sale: None, ..row() }; 4])) && few(&seen(&vec![Row { sub_id: None, ..row() }; 4])));
    let (mut together, mut all) = (usual.clone(), seen(&without(4)));
    together.merge(&usual);
    all.merge(&seen(&without(4)));
    assert_eq!(judged(&together, &all), about(DoubtKind::Fill, "commission.amount"));
}

#[test]
fn a_field_that_was_sometimes_empty_is_never_doubted() {
    let mut mixed = rows(95);
    mixed.extend(vec![Row { commission: None, sub_id: None, ..row() }; 5]);
    let nothing = vec![Row { commission: None, sub_id: None, ..row() }; 100];
    assert_eq!(judged(&profile(50, &mixed), &seen(&nothing)), []);
}

#[test]
fn a_field_without_money_needs_more_evidence() {
    let without = vec![Row { sub_id: None, ..row() }; 50];
    assert_eq!(judged(&profile(1, &rows(10)), &seen(&without)), [], "10 records had it");
    assert_eq!(judged(&profile(2, &rows(10)), &seen(&without)), about(DoubtKind::Fill, "subId"), "the field is gone");
    // A member that is there and null is no change of format: it takes hundreds of records.
    let mut null = mapped_at(&without, "commission.amount");
    null.native.columns.iter_mut().filter(|c| c.path == "subId").for_each(|c| c.kinds.insert(Kinds::NULL));
    let null = Observation::of(&null);
    assert_eq!(judged(&profile(2, &rows(10)), &null), []);
    assert_eq!(judged(&profile(60, &rows(10)), &null), about(DoubtKind::Fill, "subId"));
}

#[test]
fn a_currency_that_the_account_never_had_is_doubted_if_most_are_in_it() {
    let dollars = vec![Row { currency: Some("USD"), ..row() }; 5];
    let usual = profile(1, &rows(10));
    assert_eq!(judged(&usual, &seen(&dollars)), about(DoubtKind::Currency, "commission_currency"));
    let with_pounds = |count| seen(&[dollars.clone(), rows(count)].concat());
    assert_eq!(judged(&usual, &with_pounds(1)), about(DoubtKind::Currency, "commission_currency"));
    assert_eq!(judged(&usual, &with_pounds(5)), [], "half of them are known");
    assert_eq!(judged(&profile(1, &rows(5)), &with_pounds(1)), [], "little is known");
    assert_eq!(judged(&profile(1, &rows(5)), &with_pounds(0)), about(DoubtKind::Currency, "commission_currency"));
    let lower = vec![Row { currency: Some("gbp"), ..row() }; 5];
    assert_eq!(judged(&usual, &seen(&lower)), [], "case is no difference");
    let mut other = usual.clone();
    other.add(&seen(&dollars));
    assert_eq!(judged(&other, &seen(&dollars)), [], "it was accepted");
}

#[test]
fn cents_for_euros_are_doubted() {
    let cents = |times: i128| {
        let times = move |amount: Option<i128>| amount.map(|amount| amount * times / 100);
        vec![Row { commission: times(row().commission), sale: times(row().sale), ..row() }; 10]
    };
    let usual = profile(1, &rows(10));
    let kinds = |seen: &Observation| judged(&usual, seen).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    assert_eq!(kinds(&seen(&cents(10_000))), [DoubtKind::Unit, DoubtKind::Unit]);
    assert_eq!(kinds(&seen(&cents(1))), [DoubtKind::Unit, DoubtKind::Unit]);
    assert_eq!(kinds(&seen(&cents(1_000))), [], "ten times as much may be");
}

#[test]
fn status_words_that_turn_unknown_are_doubted() {
    let unknown = vec![Row { status: "unknown", ..row() }; 5];
    assert_eq!(judged(&profile(1, &rows(10)), &seen(&unknown)), about(DoubtKind::Status, "validation_status"));
    assert_eq!(judged(&profile(2, &unknown), &seen(&unknown)), [], "it always was");
}

#[test]
fn a_field_of_another_type_is_doubted() {
    let mut text = mapped_at(&rows(10), "commission.amount");
    text.native.columns.iter_mut().filter(|c| c.path == "commission.amount").for_each(|c| c.kinds = Kinds::TEXT);
    let text = Observation::of(&text);
    assert_eq!(judged(&profile(5, &rows(10)), &text), about(DoubtKind::Type, "commission.amount"));
    assert_eq!(judged(&profile(1, &rows(10)), &text), [], "one response may be odd itself");
}

#[test]
fn an_input_that_no_record_has_is_named_once_with_what_there_is() {
    let mut spaced = mapped_at(&rows(5), "commission.amount");
    spaced.native.columns.iter_mut().filter(|c| c.path == "subId").for_each(|c| c.path = "Sub ID".to_owned());
    let mut profile = Profile::default();
    profile.add(&Observation::of(&spaced));
    assert_eq!(unknown_inputs(&profile, &layout()), ["subId"]);
    assert_eq!(
        unknown_input(&profile, &layout(), "subId"),
        "the connector reads `subId`, which none of 5 records has; they have `Sub ID`"
    );
    profile.note_reported("subId");
    assert!(unknown_inputs(&profile, &layout()).is_empty());
    let keyed = Layout { key: vec!["TransID".to_owned()], ..layout() };
    assert_eq!(unknown_inputs(&profile, &keyed), ["TransID"], "a key that is nowhere is always named");
    let optional = Layout { inputs: vec!["voucher_cod".to_owned()], key: Vec::new(), ..layout() };
    assert!(unknown_inputs(&profile, &optional).is_empty(), "many fields are optional");
    assert!(unseen_inputs(&profile, &optional).is_empty(), "five records may all lack it");
    (0..3).for_each(|_| profile.add(&Observation::of(&spaced)));
    assert!(unseen_inputs(&profile, &optional).is_empty(), "these may be the same five, read four times");
    (0..36).for_each(|_| profile.add(&Observation::of(&spaced)));
    let unseen = unseen_inputs(&profile, &optional);
    assert_eq!(unseen_text(&profile, &unseen), "none of 200 records has `voucher_cod`, which the connector reads too");
    spaced
        .native
        .columns
        .push(NativeColumn { kinds: Kinds::NULL, ..native("voucher_cod", vec![None; 5], Kinds::NULL) });
    profile.add(&Observation::of(&spaced));
    assert!(unseen_inputs(&profile, &optional).is_empty(), "it is there, as null");
}

#[test]
fn rules_can_be_switched_off() {
    let dollars = vec![Row { currency: Some("USD"), ..row() }; 5];
    let rules = DoubtSettings { currency: false, ..DoubtSettings::default() };
    assert_eq!(judge_response(&profile(1, &rows(10)), &layout(), &rules, &seen(&dollars)), []);
}

/// Weeks of days with so many rows each, as they were read day by day.
fn days(weeks: i32, count: usize) -> Profile {
    let mut profile = Profile::default();
    for day in 20_000..20_000 + 7 * weeks {
        let day_rows = vec![Row { day, ..row() }; count];
        profile.learn_days(&seen(&day_rows), &view(day, 1));
    }
    profile
}

fn view(day: i32, count: i64) -> SliceView {
    let since = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(day.into());
    let until = since + chrono::TimeDelta::days(count);
    SliceView {
        window: sluice_model::Window { since, until },
        timezone: chrono_tz::UTC,
        read_at: until + chrono::TimeDelta::days(3),
    }
}

fn day_doubt(profile: &Profile, day: i32, count: usize) -> Option<String> {
    let day_rows = vec![Row { day, ..row() }; count];
    let doubt = judge_days(profile, &DoubtSettings::default(), &seen(&day_rows), &view(day, 1));
    doubt.map(|doubt| doubt.reason)
}

#[test]
fn days_far_from_their_weekdays_are_doubted() {
    let known = days(5, 300);
    assert_eq!(day_doubt(&known, 20_035, 300), None);
    assert_eq!(day_doubt(&known, 20_035, 100), None, "a third of the usual may be");
    assert_eq!(day_doubt(&known, 20_035, 3_000), None, "and so may ten times as much");
    let few = day_doubt(&known, 20_035, 10).unwrap();
    assert_eq!(few, "Fri 2024-11-08: 10 transactions, where 5 days like it had at least 300");
    assert!(day_doubt(&known, 20_035, 7_000).unwrap().contains("at most 300"));
    assert!(day_doubt(&known, 20_010, 10).unwrap().contains("an earlier read had 300"));
    assert_eq!(day_doubt(&days(3, 300), 20_021, 10), None, "three weeks are no band");
    assert!(
        day_doubt(&days(5, 100), 20_035, 1).unwrap().contains("1 transaction, where 5 days like it had at least 100")
    );
    assert!(day_doubt(&days(5, 100), 20_010, 0).unwrap().contains("an earlier read had 100"));
    assert_eq!(day_doubt(&days(5, 100), 20_035, 5), None, "a twentieth may be");
    assert_eq!(day_doubt(&days(5, 79), 20_035, 0), None, "small numbers tell nothing");
    assert_eq!(day_doubt(&days(5, 3), 20_035, 120), None, "nor is a campaign a fault");
    assert_eq!(day_doubt(&known, 19_000, 10), None, "business grows");
}

#[test]
fn a_sum_far_beyond_its_weekdays_is_doubted_on_small_days_too() {
    let sum = |count: usize, largest: i128| {
        let mut day_rows = vec![Row { day: 20_035, ..row() }; count];
        day_rows[0].commission = Some(largest * 1_000_000);
        let rules = DoubtSettings::default();
        judge_days(&days(5, 20), &rules, &seen(&day_rows), &view(20_035, 1)).map(|doubt| doubt.reason)
    };
    assert!(sum(20, 160_000).unwrap().contains("commissions of 160152"), "1,000 times the 160 of its weekdays");
    assert_eq!(sum(20, 8_000), None, "one large order may be");
    assert_eq!(sum(3, 160_000), None, "three transactions tell nothing");
}

#[test]
fn a_profile_is_what_its_json_says() {
    let profile = days(3, 10);
    let mut full = profile.clone();
    full.add(&seen(&rows(10)));
    assert_eq!(Profile::from_json(&full.to_json()), full);
    assert_eq!(Profile::from_json("{\"paths\": 7}"), Profile::default(), "what can't be read tells nothing");
}

#[test]
fn an_accepted_doubt_is_forgotten() {
    let mut usual = profile(1, &rows(1_000));
    let without = seen(&vec![Row { commission: None, ..row() }; 10]);
    assert_eq!(judged(&usual, &without), about(DoubtKind::Fill, "commission.amount"));
    usual.forget(DoubtKind::Fill, Some("commission.amount"));
    usual.add(&without);
    assert_eq!(judged(&usual, &without), []);
}

#[test]
fn decay_keeps_what_was_always_so() {
    let (mut profile, more) = (Profile::default(), seen(&rows(1_000)));
    for _ in 0..60 {
        profile.add(&more);
        assert!(profile.records <= 20_000);
    }
    let without = vec![Row { commission: None, ..row() }; 5];
    assert_eq!(judged(&profile, &seen(&without)), about(DoubtKind::Fill, "commission.amount"));
}

#[test]
fn fields_of_several_answers_are_added_whatever_their_order() {
    let of = |paths: &[&str]| {
        let columns = paths.iter().map(|path| native(path, vec![Some("1".to_owned())], Kinds::INTEGER)).collect();
        Observation::of(&Mapped { native: NativeBatch { rows: 1, columns }, ..mapped_at(&rows(1), "commission") })
    };
    let mut all = Observation::default();
    for paths in [&["a", "b", "c"][..], &["a", "c"], &["d", "c", "a"], &["b"]] {
        all.merge(&of(paths));
    }
    assert_eq!(["a", "b", "c", "d"].map(|path| all.path(path).unwrap().filled), [3, 2, 3, 1]);
    let mut profile = Profile::default();
    profile.add(&of(&["a", "b"]));
    profile.add(&of(&["a", "c"]));
    let fill = |path: &str| (profile.paths[path].fill.of, profile.paths[path].fill.filled);
    assert_eq!(["a", "b", "c"].map(fill), [(2, 2), (2, 1), (2, 1)]);
}

#[test]
fn currencies_are_counted_in_whatever_order_they_come() {
    let of = |currency| Row { currency: Some(currency), ..row() };
    let seen = seen(&[of("EUR"), of("GBP"), of("eur"), of("EUR")]);
    let counts: Vec<_> = seen.currencies.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    assert_eq!(counts, [("EUR", 3), ("GBP", 1)]);
}

#[test]
fn new_names_in_each_answer_are_forgotten_beyond_a_number() {
    let mut profile = Profile::default();
    for answer in 0..5 {
        let column = |n: usize| native(&format!("orders.{answer}-{n}"), vec![Some("1".to_owned())], Kinds::INTEGER);
        let batch = NativeBatch { rows: 1, columns: (0..900).map(column).collect() };
        profile.add(&Observation::of(&Mapped { native: batch, ..mapped_at(&rows(1), "commission") }));
    }
    assert_eq!(profile.paths.len(), 2_000);
}
