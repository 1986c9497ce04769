//! A network as its file declares it.

use toml::de::DeTable;

use crate::document::{Mistake, Read, Section, Text, line_of, mistake};
use crate::requests::{HttpRule, Named, read_named};
use crate::stream::{self, Stream};
use crate::template::Names;
use crate::tokens::{self, Token};

pub(crate) struct Network {
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) schedule: String,
    /// Requests, seconds, concurrency.
    pub(crate) rate: Option<[u32; 3]>,
    /// Seconds, days, the axis' variant.
    pub(crate) look_back: Vec<(u32, u32, &'static str)>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) secrets: Vec<(String, String)>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) headers: Vec<Named>,
    pub(crate) errors: Vec<BodyError>,
    pub(crate) http: Vec<HttpRule>,
    /// The token that a 401 renews.
    pub(crate) renews: Option<String>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) hooks: Hooks,
}

/// A setting of an account.
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) meaning: String,
    pub(crate) required: bool,
    pub(crate) identifies: bool,
    pub(crate) default: Option<String>,
    /// What `plan` wants of it: `digits`, `word`, `currency`.
    pub(crate) form: Option<String>,
}

/// An error in bodies.
pub(crate) struct BodyError {
    /// Its place; none for a text.
    pub(crate) at: Option<String>,
    pub(crate) is: Vec<String>,
    pub(crate) words: Vec<String>,
    /// The SDK's `Then`, as Rust.
    pub(crate) then: String,
}

/// A status word: validation, payment, whether it is locked.
pub(crate) struct Status {
    pub(crate) word: String,
    pub(crate) validation: &'static str,
    pub(crate) payment: &'static str,
    pub(crate) locked: Option<bool>,
}

/// Functions of the connector's own that take the place of what is made here.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) plan: Option<String>,
    pub(crate) follow: Option<String>,
}

/// The variant of an axis.
pub(crate) fn axis(text: &Text) -> Read<&'static str> {
    Ok(match text.text.as_str() {
        "transaction" => "Transaction",
        "modified" => "Modified",
        "validation" => "Validation",
        "payment" => "Payment",
        "none" => "None",
        other => {
            return mistake(
                text.line,
                format!("`{other}` is no axis: transaction, modified, validation, payment or none"),
            );
        }
    })
}

/// Reads a file.
pub(crate) fn read(text: &str) -> Read<Network> {
    let table = DeTable::parse(text).map_err(|error| Mistake {
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        text: error.message().to_owned(),
    })?;
    let root = Section::root(text, table.get_ref());
    let settings = settings(&root)?;
    let secrets = secrets(&root)?;
    let mut names = Names {
        settings: settings.iter().map(|setting| setting.name.clone()).collect(),
        secrets: secrets.iter().map(|(name, _)| name.clone()).collect(),
        tokens: Vec::new(),
    };
    let sections = root.section("tokens")?.map(|tokens| tokens.all()).unwrap_or_default();
    names.tokens = sections.iter().map(|(name, _)| name.clone()).collect();
    let tokens =
        sections.iter().map(|(name, value)| tokens::read(name, &value.section(name)?, &names)).collect::<Read<_>>()?;
    let hooks = hooks(&root)?;
    let network = Network {
        slug: root.required("network")?.text("network")?.text,
        title: root.required("title")?.text("title")?.text,
        hosts: root.required("hosts")?.texts("hosts")?.into_iter().map(|host| host.text).collect(),
        schedule: root.text("schedule")?.map_or_else(|| "0 * * * *".to_owned(), |schedule| schedule.text),
        rate: rate(&root)?,
        look_back: look_back(&root)?,
        headers: read_named(&root, "headers", &names)?,
        errors: errors(&root, &names)?,
        http: HttpRule::read_all(&root)?,
        renews: renews(&root, &names)?,
        statuses: statuses(&root)?,
        streams: root.sections("streams")?.iter().map(|section| stream::read(section, &names)).collect::<Read<_>>()?,
        settings,
        secrets,
        tokens,
        hooks,
    };
    root.finish()?;
    if network.streams.is_empty() {
        return mistake(1, "there is no `[[streams]]`");
    }
    Ok(network)
}

fn hooks(root: &Section) -> Read<Hooks> {
    let Some(section) = root.section("hooks")? else { return Ok(Hooks::default()) };
    let path = |key: &str| Ok(section.text(key)?.map(|text| text.text));
    let hooks = Hooks { plan: path("plan")?, follow: path("follow")? };
    section.finish()?;
    Ok(hooks)
}

fn settings(root: &Section) -> Read<Vec<Setting>> {
    let Some(section) = root.section("settings")? else { return Ok(Vec::new()) };
    let read = |(name, value): (String, crate::document::Value)| {
        if let Some(meaning) = value.as_text() {
            let meaning = meaning.text;
            return Ok(Setting { name, meaning, required: true, identifies: true, default: None, form: None });
        }
        let table = value.section(&name)?;
        let required = table.flag("required", true)?;
        let form = table.text("form")?;
        if let Some(form) = form.as_ref().filter(|form| !["digits", "word", "currency"].contains(&form.text.as_str())) {
            return mistake(form.line, format!("`{}` is no form: digits, word or currency", form.text));
        }
        let setting = Setting {
            meaning: table.required("meaning")?.text("meaning")?.text,
            required,
            identifies: table.flag("identifies", required)?,
            default: table.text("default")?.map(|text| text.text),
            form: form.map(|form| form.text),
            name,
        };
        table.finish()?;
        Ok(setting)
    };
    section.all().into_iter().map(read).collect()
}

