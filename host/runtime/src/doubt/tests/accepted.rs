//! An acceptance makes usual what was accepted, and nothing else.

use sluice_model::{Axis, Slice};

use super::*;

fn accept_day(profile: &mut Profile, day: i32, count: usize) {
    let day_rows = vec![Row { day, ..row() }; count];
    profile.accept_days(&DoubtSettings::default(), &seen(&day_rows), &view(day, 1));
}

#[test]
fn an_accepted_day_is_usual_and_days_like_it_are_guarded() {
    let mut known = days(5, 300);
    accept_day(&mut known, 20_035, 10);
    assert_eq!(day_doubt(&known, 20_035, 10), None, "it is asked about once");
    assert!(day_doubt(&known, 20_035, 0).is_some() && day_doubt(&known, 20_042, 10).is_some());
    assert!(day_doubt(&known, 20_036, 10).is_some(), "another weekday");
    let kept = Profile::from_json(&known.to_json());
    assert_eq!(day_doubt(&kept, 20_035, 10), None);
    accept_day(&mut known, 20_042, 10);
    assert_eq!(day_doubt(&known, 20_049, 10), None, "two are how it is now");
}

#[test]
fn an_accepted_day_that_came_back_is_guarded_again() {
    let mut known = days(5, 300);
    accept_day(&mut known, 20_035, 0);
    assert_eq!(day_doubt(&known, 20_035, 0), None);
    known.learn_days(&seen(&vec![Row { day: 20_035, ..row() }; 300]), &view(20_035, 1));
    assert!(day_doubt(&known, 20_035, 0).unwrap().contains("an earlier read had 300"));
    accept_day(&mut known, 20_042, 0);
    assert!(day_doubt(&known, 20_049, 0).is_some(), "the first is none that was accepted any more");
}

/// Of a slice of which the most was handed on before the doubt arose, nothing is known of its days by what was held.
#[test]
fn an_accepted_part_makes_no_days_of_zero() {
    let mut known = days(5, 300);
    let slice = Slice {
        network: "awin".to_owned(),
        account: "uk".to_owned(),
        stream: "transactions".to_owned(),
        settings: Vec::new(),
        window: view(20_000, 28).window,
        timezone: chrono_tz::UTC,
        axis: Axis::Transaction,
        cursor: None,
    };
    known.accept_part(&DoubtSettings::default(), &slice, &seen(&[]));
    assert!(known.days.is_empty() && known.accepted_days.is_empty(), "they are learned anew");
}

#[test]
fn pages_may_repeat_once_a_doubt_about_a_page_is_accepted() {
    let mut profile = Profile::default();
    for (kind, field) in [("total", None), ("fill", Some("page"))] {
        profile.accept_pages(kind, field);
        assert!(!profile.accepts_pages(), "{kind} {field:?}");
    }
    profile.accept_pages("total", Some("page"));
    assert!(Profile::from_json(&profile.to_json()).accepts_pages());
}

#[test]
fn an_accepted_empty_window_leaves_what_is_known_of_others() {
    let now = view(20_100, 1).read_at;
    let (first, moved, other) = (view(20_000, 5).window, view(20_001, 5).window, view(20_010, 5).window);
    let mut profile = Profile::default();
    let by = WindowsBy::Axis(Axis::Modified);
    profile.set_window(by, first, 30);
    profile.set_window(by, other, 40);
    profile.accept_records(by, moved, 0);
    assert_eq!(emptied(&profile, by, first, now), None);
    assert_eq!(emptied(&profile, by, other, now), Some(Emptied::Window(40)));
    let all = WindowsBy::Axis(Axis::None);
    profile.set_window(all, first, 30);
    profile.accept_records(all, other, 0);
    assert_eq!(emptied(&profile, all, moved, now), None, "each read is of all there is");
}

#[test]
fn an_acceptance_ends_when_records_come() {
    let mut profile = Profile::default();
    profile.note_refilled("a");
    profile.note_refilled("a");
    assert!(profile.is_refilled("a") && !profile.is_refilled("b"));
    assert_eq!(profile.refilled.len(), 1);
    let answer = seen(&[Row { day: 20_001, ..row() }]);
    assert!(answer.has_days_of(view(20_001, 1).window, chrono_tz::UTC));
    assert!(!answer.has_days_of(view(20_000, 1).window, chrono_tz::UTC), "its end is none of its days");
    assert!(!answer.has_days_of(view(20_002, 1).window, chrono_tz::UTC));
}
