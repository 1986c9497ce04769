//! Responses to the guest, judgements and refusals from it.

use bytes::Bytes;
use sluice_model::{Judgement, Refusal, RefusalKind, Response, Verdict};
use wasmtime::component::Resource;

use super::request::requests;
use super::wire::responses as wire;
use crate::call::shown;
use crate::columns::Checked;
use crate::limits::Limits;
use crate::state::Body;

/// A response as the guest takes it.
pub(super) struct LoweredResponse<'a> {
    response: &'a Response,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> LoweredResponse<'a> {
    pub(super) fn new(response: &'a Response) -> Self {
        let headers = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self { response, headers }
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.response.body
    }

    pub(super) fn wire(&self, body: Resource<Body>) -> wire::Response<'_> {
        wire::Response {
            status: self.response.status,
            headers: &self.headers,
            records: self.response.records,
            problem: self.response.problem.as_deref(),
            body,
        }
    }
}

pub(super) fn judgement(wire: wire::Judgement, limits: &Limits) -> Checked<Judgement> {
    let verdict = match wire.verdict {
        wire::Verdict::Done => Verdict::Done,
        wire::Verdict::More(more) => Verdict::More(requests(more, limits)?),
        wire::Verdict::Wait(wait) => Verdict::Wait { secs: wait.secs, then: requests(wait.then, limits)? },
        wire::Verdict::Retry(retry) => Verdict::Retry { reason: shown(&retry.reason), after_secs: retry.after_secs },
        wire::Verdict::Renew(source) => Verdict::Renew(source),
        wire::Verdict::Split => Verdict::Split,
        wire::Verdict::Refused(words) => Verdict::Refused(refusal(words)),
    };
    Ok(Judgement { verdict, cursor: wire.cursor })
}

pub(super) fn refusal(wire: wire::Refusal) -> Refusal {
    let kind = match wire.kind {
        wire::RefusalKind::Credentials => RefusalKind::Credentials,
        wire::RefusalKind::Settings => RefusalKind::Settings,
        wire::RefusalKind::Request => RefusalKind::Request,
        wire::RefusalKind::Response => RefusalKind::Response,
    };
    Refusal { kind, text: shown(&wire.text) }
}