fn secrets(root: &Section) -> Read<Vec<(String, String)>> {
    let Some(section) = root.section("secrets")? else { return Ok(Vec::new()) };
    section.all().into_iter().map(|(name, value)| Ok((name.clone(), value.text(&name)?.text))).collect()
}

fn rate(root: &Section) -> Read<Option<[u32; 3]>> {
    let Some(section) = root.section("rate")? else { return Ok(None) };
    let number = |key: &str| section.required(key)?.number(key);
    let rate = [number("requests")?, number("per_secs")?, number("concurrency")?];
    section.finish()?;
    Ok(Some(rate))
}

fn look_back(root: &Section) -> Read<Vec<(u32, u32, &'static str)>> {
    let read = |section: Section| {
        let rule = (
            duration(&section.required("every")?.text("every")?)?,
            section.required("days")?.number("days")?,
            axis(&section.required("axis")?.text("axis")?)?,
        );
        section.finish()?;
        Ok(rule)
    };
    root.sections("look_back")?.into_iter().map(read).collect()
}

/// Seconds of `2h` or `7d`.
fn duration(text: &Text) -> Read<u32> {
    let (number, unit) = text.text.split_at(text.text.len().saturating_sub(1));
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 0,
    };
    match number.parse::<u32>().ok().and_then(|number| number.checked_mul(secs)).filter(|secs| *secs > 0) {
        Some(secs) => Ok(secs),
        None => mistake(text.line, format!("`{}` is no time like `30m`, `2h` or `7d`", text.text)),
    }
}

fn renews(root: &Section, names: &Names) -> Read<Option<String>> {
    let stated = root.text("renew_on_401")?;
    match stated {
        Some(token) if !names.tokens.contains(&token.text) => {
            mistake(token.line, format!("there is no `[tokens.{}]`", token.text))
        }
        Some(token) => Ok(Some(token.text)),
        None => Ok(names.tokens.first().cloned()),
    }
}

fn errors(root: &Section, names: &Names) -> Read<Vec<BodyError>> {
    let read = |section: Section| {
        let at = section.text("at")?;
        let is: Vec<String> = section.texts("is")?.into_iter().map(|text| text.text).collect();
        if at.is_none() && is.is_empty() {
            return mistake(section.line, "an error needs a place `at`, or a text in `is`");
        }
        let error = BodyError {
            at: at.map(|text| text.text),
            is,
            words: section.texts("words")?.into_iter().map(|text| text.text).collect(),
            then: then(&section.required("then")?.text("then")?, names)?,
        };
        section.finish()?;
        Ok(error)
    };
    root.sections("errors")?.into_iter().map(read).collect()
}

fn then(text: &Text, names: &Names) -> Read<String> {
    let refuse = |kind: &str| Ok(format!("Then::Refuse(RefusalKind::{kind})"));
    match text.text.split_once(' ').unwrap_or((&text.text, "")) {
        ("done", "") => Ok("Then::Done".to_owned()),
        ("retry", "") => Ok("Then::Retry".to_owned()),
        ("split", "") => Ok("Then::Split".to_owned()),
        ("renew", token) if names.tokens.iter().any(|name| name == token) => Ok(format!("Then::Renew({token:?})")),
        ("refuse", "credentials") => refuse("Credentials"),
        ("refuse", "settings") => refuse("Settings"),
        ("refuse", "request") => refuse("Request"),
        ("refuse", "response") => refuse("Response"),
        _ => mistake(
            text.line,
            format!(
                "`{}` is none of: done, retry, split, renew TOKEN, refuse credentials|settings|request|response",
                text.text
            ),
        ),
    }
}

fn statuses(root: &Section) -> Read<Vec<Status>> {
    let Some(section) = root.section("statuses")? else { return Ok(Vec::new()) };
    section.all().into_iter().map(|(word, value)| status(word, &value.text("statuses")?)).collect()
}

/// `pending unpaid`, `approved unknown locked`.
fn status(word: String, meaning: &Text) -> Read<Status> {
    let words: Vec<&str> = meaning.text.split_whitespace().collect();
    let validation = match words.first() {
        Some(&"pending") => "Pending",
        Some(&"approved") => "Approved",
        Some(&"declined") => "Declined",
        Some(&"unknown") => "Unknown",
        _ => return mistake(meaning.line, "a status begins with pending, approved, declined or unknown"),
    };
    let payment = match words.get(1) {
        Some(&"unpaid") => "Unpaid",
        Some(&"payable") => "Payable",
        Some(&"paid") => "Paid",
        Some(&"clawed-back") => "ClawedBack",
        Some(&"unknown") => "Unknown",
        _ => return mistake(meaning.line, "a status' second word is unpaid, payable, paid, clawed-back or unknown"),
    };
    let locked = match words.get(2) {
        None => None,
        Some(&"locked") => Some(true),
        Some(&"open") => Some(false),
        Some(other) => return mistake(meaning.line, format!("`{other}`: a status' third word is locked or open")),
    };
    Ok(Status { word, validation, payment, locked })
}
