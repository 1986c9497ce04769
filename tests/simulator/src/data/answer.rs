//! Answers: who asks, for which list, which window and page.

use super::facts::{Auth, Facts, Form, List, Rows, SignIn};
use super::rows::{Entry, entries};
use super::scope::Scope;
use super::{is_login, media, reply, window};
use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::json::Json;
use crate::network::Network;
use crate::words::ADVERTISERS;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt::Write;

/// Answers a request to a network.
pub(crate) fn answer(core: &Core, network: Network, facts: &Facts, ask: &Ask) -> Reply {
    if let Some(sign_in) = facts.sign_in.as_ref().filter(|_| is_login(facts, ask)) {
        return signed_in(core, network, facts, sign_in, ask);
    }
    let found =
        core.accounts.iter().enumerate().filter(|(_, played)| played.network == network).find_map(|(index, played)| {
            let scope = Scope::of(facts, played);
            let list = facts.lists.iter().find(|list| {
                list.method == ask.method && scope.text(&list.path).is_some_and(|path| path == ask.path)
            })?;
            allows(core, facts, &scope, index, ask).then_some((index, list))
        });
    let Some((index, list)) = found else {
        let is_there = facts.lists.iter().any(|list| is_path_of(&list.path, &ask.path));
        return if is_there { reply(&facts.unauthorized) } else { Reply::text(404, "no such resource") };
    };
    let answered = listed(core, facts, list, index, ask).unwrap_or_else(|why| Reply::text(400, why));
    match &facts.auth {
        Auth::Rotating { header } if answered.status < 300 => {
            answered.with(Box::leak(header.clone().into_boxed_str()), core.grant(index))
        }
        _ => answered,
    }
}

/// Whether a path is that of a template, whatever stands in place of its placeholders.
fn is_path_of(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let is_like = |(part, given): (&&str, &&str)| {
        part.split_once('{').map_or(part == given, |(before, _)| given.starts_with(before))
    };
    template.len() == path.len() && template.iter().zip(&path).all(is_like)
}

/// Whether a request shows that it is an account's.
fn allows(core: &Core, facts: &Facts, scope: &Scope<'_>, index: usize, ask: &Ask) -> bool {
    let is = |template: &str, given: Option<&str>| given.is_some() && scope.text(template).as_deref() == given;
    match &facts.auth {
        Auth::Basic { user, password } => {
            let expected = scope.text(&format!("{user}:{password}")).map(|pair| STANDARD.encode(pair));
            expected.as_deref() == ask.authorization("Basic")
        }
        Auth::Header { name, value } => is(value, ask.header(name)),
        Auth::Query { name, value } => is(value, ask.param(name)),
        Auth::Path { value } => scope.text(value).is_some_and(|key| ask.path.split('/').any(|part| part == key)),
        Auth::Granted => ask.authorization("Bearer").and_then(|token| core.granted(token)) == Some(index),
        Auth::Rotating { header } => ask.header(header).and_then(|token| core.granted(token)) == Some(index),
    }
}

