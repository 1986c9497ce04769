//! What a connector makes of a case: its judgements and its rows.

use std::collections::VecDeque;

use serde_json::{Value, json};
use sluice_engine::{Connector, DecodedResponse};
use sluice_model::{Request, Slice, Verdict};

use crate::error::Error;
use crate::fixture::{Case, Fixtures, StoredAnswer};
use crate::rows::mapped_rows;

/// An answer of a fixture and the request that it answers.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The name of the case's folder.
    pub case: String,
    /// What is read.
    pub slice: Slice,
    /// As the connector made it, with secrets as references.
    pub request: Request,
    /// As the fixture's files have it.
    pub answer: StoredAnswer,
}

impl Sample {
    /// The answer as the host decodes it.
    pub(crate) fn decode(&self, connector: &Connector) -> DecodedResponse {
        let StoredAnswer { about, body } = &self.answer;
        let headers = about.headers.clone().into_iter().collect();
        connector.decode_response(&self.slice.stream, about.status, headers, body.clone())
    }

    /// The answer as the host takes it: that to a request without records isn't decoded.
    pub(crate) fn read(&self, connector: &Connector) -> DecodedResponse {
        if self.request.yields_records {
            return self.decode(connector);
        }
        let StoredAnswer { about, body } = &self.answer;
        let headers = about.headers.clone().into_iter().collect();
        DecodedResponse::without_records(about.status, headers, body.clone())
    }
}

/// The first requests of a slice, as `plan.json` has them.
pub fn plan(connector: &Connector, slice: &Slice) -> Value {
    match connector.plan(slice) {
        Ok(requests) => json!(requests),
        Err(error) => json!({"error": error.to_string()}),
    }
}

/// Plays a case: what `expected.json` has, and the answers with their requests.
///
/// # Errors
/// A fixture that isn't what it should be.
pub fn play(connector: &Connector, fixtures: &Fixtures, case: &Case) -> Result<(Value, Vec<Sample>), Error> {
    let slice = fixtures.slice_of(connector, case)?;
    let planned = match connector.plan(&slice) {
        Ok(planned) => planned,
        Err(error) => return Ok((json!({"plan": error.to_string()}), Vec::new())),
    };
    if case.is_chain {
        return Ok(play_chain(connector, &slice, planned, case));
    }
    let Some(answer) = case.answers.first() else { return Ok((Value::Null, Vec::new())) };
    let place = answer.about.plan_request;
    let mut request = planned.into_iter().nth(place).ok_or_else(|| {
        Error::fixture(&case.folder.join("response.json"), format!("`plan_request`: no request {place} is planned"))
    })?;
    // A response to a later request of the slice: a page, or what a lookup led to.
    if let Some(state) = &answer.about.state {
        request.state.clone_from(state);
        request.yields_records = true;
    }
    let sample = Sample { case: case.name(), slice, request, answer: answer.clone() };
    let (seen, _) = play_answer(connector, &sample, sample.decode(connector));
    Ok((seen, vec![sample]))
}

/// Plays answers one after the other, as a host sends the requests that they answer.
fn play_chain(connector: &Connector, slice: &Slice, planned: Vec<Request>, case: &Case) -> (Value, Vec<Sample>) {
    let mut waiting = VecDeque::from(planned);
    let (mut answers, mut samples) = (Vec::new(), Vec::new());
    for answer in &case.answers {
        let named = answer.about.request.as_deref();
        let place = waiting.iter().position(|request| named.is_none_or(|named| named == request.key));
        let Some(request) = place.and_then(|place| waiting.remove(place)) else {
            answers.push(json!({"request": named, "error": "no such request waits for an answer"}));
            continue;
        };
        let (case, slice) = (case.name(), slice.clone());
        let sample = Sample { case, slice, request, answer: answer.clone() };
        let (mut seen, verdict) = play_answer(connector, &sample, sample.read(connector));
        seen["request"] = sample.request.key.clone().into();
        answers.push(seen);
        match verdict {
            Some(Verdict::More(requests) | Verdict::Wait { then: requests, .. }) => waiting.extend(requests),
            Some(Verdict::Retry { .. } | Verdict::Renew(_)) => waiting.push_front(sample.request.clone()),
            Some(Verdict::Split) => waiting.clear(),
            Some(Verdict::Done | Verdict::Refused(_)) | None => {}
        }
        samples.push(sample);
    }
    let unanswered: Vec<String> = waiting.into_iter().map(|request| request.key).collect();
    (json!({"answers": answers, "unanswered": unanswered}), samples)
}

/// What the connector makes of one answer, and its verdict unless it fails.
pub(crate) fn play_answer(connector: &Connector, sample: &Sample, found: DecodedResponse) -> (Value, Option<Verdict>) {
    let Sample { slice, request, .. } = sample;
    let DecodedResponse { response, decoded, .. } = found;
    let (judgement, verdict) = match connector.follow(slice, request, &response) {
        Ok(judgement) => (format!("{:?}", judgement.verdict), Some(judgement.verdict)),
        Err(error) => (error.to_string(), None),
    };
    let mut seen = json!({"judgement": judgement, "records": response.records, "problem": response.problem});
    if let Some(decoded) = decoded {
        seen["mapped"] = match connector.map(slice, request, &response, decoded) {
            Ok(mapped) => mapped_rows(&mapped),
            Err(error) => json!(error.to_string()),
        };
    }
    (seen, verdict)
}
