//! A loaded connector: the four functions of the contract, in the model's nouns.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono_tz::Tz;
use sluice_decode::{BodyLayout, DecodeError, Decoded, decode_body};
use sluice_model::{
    Digest, Fact, Format, Judgement, Manifest, Mapped, Reject, Request, Response, Slice, Stream, Verdict,
};

use crate::call::{Caller, shown};
use crate::columns::Checked;
use crate::contract::{Guest, wire};
use crate::engine::{Engine, Tally};
use crate::error::Error;
use crate::map_raw::TwiceCheck;
use crate::{check, facts, inputs, opaque, transactions, twice};

/// Most status words that one answer may call unknown.
const MAX_UNKNOWN: usize = 1_000;

/// A connector of one version. Cloning it shares it; it stays usable when its file is gone.
///
/// Its calls run on the caller's thread for up to [`crate::Limits::call_timeout`], so async code puts them into
/// `spawn_blocking`.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    engine: Engine,
    guest: Guest,
    manifest: Manifest,
    digest: Digest,
    component: Bytes,
    /// How many responses it was asked to map.
    maps: AtomicU64,
    /// Whether a call of it has wanted more memory than any call may have.
    is_large: AtomicBool,
    /// Where it was seen to give another answer for the same bytes. From then on it maps nothing.
    unsteady: OnceLock<String>,
    _tally: Tally,
}

/// What mapping takes beside the records: a request of a slice, and its response.
#[derive(Clone, Copy)]
pub(crate) struct Answered<'a> {
    pub(crate) slice: &'a Slice,
    pub(crate) request: &'a Request,
    pub(crate) response: &'a Response,
}

impl Connector {
    /// `code_bytes`: of the machine code that the guest was compiled to.
    pub(crate) fn new(engine: Engine, guest: Guest, manifest: Manifest, component: Bytes, code_bytes: usize) -> Self {
        let digest = Digest::of(&component);
        let (maps, is_large, unsteady) = (AtomicU64::new(0), AtomicBool::new(false), OnceLock::new());
        let _tally = engine.tally(code_bytes);
        Self(Arc::new(Inner { engine, guest, manifest, digest, component, maps, is_large, unsteady, _tally }))
    }

    /// Its address in memory, which is the same for all its clones.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// The bytes of its file, so that this version can be kept.
    pub fn component(&self) -> &Bytes {
        &self.0.component
    }

    /// Its manifest, checked.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The digest of its file.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Its version, as its manifest has it.
    pub fn version(&self) -> &str {
        &self.0.manifest.version
    }

