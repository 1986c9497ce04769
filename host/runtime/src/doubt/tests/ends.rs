//! Texts that may be cut or torn.

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
