//! Texts that may be cut or torn.

use super::super::judge_window;
use super::*;

#[test]
fn a_text_without_its_last_line_end_is_doubted_where_it_always_had_one() {
    let ended = |body: &[u8], closed| {
        let mut ended = seen(&rows(5));
        let is_open = !body.ends_with(b"\n");
        ended.note_end(&BodyFindings { is_lines: true, is_open, ..BodyFindings::default() }, closed);
        ended
    };
    let lines = Layout { format: Format::Ndjson, ..layout() };
    let profile_of = |body: &[u8], responses| {
        let mut profile = Profile::default();
        (0..responses).for_each(|_| profile.add(&ended(body, false)));
        profile
    };
    let kinds = |profile: &Profile, layout: &Layout, seen: &Observation| {
        let doubts = judge_response(profile, layout, &DoubtSettings::default(), seen);
        doubts.into_iter().map(|doubt| doubt.kind).collect::<Vec<_>>()
    };
    let whole = profile_of(b"a\r\n", 3);
    assert_eq!(kinds(&whole, &lines, &ended(b"a", false)), [DoubtKind::Cut]);
    assert_eq!(kinds(&whole, &lines, &ended(b"a\n", true)), [DoubtKind::Cut], "the connection was closed");
    assert_eq!(kinds(&whole, &lines, &ended(b"a\n", false)), []);
    assert_eq!(kinds(&whole, &layout(), &ended(b"{}", true)), [], "JSON says itself where it ends");
    assert_eq!(kinds(&profile_of(b"a\n", 2), &lines, &ended(b"a", false)), [], "two responses tell nothing");
    assert_eq!(kinds(&profile_of(b"a", 9), &lines, &ended(b"a", true)), [DoubtKind::Cut]);
    assert_eq!(kinds(&profile_of(b"a", 9), &lines, &ended(b"a", false)), [], "it never had one");
    let mut cut = seen(&rows(5));
    cut.note_end(&BodyFindings { is_lines: true, is_open: true, is_torn: true, ..BodyFindings::default() }, false);
    assert_eq!(kinds(&Profile::default(), &lines, &cut), [DoubtKind::Cut], "half a row, whatever was before");
}

#[test]
fn a_response_that_looks_cut_is_suspected_unless_that_is_usual() {
    let lines = BodyFindings { is_lines: true, ..BodyFindings::default() };
    let open = BodyFindings { is_open: true, ..lines.clone() };
    let torn = BodyFindings { torn_rows: 2, ..lines.clone() };
    let cut = BodyFindings { is_torn: true, ..open.clone() };
    let suspected = |profile: &Profile, findings: &BodyFindings, closed, is_odd| {
        suspicion(profile, &DoubtSettings::default(), findings, closed, is_odd).is_some()
    };
    let after = |responses: usize, findings: &BodyFindings, closed| {
        let mut profile = Profile::default();
        (0..responses).for_each(|_| {
            let mut ended = seen(&rows(5));
            ended.note_end(findings, closed);
            profile.add(&ended);
        });
        profile
    };
    let new = Profile::default();
    assert!(suspected(&new, &open, false, false) && suspected(&new, &torn, false, false));
    assert!(!suspected(&new, &lines, false, true));
    assert!(suspected(&new, &lines, true, false), "nothing is known of how they end");
    assert!(!suspected(&after(1, &lines, true), &lines, true, false), "none has a length");
    assert!(suspected(&after(1, &lines, true), &lines, true, true), "no length, and not encoded as it states");
    assert!(suspected(&after(3, &lines, false), &lines, true, false), "a length is missing that was always there");
    assert!(
        !suspected(&after(1, &open, false), &open, false, false)
            && suspected(&after(1, &open, false), &cut, false, false)
    );
    assert!(!suspected(&after(1, &torn, false), &torn, false, false), "a torn row stays torn");
    let json = BodyFindings { is_lines: false, ..open };
    assert!(!suspected(&new, &json, true, true), "JSON says itself where it ends");
    let off = DoubtSettings { cut: false, ..DoubtSettings::default() };
    assert!(suspicion(&new, &off, &cut, true, true).is_none());
}

#[test]
fn transactions_of_other_days_than_the_window_are_doubted() {
    let doubt = |inside: usize, day: i32, outside: usize| {
        let mut found = vec![Row { day: 20_001, ..row() }; inside];
        found.extend(vec![Row { day, ..row() }; outside]);
        judge_window(
            &Profile::default(),
            &DoubtSettings::default(),
            &seen(&found),
            view(20_000, 3).window,
            chrono_tz::UTC,
        )
    };
    let doubted = doubt(2, 23_652, 3).unwrap();
    assert_eq!((doubted.kind, doubted.field.as_deref()), (DoubtKind::Window, Some("transacted_at")));
    assert!(doubted.reason.starts_with("3 of 5 transactions are not of the window "), "{}", doubted.reason);
    assert!(doubted.reason.contains(" as one of 2034-10-04. Where"), "{}", doubted.reason);
    assert!(doubt(0, 19_997, 3).is_some() && doubt(0, 20_006, 3).is_some());
    assert!(doubt(0, 19_998, 3).is_none() && doubt(0, 20_005, 3).is_none(), "zones and further days");
    assert!(doubt(3, 23_652, 3).is_none() && doubt(0, 23_652, 2).is_none());
}

/// A network that lists by another date is asked about once; one that writes another decade still is.
#[test]
fn accepted_dates_are_usual_from_then_on_and_no_others() {
    let (rules, window) = (DoubtSettings::default(), view(20_000, 3).window);
    let answer = |day: i32| seen(&vec![Row { day, ..row() }; 10]);
    let doubted =
        |profile: &Profile, day: i32| judge_window(profile, &rules, &answer(day), window, chrono_tz::UTC).is_some();
    let mut profile = Profile::default();
    profile.accept_dates(&rules, &answer(20_001), window, chrono_tz::UTC);
    assert_eq!(profile, Profile::default(), "nothing was doubted");
    assert!(doubted(&profile, 19_960));
    profile.accept_dates(&rules, &answer(19_960), window, chrono_tz::UTC);
    assert!(!doubted(&profile, 19_960) && !doubted(&profile, 19_920), "40 days before, and twice as many");
    assert!(doubted(&profile, 19_919) && doubted(&profile, 23_652));
    let known = Profile::from_json(&profile.to_json());
    assert!(!doubted(&known, 19_960) && doubted(&known, 23_652));
    profile.accept_dates(&rules, &answer(0), window, chrono_tz::UTC);
    assert!(doubted(&profile, 0) && doubted(&profile, 19_600), "1970 is no date that a network lists by");
}
