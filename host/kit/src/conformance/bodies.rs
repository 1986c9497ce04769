//! Bodies that are no answers: empty, `null`, cut, HTML, of another status.

use bytes::Bytes;
use sluice_engine::Connector;
use sluice_model::Verdict;

use crate::answer::Sample;
use crate::report::{Finding, has_records};

const HTML: &str =
    "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>\n";

/// Checks a body of each kind in place of the first answer with records of each stream.
pub(super) fn check(connector: &Connector, samples: &[Sample]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stream in &connector.manifest().streams {
        let of_stream = |sample: &&Sample| sample.slice.stream == stream.name && sample.answer.about.status == 200;
        let Some(sample) = samples.iter().filter(of_stream).find(|sample| has_records(connector, sample)) else {
            continue;
        };
        let whole = &sample.answer.body;
        let kinds = [
            ("an empty body", 200, Bytes::new()),
            ("`null`", 200, Bytes::from_static(b"null")),
            ("an HTML page", 200, Bytes::from_static(HTML.as_bytes())),
            ("an HTML page with 503", 503, Bytes::from_static(HTML.as_bytes())),
            ("the first half of a body", 200, whole.slice(..whole.len() / 2)),
            ("a body without its last byte that counts", 200, cut(whole)),
            ("a body with 500", 500, whole.clone()),
        ];
        // What a fixture has as an answer is one.
        let is_known = |body: &Bytes| samples.iter().any(|known| known.answer.body.trim_ascii() == body.trim_ascii());
        for (kind, status, body) in kinds.into_iter().filter(|(_, status, body)| *status != 200 || !is_known(body)) {
            let mut changed = sample.clone();
            (changed.answer.about.status, changed.answer.body) = (status, body);
            let wrong = check_body(connector, &changed);
            findings.extend(wrong.map(|text| Finding::new("bodies", stream.name.clone(), format!("{kind}: {text}"))));
        }
    }
    findings
}

/// Without white space at the end and the last byte before it.
fn cut(whole: &Bytes) -> Bytes {
    let length = whole.trim_ascii_end().len();
    whole.slice(..length.saturating_sub(1))
}

fn check_body(connector: &Connector, sample: &Sample) -> Option<String> {
    let found = sample.decode(connector);
    let judged = connector.follow(&sample.slice, &sample.request, &found.response);
    let verdict = match judged {
        Ok(judgement) => judgement.verdict,
        Err(sluice_engine::Error::Refused { .. }) => return None,
        Err(error) => return Some(error.to_string()),
    };
    let is_answer = matches!(verdict, Verdict::Done | Verdict::More(_));
    if is_answer && found.response.status >= 500 {
        return Some("it is taken for an answer".to_owned());
    }
    if let (true, Some(problem)) = (is_answer && found.decoded.is_none(), &found.response.problem) {
        return Some(format!("it is taken for an answer, though the layout doesn't fit: {problem}"));
    }
    let decoded = found.decoded.filter(|_| is_answer)?;
    match connector.map(&sample.slice, &sample.request, &found.response, decoded) {
        Ok(_) | Err(sluice_engine::Error::Refused { .. }) => None,
        Err(error) => Some(error.to_string()),
    }
}