fn signed_in(core: &Core, network: Network, facts: &Facts, sign_in: &SignIn, ask: &Ask) -> Reply {
    if ask.method != sign_in.method {
        return Reply::text(405, "wrong method");
    }
    let form: Vec<(String, String)> = match ask.method.as_str() {
        "GET" => ask.query.clone(),
        _ => url::form_urlencoded::parse(&ask.body).into_owned().collect(),
    };
    let parameter = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let body: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
    let index = core.find(network, |played| {
        let scope = Scope::of(facts, played);
        let signs = sign_in.authorization.as_ref().is_none_or(|(scheme, pair)| {
            scope.text(pair).map(|pair| STANDARD.encode(pair)).as_deref() == ask.authorization(scheme)
        });
        signs
            && sign_in.parameters.iter().all(|(name, value)| parameter(name) == scope.text(value).as_deref())
            && sign_in
                .body
                .iter()
                .all(|(at, value)| body.pointer(at).and_then(Value::as_str) == scope.text(value).as_deref())
    });
    let Some(index) = index else { return reply(&facts.unauthorized) };
    let mut scope = Scope::of(facts, &core.accounts[index]);
    if let Some(name) = &sign_in.refresh {
        let given = parameter(name).unwrap_or_default();
        let spent = format!("spent of {index}");
        let is_first = given == core.accounts[index].secret(name) && core.session(&spent).is_none();
        if !is_first && core.session(given) != Some(index) {
            return reply(&facts.unauthorized);
        }
        // The first one is good until one that it brought is spent.
        if !is_first {
            core.note_session(&spent, index);
        }
        scope = scope.with("refresh", core.open_session(index));
    }
    let scope = scope.with("token", core.grant(index)).with("life", core.options.token_life_secs);
    let mut answered = Reply::json(200, &scope.json(&sign_in.answer, &[]));
    for (name, value) in &sign_in.headers {
        let name: &'static str = Box::leak(name.clone().into_boxed_str());
        answered = answered.with(name, scope.text(value).unwrap_or_default());
    }
    answered
}

/// A page of a list.
struct Cut {
    /// The page from 1, or the offset.
    position: usize,
    size: usize,
    first: usize,
    pages: usize,
}

impl Cut {
    fn of(core: &Core, list: &List, ask: &Ask, total: usize) -> Result<Self, String> {
        let Some(paging) = &list.paging else { return Ok(Self { position: 1, size: total, first: 0, pages: 1 }) };
        let number = |text: Option<&str>, default: usize, what: &str| match text {
            Some(text) => text.parse::<usize>().map_err(|_| format!("{what} is no number")),
            None => Ok(default),
        };
        let asked = paging.size_parameter.as_ref().map(|name| number(ask.param(name), paging.default_size, name));
        let asked = asked.transpose()?.unwrap_or(paging.default_size);
        if asked == 0 || asked > paging.max_size {
            return Err(format!("a page has 1 to {} rows", paging.max_size));
        }
        let most = core.options.page_limit.filter(|_| paging.may_give_fewer);
        let size = most.map_or(asked, |most| asked.min(most));
        let name = &paging.parameter;
        let given = if paging.in_header { ask.header(name) } else { ask.param(name) };
        let position = number(given, usize::from(!paging.by_offset), name)?;
        let pages = total.div_ceil(size);
        if !paging.by_offset && (position == 0 || paging.max_pages.is_some_and(|most| position > most)) {
            return Err(format!("there is no page {position}"));
        }
        let first = if paging.by_offset { position } else { (position - 1) * size };
        Ok(Self { position, size, first, pages })
    }

    fn is_last(&self, total: usize) -> bool {
        self.first + self.size >= total
    }
}

fn listed(core: &Core, facts: &Facts, list: &List, index: usize, ask: &Ask) -> Result<Reply, String> {
    let scope = Scope::of(facts, &core.accounts[index]);
    for (name, value) in &list.required {
        if scope.text(value).as_deref() != ask.param(name).or_else(|| ask.header(name)) {
            return Err(format!("{name} is missing or wrong"));
        }
    }
    let windows = window::asked(facts, list, ask)?;
    let mut found = entries(core, index, core.clock(), list.rows);
    found.retain(|entry| windows.iter().all(|window| window.holds(entry)));
    let total = if list.rows == Rows::Advertisers { ADVERTISERS.len() } else { found.len() };
    let cut = Cut::of(core, list, ask, total)?;
    let page: Vec<Entry> = found.into_iter().skip(cut.first).take(cut.size).collect();
    let advertisers = ADVERTISERS.iter().skip(cut.first).take(cut.size);
    let scopes: Vec<Scope<'_>> = match list.rows {
        Rows::Advertisers => advertisers.map(|it| scope.clone().with_advertiser(it)).collect(),
        _ => page.iter().map(|entry| scope.clone().with_entry(entry)).collect(),
    };
    let is_last = cut.is_last(total);
    let next = if is_last { String::new() } else { format!("{}?page={}", list.path, cut.position + 1) };
    let next_offset = if is_last { 0 } else { cut.first + cut.size };
    let scope = scope
        .with("page", cut.position)
        .with("pages", cut.pages)
        .with("size", cut.size)
        .with("total", total)
        .with("count", scopes.len())
        .with("next", next)
        .with("next_offset", next_offset)
        .with("more", !is_last);
    let status = if is_last { 200 } else { list.more_status.unwrap_or(200) };
    let mut answered = match (list.empty_status, &list.empty) {
        (Some(status), _) if total == 0 => Reply::text(status, ""),
        (_, Some(empty)) if total == 0 => Reply::json(200, &scope.json(empty, &[])),
        _ => body(facts, list, &scope, &scopes, status),
    };
    for (name, value) in &list.headers {
        let name: &'static str = Box::leak(name.clone().into_boxed_str());
        answered = answered.with(name, scope.text(value).unwrap_or_default());
    }
    Ok(answered)
}

