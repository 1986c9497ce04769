//! What bodies without records mean: mostly errors, which many networks send with status 200.

use crate::{Judgement, RefusalKind, Response, done, refused, renew, retry, split};

/// What an error asks for.
#[derive(Clone, Copy, Debug)]
pub enum Then<'a> {
    /// Nothing: it is how the network writes an empty list.
    Done,
    /// The same request again.
    Retry,
    /// A new sign-in by this token source, and the same request again.
    Renew(&'a str),
    /// Halves of the window.
    Split,
    /// Nothing more: the network won't answer.
    Refuse(RefusalKind),
}

/// An error that a body has at a place, as many networks send it with status 200.
#[derive(Clone, Copy, Debug)]
pub struct BodyError<'a> {
    /// A JSON Pointer, or local XML names joined by `.`.
    pub at: &'a str,
    /// What stands there in case of an error, in any case of letters; none: whatever isn't empty, `0` or `false`.
    pub is: &'a [&'a str],
    /// Where its words stand, for the reason; the first that is there.
    pub words: &'a [&'a str],
    /// What it asks for.
    pub then: Then<'a>,
}

/// The judgement of an error that a body without records has; none if it has none of these.
///
/// A body with records isn't searched: it may be long, and each place takes a pass.
pub fn error_in(response: &Response, errors: &[BodyError]) -> Option<Judgement> {
    if response.records.is_some_and(|records| records > 0) && response.problem.is_none() {
        return None;
    }
    errors.iter().find_map(|error| {
        let found = response.value_at(error.at)?;
        let found = found.trim();
        let is_error = match error.is {
            [] => !matches!(found, "" | "0" | "false" | "[]" | "{}" | "null"),
            words => words.iter().any(|word| found.eq_ignore_ascii_case(word)),
        };
        let words =
            || error.words.iter().find_map(|place| response.value_at(place)).unwrap_or_else(|| found.to_owned());
        is_error.then(|| judged(error.then, &words()))
    })
}

/// The judgement of an error that is a text: the first of these that a body's head holds. The head is read once, by
/// [`Response::head`].
pub fn error_in_text(head: &[u8], errors: &[(&str, Then)]) -> Option<Judgement> {
    let text = String::from_utf8_lossy(head);
    let words: String = text.chars().take(200).collect();
    errors.iter().find(|(part, _)| text.contains(part)).map(|(_, then)| judged(*then, words.trim()))
}

fn judged(then: Then, words: &str) -> Judgement {
    let words = format!("the network reports: {}", words.chars().take(500).collect::<String>());
    match then {
        Then::Done => done(),
        Then::Retry => retry(words),
        Then::Renew(token) => renew(token),
        Then::Split => split(),
        Then::Refuse(kind) => refused(kind, words),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Body, Verdict};

    const ERRORS: &[BodyError] = &[
        BodyError { at: "/status", is: &["error", "-1"], words: &["/message"], then: Then::Retry },
        BodyError { at: "/login", is: &[], words: &[], then: Then::Renew("access") },
    ];

    fn judged(records: Option<u32>, problem: Option<&str>, values: &[(&str, &str)]) -> Option<Verdict> {
        let look_up = |place: &str| values.iter().find(|(key, _)| *key == place).map(|(_, value)| (*value).to_owned());
        let mut response = Response::new(200, &[], records, Body::Bytes(b"", &look_up));
        response.problem = problem;
        error_in(&response, ERRORS).map(|judgement| judgement.verdict)
    }

    #[test]
    fn an_error_beside_no_records_is_found_with_its_words() {
        for records in [None, Some(0)] {
            let Some(Verdict::Retry(retry)) = judged(records, None, &[("/status", "ERROR"), ("/message", "try later")])
            else {
                panic!("an error is asked again")
            };
            assert_eq!(retry.reason, "the network reports: try later");
        }
        assert!(
            matches!(judged(None, None, &[("/login", "https://x")]), Some(Verdict::Renew(name)) if name == "access")
        );
        assert!(judged(Some(0), None, &[("/status", "ok"), ("/login", "false")]).is_none());
    }

    #[test]
    fn records_are_no_error_unless_the_body_has_a_problem() {
        assert!(judged(Some(1), None, &[("/status", "error")]).is_none());
        assert!(judged(Some(1), Some("cut short"), &[("/status", "error")]).is_some());
    }

    #[test]
    fn a_text_is_searched_for_words() {
        let refuse = Then::Refuse(RefusalKind::Credentials);
        let errors = [("bad credentials", refuse), ("busy", Then::Split), ("no rows", Then::Done)];
        let verdict = |body: &str| error_in_text(body.as_bytes(), &errors).map(|judgement| judgement.verdict);
        assert!(matches!(verdict("bad credentials !"), Some(Verdict::Refused(refusal))
            if matches!(refusal.kind, RefusalKind::Credentials)));
        assert!(matches!(verdict("too busy"), Some(Verdict::Split)));
        assert!(matches!(verdict("no rows today"), Some(Verdict::Done)));
        assert!(verdict("id|date\n").is_none());
    }
}
