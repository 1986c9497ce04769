//! Slices and requests, to the guest and back.

use sluice_model::{Function, Hash, Method, Op, Part, Request, Slice, Template};

use super::wire::requests as wire;
use crate::check;
use crate::columns::Checked;
use crate::limits::Limits;

/// A slice as the guest takes it.
pub(super) struct LoweredSlice<'a> {
    slice: &'a Slice,
    settings: Vec<(&'a str, &'a str)>,
    window: wire::Window,
}

impl<'a> LoweredSlice<'a> {
    pub(super) fn new(slice: &'a Slice) -> Self {
        let (local_since, local_until) = slice.local_window();
        Self {
            slice,
            settings: slice.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            window: wire::Window {
                since: slice.window.since.timestamp_micros(),
                until: slice.window.until.timestamp_micros(),
                local_since: local_since.and_utc().timestamp_micros(),
                local_until: local_until.and_utc().timestamp_micros(),
            },
        }
    }

    pub(super) fn wire(&self) -> wire::Slice<'_> {
        wire::Slice {
            stream: &self.slice.stream,
            account: &self.slice.account,
            settings: &self.settings,
            window: self.window,
            axis: self.slice.axis.name(),
            cursor: self.slice.cursor.as_deref(),
        }
    }
}

/// A request as the guest takes it back.
pub(super) struct Lowered<'a> {
    request: &'a Request,
    url: Vec<wire::OpParam<'a>>,
    headers: Vec<(&'a str, Vec<wire::OpParam<'a>>)>,
    body: Option<Vec<wire::OpParam<'a>>>,
}

impl<'a> Lowered<'a> {
    pub(super) fn new(request: &'a Request) -> Self {
        let lower = |template: &'a Template| template.iter().map(lower_op).collect::<Vec<_>>();
        Self {
            request,
            url: lower(&request.url),
            headers: request.headers.iter().map(|(name, value)| (name.as_str(), lower(value))).collect(),
            body: request.body.as_ref().map(lower),
        }
    }

    pub(super) fn headers(&self) -> Vec<(&str, &[wire::OpParam<'_>])> {
        self.headers.iter().map(|(name, value)| (*name, value.as_slice())).collect()
    }

    pub(super) fn wire<'b>(&'b self, headers: &'b [(&'b str, &'b [wire::OpParam<'b>])]) -> wire::RequestParam<'b> {
        wire::RequestParam {
            key: &self.request.key,
            method: match self.request.method {
                Method::Get => wire::Method::Get,
                Method::Post => wire::Method::Post,
                Method::Put => wire::Method::Put,
                Method::Delete => wire::Method::Delete,
            },
            url: &self.url,
            headers,
            body: self.body.as_deref(),
            state: &self.request.state,
            yields_records: self.request.yields_records,
        }
    }
}

fn lower_op(op: &Op) -> wire::OpParam<'_> {
    match op {
        Op::Text(text) => wire::OpParam::Text(text),
        Op::Secret(slot) => wire::OpParam::Secret(slot),
        Op::Setting(name) => wire::OpParam::Setting(name),
        Op::Token(source) => wire::OpParam::Token(source),
        Op::RefreshToken(source) => wire::OpParam::RefreshToken(source),
        Op::Now(pattern) => wire::OpParam::Now(pattern),
        Op::Part(part) => wire::OpParam::Part(match part {
            Part::Method => wire::Part::Method,
            Part::Path => wire::Part::Path,
            Part::Query => wire::Part::Query,
            Part::Body => wire::Part::Body,
        }),
        Op::Join(count) => wire::OpParam::Join(*count),
        Op::Apply(function) => wire::OpParam::Apply(match function {
            Function::Base64 => wire::Function::Base64,
            Function::Base64Url => wire::Function::Base64Url,
            Function::Hex => wire::Function::Hex,
            Function::UrlEncode => wire::Function::UrlEncode,
            Function::XmlEscape => wire::Function::XmlEscape,
            Function::JsonEscape => wire::Function::JsonEscape,
            Function::Lower => wire::Function::Lower,
            Function::Upper => wire::Function::Upper,
            Function::Md5 => wire::Function::Md5,
            Function::Sha1 => wire::Function::Sha1,
            Function::Sha256 => wire::Function::Sha256,
        }),
        Op::Hmac(hash) => wire::OpParam::Hmac(match hash {
            Hash::Sha1 => wire::Digest::Sha1,
            Hash::Sha256 => wire::Digest::Sha256,
            Hash::Sha512 => wire::Digest::Sha512,
        }),
    }
}

/// The requests of one answer; too many are refused before any is checked.
pub(super) fn requests(wire: Vec<wire::RequestResult>, limits: &Limits) -> Checked<Vec<Request>> {
    check::number_of_requests(wire.len(), limits)?;
    Ok(wire.into_iter().map(request).collect())
}

pub(super) fn request(wire: wire::RequestResult) -> Request {
    Request {
        key: wire.key,
        method: match wire.method {
            wire::Method::Get => Method::Get,
            wire::Method::Post => Method::Post,
            wire::Method::Put => Method::Put,
            wire::Method::Delete => Method::Delete,
        },
        url: template(wire.url),
        headers: wire.headers.into_iter().map(|(name, value)| (name, template(value))).collect(),
        body: wire.body.map(template),
        state: wire.state,
        yields_records: wire.yields_records,
    }
}

fn template(wire: Vec<wire::OpResult>) -> Template {
    wire.into_iter().map(op).collect()
}

fn op(wire: wire::OpResult) -> Op {
    match wire {
        wire::OpResult::Text(text) => Op::Text(text),
        wire::OpResult::Secret(slot) => Op::Secret(slot),
        wire::OpResult::Setting(name) => Op::Setting(name),
        wire::OpResult::Token(source) => Op::Token(source),
        wire::OpResult::RefreshToken(source) => Op::RefreshToken(source),
        wire::OpResult::Now(pattern) => Op::Now(pattern),
        wire::OpResult::Part(part) => Op::Part(match part {
            wire::Part::Method => Part::Method,
            wire::Part::Path => Part::Path,
            wire::Part::Query => Part::Query,
            wire::Part::Body => Part::Body,
        }),
        wire::OpResult::Join(count) => Op::Join(count),
        wire::OpResult::Apply(function) => Op::Apply(match function {
            wire::Function::Base64 => Function::Base64,
            wire::Function::Base64Url => Function::Base64Url,
            wire::Function::Hex => Function::Hex,
            wire::Function::UrlEncode => Function::UrlEncode,
            wire::Function::XmlEscape => Function::XmlEscape,
            wire::Function::JsonEscape => Function::JsonEscape,
            wire::Function::Lower => Function::Lower,
            wire::Function::Upper => Function::Upper,
            wire::Function::Md5 => Function::Md5,
            wire::Function::Sha1 => Function::Sha1,
            wire::Function::Sha256 => Function::Sha256,
        }),
        wire::OpResult::Hmac(digest) => Op::Hmac(match digest {
            wire::Digest::Sha1 => Hash::Sha1,
            wire::Digest::Sha256 => Hash::Sha256,
            wire::Digest::Sha512 => Hash::Sha512,
        }),
    }
}