fn body(_facts: &Facts, list: &List, scope: &Scope<'_>, rows: &[Scope<'_>], status: u16) -> Reply {
    match &list.format {
        Form::Json => {
            let rows: Vec<Json> = rows.iter().map(|row| row.json(&list.record, &[])).collect();
            Reply::json(status, &scope.json(&list.envelope, &rows))
        }
        Form::Xml { record } => {
            let mut text = String::from("<?xml version=\"1.0\"?>\n");
            let (open, close) = list.envelope.as_str().and_then(|it| it.split_once("$rows")).unwrap_or_default();
            text.push_str(open);
            for row in rows {
                let _ = write!(text, "<{record}>");
                for (name, template) in named(&list.record) {
                    let value = row.text(template).unwrap_or_default();
                    let _ = write!(text, "<{name}>{}</{name}>", escaped(&value));
                }
                let _ = write!(text, "</{record}>");
            }
            text.push_str(close);
            Reply::new(status, media("xml"), text)
        }
        Form::Csv { delimiter, quote, latin1 } => {
            let mut text = line(named(&list.record).map(|(name, _)| name.to_owned()), *delimiter, *quote);
            for row in rows {
                let values = named(&list.record).map(|(_, template)| row.text(template).unwrap_or_default());
                text.push_str(&line(values, *delimiter, *quote));
            }
            let bytes = if *latin1 { latin1_bytes(&text) } else { text.into_bytes() };
            Reply::new(status, media("csv"), bytes)
        }
    }
}

/// The names and templates of a record that is a list of pairs.
fn named(record: &Value) -> impl Iterator<Item = (&str, &str)> {
    let pairs = record.as_array().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)))
}

fn line(values: impl Iterator<Item = String>, delimiter: char, quote: bool) -> String {
    let written = values.map(|value| {
        if !quote {
            value.replace([delimiter, '\n'], " ")
        } else if value.contains([delimiter, '"', '\n']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value
        }
    });
    written.collect::<Vec<_>>().join(&delimiter.to_string()) + "\n"
}

/// ISO 8859-1; what it doesn't have is a question mark.
fn latin1_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The network's own way to say an error at 200.
pub(crate) fn error_at_200(facts: &Facts) -> Reply {
    reply(&facts.error_at_200)
}

/// What it answers once a credential has expired, which it forgets if it gave it.
pub(crate) fn expired(core: &Core, facts: &Facts, ask: &Ask) -> Reply {
    if is_login(facts, ask) {
        return Reply::text(500, "Internal Server Error");
    }
    match &facts.auth {
        Auth::Granted => core.forget_grant(ask.authorization("Bearer").unwrap_or_default()),
        Auth::Rotating { header } => core.forget_grant(ask.header(header).unwrap_or_default()),
        _ => {}
    }
    reply(&facts.unauthorized)
}
