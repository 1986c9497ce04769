//! Cursors of rules, and selections as they are kept.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::slice_done::SliceReport;

fn slice(window: &str) -> Slice {
    Slice {
        network: "awin".to_owned(),
        account: "uk".to_owned(),
        stream: "transactions".to_owned(),
        settings: Vec::new(),
        window: window.parse().unwrap(),
        timezone: chrono_tz::UTC,
        axis: Axis::Modified,
        cursor: None,
    }
}

fn done(days: &str, rule: Option<&str>, cursor: Option<&str>, error: Option<&str>) -> SliceDone {
    let (since, until) = days.split_once('-').unwrap();
    let slice = slice(&format!("2026-01-{since}T00:00:00Z/2026-01-{until}T00:00:00Z"));
    let cursor = cursor.map(str::to_owned);
    let errors = error.iter().map(|error| SliceError::new(ErrorKind::Network, *error)).collect();
    let report = SliceReport { cursor, errors, ..SliceReport::default() };
    SliceDone { slice, rule: rule.map(str::to_owned), read_at: Utc::now(), report }
}

#[test]
fn the_latest_window_gives_the_cursor_of_a_rule() {
    let hourly = Some("3600s/3d/modified");
    let run = [
        done("02-03", hourly, Some("late"), None),
        done("01-02", hourly, Some("early"), None),
        done("03-04", hourly, None, None),
    ];
    assert_eq!(cursors(&run), [(&run[0].slice, "3600s/3d/modified", "late")]);
}

#[test]
fn a_failed_slice_keeps_the_cursor_of_its_rule_and_of_no_other() {
    let run = [
        done("01-02", Some("a"), None, Some("the network was down")),
        done("02-03", Some("a"), Some("after the failed one"), None),
        done("01-03", Some("b"), Some("all is read"), None),
    ];
    assert_eq!(cursors(&run), [(&run[2].slice, "b", "all is read")]);
}

#[test]
fn a_window_that_was_asked_for_by_name_gives_no_cursor() {
    assert!(cursors(&[done("01-02", None, Some("mine"), None)]).is_empty());
}

#[test]
fn a_planned_slice_is_a_slice_with_its_rule() {
    let slice = slice("2026-01-01T00:00:00Z/2026-01-02T00:00:00Z");
    for rule in [None, Some("3600s/3d/modified".to_owned())] {
        let planned = PlannedSlice { slice: slice.clone(), rule };
        let json = serde_json::to_string(&planned).unwrap();
        assert_eq!(serde_json::from_str::<PlannedSlice>(&json).unwrap(), planned);
        assert_eq!(serde_json::from_str::<Slice>(&json).unwrap(), slice, "earlier versions read it too");
    }
}

#[test]
fn places_of_rules_are_forgotten() {
    let selection = |rules: &str| serde_json::from_str::<Selection>(&format!(r#"{{"rules": {rules}}}"#)).unwrap().rules;
    assert_eq!(selection("[0, 1]"), Some(Vec::new()));
    assert_eq!(selection(r#"["3600s/3d/modified"]"#), Some(vec!["3600s/3d/modified".to_owned()]));
    assert_eq!(selection("null"), None);
}