    /// The version of its contract.
    pub fn contract(&self) -> &'static str {
        self.0.guest.contract().version()
    }

    /// The network that it serves.
    pub fn network(&self) -> &str {
        &self.0.manifest.network
    }

    /// The slice's first requests.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Trapped`], [`Error::Malformed`]; [`Error::UnknownStream`].
    pub fn plan(&self, slice: &Slice) -> Result<Vec<Request>, Error> {
        self.stream(&slice.stream)?;
        let caller = self.caller("plan");
        let requests = self.0.guest.plan(&caller, slice)?;
        self.check_requests(&caller, &requests)?;
        Ok(requests)
    }

    /// Every field of every record in a body, by the stream's layout, and what is odd about it. No guest is called; an
    /// `opaque` layout gives no records here. `headers`: of the response, names in lower case.
    ///
    /// # Errors
    /// Where and why the body doesn't fit the layout.
    pub fn decode(&self, stream: &str, headers: &[(String, String)], body: &[u8]) -> Result<Decoded, DecodeError> {
        let Some(stream) = self.manifest().stream(stream) else { return Ok(Decoded::default()) };
        let content_type = headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
        let limits = self.0.engine.limits();
        let layout = BodyLayout { deadline: limits.decoding_deadline(body.len()), ..BodyLayout::from(&stream.layout) };
        let decoded = decode_body(&layout.with_content_type(content_type.unwrap_or_default()), body)?;
        let (records, allowed) = (decoded.records(), limits.rows_per_answer);
        if records > allowed {
            // An error here is the network's; an error about what the guest makes of them would be the connector's.
            Err(DecodeError::TooManyRecords { records, allowed })
        } else {
            Ok(decoded)
        }
    }

    /// What to do after a response. Its `records` (torn rows included) and `problem` come from [`Connector::decode`]. A refusal is
    /// a verdict, by whichever of its two ways the guest gives it.
    ///
    /// # Errors
    /// [`Error::Trapped`], [`Error::Malformed`]; [`Error::UnknownStream`].
    pub fn follow(&self, slice: &Slice, request: &Request, response: &Response) -> Result<Judgement, Error> {
        self.stream(&slice.stream)?;
        let caller = self.caller("follow");
        let judgement = match self.0.guest.follow(&caller, slice, request, response) {
            // A refusal is one, whether it is a verdict or an error.
            Err(Error::Refused { refusal, .. }) => Judgement { verdict: Verdict::Refused(refusal), cursor: None },
            judged => judged?,
        };
        if let Verdict::More(requests) | Verdict::Wait { then: requests, .. } = &judgement.verdict {
            self.check_requests(&caller, requests)?;
        }
        check::judgement(&judgement, self.manifest()).map_err(|what| caller.malformed(what))?;
        Ok(judgement)
    }

    /// The response's records as unified transactions, as far as the stream has any. Torn rows are rejects. Hosts call
    /// [`Connector::map_raw`], which all ways of mapping share.
    ///
    /// The first response, and then one in [`crate::EngineOptions::check_every`], is mapped twice, each time in an instance
    /// of its own. A connector whose answers aren't the same, bit for bit, maps nothing any more.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Trapped`], [`Error::Malformed`], [`Error::Unsteady`]; [`Error::UnknownStream`].
    pub fn map(
        &self,
        slice: &Slice,
        request: &Request,
        response: &Response,
        decoded: Decoded,
    ) -> Result<Mapped, Error> {
        self.map_checked(Answered { slice, request, response }, decoded, TwiceCheck::Sampled)
    }

    /// [`Connector::map`], where responses may all be mapped twice.
    pub(crate) fn map_checked(
        &self,
        answered: Answered<'_>,
        decoded: Decoded,
        check: TwiceCheck,
    ) -> Result<Mapped, Error> {
        if check == TwiceCheck::Sampled {
            if let Some(what) = self.0.unsteady.get() {
                return Err(self.unsteady(what.clone()));
            }
            let count = self.0.maps.fetch_add(1, Ordering::Relaxed);
            if !self.0.engine.is_checked(count) {
                return self.map_once(answered, decoded);
            }
        }
        let first = self.map_once(answered, decoded.clone())?;
        let second = self.map_once(answered, decoded)?;
        match twice::difference(&first, &second) {
            None => Ok(first),
            Some(what) => Err(self.unsteady(self.0.unsteady.get_or_init(|| shown(&what)).clone())),
        }
    }

    fn unsteady(&self, what: String) -> Error {
        let (connector, version) = (self.network().to_owned(), self.version().to_owned());
        Error::Unsteady { connector, version, what }
    }

    fn map_once(&self, answered: Answered<'_>, decoded: Decoded) -> Result<Mapped, Error> {
        let Answered { slice, request, response } = answered;
        let stream = self.stream(&slice.stream)?;
        let caller = self.caller("map-response");
        let inputs = inputs::inputs(&stream.layout.inputs, &decoded.batch);
        let answer = self.0.guest.map(&caller, slice, request, response, &inputs)?;
        drop(inputs);
        self.mapped(stream, decoded, answer, slice.reporting_zone()).map_err(|what| caller.malformed(what))
    }

    fn mapped(
        &self,
        stream: &Stream,
        decoded: Decoded,
        answer: wire::Mapped,
        reporting: Option<Tz>,
    ) -> Checked<Mapped> {
        let max_rows = self.0.engine.limits().rows_per_answer;
        let (findings, torn) = (decoded.findings(&stream.layout.format), decoded.rejects().collect::<Vec<_>>());
        let native = match stream.layout.format {
            Format::Opaque => opaque::native(answer.native, max_rows)?,
            _ if answer.native.is_empty() => decoded.batch,
            _ => return Err("native records, though the layout isn't opaque".to_owned()),
        };
        let mut rejects = rejects(answer.rejects, native.rows, max_rows)?;
        let mut batches = facts::by_kind(answer.facts)?;
        let rows = batches.remove(&Fact::Transactions);
        if rows.as_ref().is_some_and(|rows| !stream.unified && !rows.records.is_empty()) {
            return Err(format!("transactions, though `{}` has none", stream.name));
        }
        if rows.is_none() && (stream.unified || !batches.is_empty()) {
            facts::check_lost(&batches, &rejects, native.rows, &stream.name)?;
        }
        let rows = rows.filter(|_| stream.unified);
        let transactions = rows.map(|rows| transactions::batch(rows, native.rows, max_rows, reporting)).transpose()?;
        let records = native.rows;
        let of_kind = |(fact, batch)| {
            let rows = facts::batch(fact, batch, records, max_rows, reporting);
            rows.map(|rows| (fact, rows))
        };
        let facts = batches.into_iter().map(of_kind).collect::<Checked<BTreeMap<_, _>>>()?;
        let unknown_statuses = unknown_statuses(answer.unknown_statuses)?;
        rejects.extend(torn);
        Ok(Mapped { native, transactions, facts, rejects, unknown_statuses, findings, total: answer.total })
    }

    fn check_requests(&self, caller: &Caller<'_>, requests: &[Request]) -> Result<(), Error> {
        check::requests(requests, self.manifest(), self.0.engine.limits()).map_err(|what| caller.malformed(what))
    }

    fn stream(&self, name: &str) -> Result<&Stream, Error> {
        self.manifest().stream(name).ok_or_else(|| Error::UnknownStream {
            connector: self.network().to_owned(),
            version: self.version().to_owned(),
            stream: name.to_owned(),
        })
    }

    fn caller(&self, call: &'static str) -> Caller<'_> {
        let Inner { engine, is_large, .. } = &*self.0;
        Caller { engine, connector: self.network(), version: self.version(), call, is_large }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({} {} {})", self.network(), self.version(), self.digest().short())
    }
}

