use sluice_model::{NoteCount, NoteKind, Notes, RecordSet};

use super::*;

fn report() -> RunReport {
    let report = RunReport::new("run".to_owned(), "awin".to_owned(), Verb::Run, DateTime::UNIX_EPOCH);
    RunReport { connector_version: "1.2.0".to_owned(), finished_at: DateTime::UNIX_EPOCH, ..report }
}

fn failed(errors: &[(&str, SliceError)]) -> RunReport {
    let mut report = report();
    report.add(errors.iter().map(|(slice, error)| (Some((*slice).to_owned()), error)));
    report
}

#[test]
fn alike_failures_are_one_with_a_count() {
    let down = || SliceError::new(ErrorKind::Network, "cannot connect to `api.awin.com`");
    let refused = SliceError::new(ErrorKind::Credentials, "the network forbids it (403)");
    let report = failed(&[("b", down()), ("c", refused), ("a", down())]);
    let failure = |kind, message: &str, slice: &str, count| RunFailure {
        kind,
        message: message.to_owned(),
        slice: Some(slice.to_owned()),
        count,
        raw_object: None,
        command: None,
    };
    assert_eq!(
        report.failures,
        [
            failure(ErrorKind::Credentials, "the network forbids it (403)", "c", 1),
            failure(ErrorKind::Network, "cannot connect to `api.awin.com`", "a", 2),
        ]
    );
    assert_eq!((report.status, report.error_kind, report.failures_total), ("failed", Some(ErrorKind::Credentials), 3));
    assert_eq!(
        report.errors,
        [
            "c: the network forbids it (403)",
            "a: cannot connect to `api.awin.com`",
            "b: cannot connect to `api.awin.com`"
        ]
    );
}

#[test]
fn of_many_failures_the_first_are_named_and_all_are_counted() {
    let many: Vec<SliceError> =
        (0..1_000).map(|n| SliceError::new(ErrorKind::Network, format!("answer {:03}", 999 - n % 500))).collect();
    let mut report = report();
    report.add(many.iter().map(|error| (Some("a".to_owned()), error)));
    assert_eq!((report.failures.len(), report.errors.len(), report.failures_total), (20, 20, 1_000));
    assert_eq!((report.failures[19].message.as_str(), report.failures[19].count), ("answer 519", 2));
    assert_eq!((report.errors[0].as_str(), report.errors[19].as_str()), ("a: answer 500", "a: answer 509"));
}

#[test]
fn a_run_says_why_there_are_new_versions() {
    let mut report = RunReport { slices: 1, requests: 2, records: 1_234, ..report() };
    assert_eq!(
        report.line(),
        "awin: 1 slice, 2 requests, 1,234 records; 0 new versions, 0 native rows, 0 rejects in 0.0 s by connector 1.2.0"
    );
    let causes = Causes { first_seen: 3, changed: 1, vanished: 2, ..Causes::default() };
    let counts = Counts { new_versions: 6, native_written: 4, rejects: 1, older: 5, causes, ..Counts::default() };
    report.count(counts);
    report.finished_at = report.started_at;
    assert!(serde_json::to_value(&report).unwrap()["versions"].get("amounts_nulled").is_none(), "it wasn't counted");
    report.versions.money = Some(MoneyChanges { amounts_nulled: 1, ..MoneyChanges::default() });
    assert_eq!(serde_json::to_value(&report).unwrap()["versions"]["sub_ids_lost"], 0);
    assert_eq!(
        report.line(),
        "awin: 1 slice, 2 requests, 1,234 records; 6 new versions (3 first seen, 1 changed, 2 vanished), 1 commission \
         became null, 4 native rows, 1 reject, 5 older than the tables and skipped in 0.0 s by connector \
         1.2.0"
    );
}

#[test]
fn a_run_says_which_values_were_odd() {
    let count = |kind, values| NoteCount { kind, values, record: Some(0), path: "name".to_owned() };
    let counts = vec![count(NoteKind::Charset, 2), count(NoteKind::NotANumber, 1)];
    let notes = Notes::new(counts, Vec::new(), RecordSet::default());
    let mut counts = Counts::default();
    counts.notes.note(&notes);
    let mut report = report();
    assert_eq!(report.notes_line(), None);
    report.count(counts);
    assert_eq!(
        report.notes_line().as_deref(),
        Some("2 values with bytes of another character set, 1 value with `NaN` or `Infinity`, read as null")
    );
    assert_eq!(serde_json::to_value(&report).unwrap()["decode_notes"]["not-a-number"], 1);
}

#[test]
fn only_settings_end_with_their_own_exit_code() {
    let settings = || SliceError::new(ErrorKind::Settings, "`sid` is missing");
    let unreadable = SliceError { exit: Exit::Settings, ..SliceError::new(ErrorKind::Credentials, "AWIN isn't set") };
    let refused = SliceError::new(ErrorKind::Credentials, "refused");
    assert_eq!(failed(&[("a", settings())]).exit, Exit::Settings);
    assert_eq!(failed(&[("a", settings()), ("b", unreadable)]).exit, Exit::Settings);
    assert_eq!(failed(&[("a", settings()), ("b", refused)]).exit, Exit::Failed);
}

#[test]
fn a_run_with_nothing_but_doubts_is_doubtful() {
    let doubt = || SliceError::new(ErrorKind::Doubt, "`commissionAmount.amount` is gone from all records");
    let report = failed(&[("b", doubt()), ("a", doubt())]);
    assert_eq!((report.status, report.exit, report.error_kind), ("doubtful", Exit::Doubtful, Some(ErrorKind::Doubt)));
    assert_eq!((report.failures.len(), report.failures[0].count), (1, 2));
    let line = RunReport { slices_doubtful: 2, ..failed(&[("a", doubt())]) }.line();
    assert!(line.contains(", 2 doubtful slices in "), "{line}");
    let command = format!("sluice doubts show {}", doubt_id_of("run", "a"));
    assert_eq!(report.failures[0].command.as_deref(), Some(command.as_str()));
    let down = || SliceError::new(ErrorKind::Network, "down");
    for both in [[("a", doubt()), ("b", down())], [("b", down()), ("a", doubt())]] {
        let report = failed(&both);
        assert_eq!((report.status, report.exit), ("failed", Exit::Failed));
    }
}

#[test]
fn a_later_failure_joins_the_others() {
    let mut report = failed(&[("a", SliceError::new(ErrorKind::Network, "down"))]);
    report.fail(SliceError::new(ErrorKind::Host, "disk full"));
    report.fail(SliceError::new(ErrorKind::Network, "down"));
    assert_eq!((report.error_kind, report.errors[0].as_str()), (Some(ErrorKind::Host), "disk full"));
    assert_eq!((report.errors.len(), report.failures.len(), report.failures_total), (3, 2, 3));
    let many: Vec<_> = (0..50).map(|n| ("a", SliceError::new(ErrorKind::Format, format!("page {n}")))).collect();
    let report = failed(&many);
    assert_eq!((report.errors.len(), report.failures.len(), report.failures_total), (20, 20, 50));
}