fn rejects(wire: Vec<wire::Reject>, records: usize, max: usize) -> Checked<Vec<Reject>> {
    if wire.len() > max {
        return Err(format!("{} rejects, {max} are allowed", wire.len()));
    }
    if let Some(reject) = wire.iter().find(|reject| reject.record as usize >= records) {
        return Err(format!("rejects: it names record {} of {records}", reject.record));
    }
    // Its reason is for people, so it is cut and cleaned rather than refused.
    Ok(wire.into_iter().map(|reject| Reject { record_index: reject.record, reason: shown(&reject.reason) }).collect())
}

fn unknown_statuses(mut words: Vec<String>) -> Checked<Vec<String>> {
    words.sort_unstable();
    words.dedup();
    if words.len() > MAX_UNKNOWN {
        return Err(format!("{} unknown status words, {MAX_UNKNOWN} are allowed", words.len()));
    }
    Ok(words.iter().map(|word| shown(word)).collect())
}

/// Headers of a response that a connector may see: those that carry sign-ins are left out. Names are in lower case.
pub fn visible_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let hidden = ["set-cookie", "authorization", "proxy-authorization", "www-authenticate", "cookie"];
    headers.iter().filter(|(name, _)| !hidden.contains(&name.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::engine::EngineOptions;
    use crate::wasi;

    #[test]
    fn rejects_name_records_that_there_are() {
        let reject = |record| wire::Reject { record, reason: "no\ndate".to_owned() };
        let kept = rejects(vec![reject(1), reject(1)], 2, 2).unwrap();
        assert_eq!(kept[0], Reject { record_index: 1, reason: "no date".to_owned() });
        assert!(rejects(vec![reject(2)], 2, 2).is_err());
        assert!(rejects(vec![reject(1); 3], 2, 2).is_err());
    }

    #[test]
    fn unknown_words_are_given_once() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(unknown_statuses(words(&["b", "a", "b"])).unwrap(), ["a", "b"]);
        assert!(unknown_statuses((0..=MAX_UNKNOWN).map(|n| n.to_string()).collect()).is_err());
    }

    #[test]
    fn a_guest_that_answers_differently_maps_nothing_any_more() {
        let options = EngineOptions { check_every: 3, max_instances: 1, ..EngineOptions::default() };
        let engine = Engine::new(options).unwrap();
        let component = sluice_guests::case("answers-differently").unwrap().component.unwrap();
        let odd = engine.load(&component, "odd.wasm").unwrap();
        let slice = Slice {
            network: odd.network().to_owned(),
            account: "main".to_owned(),
            stream: "sales".to_owned(),
            settings: vec![],
            window: "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z".parse().unwrap(),
            timezone: chrono_tz::UTC,
            axis: sluice_model::Axis::Transaction,
            cursor: None,
        };
        let request = odd.plan(&slice).unwrap().remove(0);
        let body = Bytes::from_static(br#"{"data":[{"id":"1"},{"id":"2"}]}"#);
        let native = odd.decode("sales", &[], &body).unwrap();
        let response = Response { status: 200, headers: vec![], body, records: Some(2), problem: None };
        let map = || odd.map(&slice, &request, &response, native.clone());
        // The first one is checked, and the sandbox holds.
        assert!(map().is_ok());
        wasi::tests::let_the_clock_go();
        // The next two aren't.
        assert!(map().is_ok() && map().is_ok());
        for _ in 0..2 {
            let error = map().unwrap_err();
            assert_eq!(
                error.to_string(),
                "connector `answers-differently` 1.0.0 gives another answer for the same bytes: \
                 transactions.transaction_id, row 0"
            );
            assert!(error.is_guest_fault() && error.hint().is_some());
        }
    }
}
