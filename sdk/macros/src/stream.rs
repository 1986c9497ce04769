//! A stream: where its records are, which windows it takes, how it is asked for and mapped.

use crate::columns::{self, Columns};
use crate::document::{Read, Section, Text, mistake};
use crate::facts::{self, Fact, FactColumns};
use crate::network::axis;
use crate::pages::{self, Pages};
use crate::requests::{Call, Named, read_named_in};
use crate::template::{self, Names, Piece};

pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) unified: bool,
    /// The axes' variants, and what each adds to the query.
    pub(crate) axes: Vec<(&'static str, Vec<Named>)>,
    pub(crate) complete: Vec<&'static str>,
    pub(crate) max_window_secs: Option<u32>,
    pub(crate) history_days: Option<u32>,
    pub(crate) by_day: bool,
    pub(crate) timezone: String,
    pub(crate) timezone_basis: &'static str,
    /// The setting that says the zone of this account, where it isn't the network's.
    pub(crate) timezone_setting: Option<String>,
    /// The layout's format, as Rust that makes a layout.
    pub(crate) layout: String,
    pub(crate) key: Vec<String>,
    /// Kind and paths.
    pub(crate) pins: Vec<(&'static str, Vec<String>)>,
    pub(crate) call: Call,
    /// Axes whose requests go to another URL.
    pub(crate) axis_urls: Vec<(&'static str, Vec<Piece>)>,
    pub(crate) pages: Option<Pages>,
    pub(crate) mapping: Mapping,
}

/// How records become transactions or other facts.
pub(crate) enum Mapping {
    /// Not at all: the stream has a native table only.
    None,
    /// By columns.
    Columns(Box<Columns>),
    /// To facts of another kind, by columns.
    Fact(Box<FactColumns>),
    /// By a function of the connector's own, which reads these inputs by these names.
    Function { path: String, inputs: Vec<(String, String)> },
}

pub(crate) fn read(section: &Section, names: &Names) -> Read<Stream> {
    let name = section.required("name")?.text("name")?;
    let axes = axes(section, names)?;
    let fact = section.text("fact")?.map(|name| facts::named(&name)).transpose()?;
    let unified = section.flag("unified", fact.is_none())?;
    if unified && fact.is_some() {
        return mistake(
            section.line,
            "a stream of facts of another kind isn't unified: its records are no transactions",
        );
    }
    let complete = section.texts("complete")?.iter().map(axis).collect::<Read<_>>()?;
    let call = match section.section("request")? {
        Some(request) => {
            let call = Call::read(&request, names)?;
            request.finish()?;
            call
        }
        None => return mistake(section.line, format!("stream `{}` has no `[streams.request]`", name.text)),
    };
    let (layout, optional) = layout(section)?;
    let mapping = mapping(section, (unified, fact), names)?;
    match &mapping {
        Mapping::Columns(of) => columns::check_optional(&of.columns, &of.status, &of.inputs, &optional)?,
        Mapping::Fact(of) if of.columns.iter().any(|column| column.kind == columns::Kind::Money) => {
            columns::check_optional(&of.columns, &[], &of.inputs, &optional)?;
        }
        Mapping::None | Mapping::Fact(_) | Mapping::Function { .. } => {}
    }
    let stream = Stream {
        unified,
        axes,
        complete,
        max_window_secs: section.number("max_window_days")?.map(|days| days * 86_400),
        history_days: section.number("history_days")?,
        by_day: grain(section)?,
        timezone: section.text("timezone")?.map_or_else(|| "UTC".to_owned(), |zone| zone.text),
        timezone_basis: basis(section)?,
        timezone_setting: timezone_setting(section, names)?,
        layout,
        key: plain(section.texts("key")?),
        pins: pins(section)?,
        axis_urls: axis_urls(section, names)?,
        call,
        pages: pages::read(section)?,
        mapping,
        name: name.text,
    };
    section.finish()?;
    Ok(stream)
}

fn timezone_setting(section: &Section, names: &Names) -> Read<Option<String>> {
    match section.text("timezone_setting")? {
        Some(name) if !names.settings.contains(&name.text) => {
            mistake(name.line, format!("there is no setting `{}`", name.text))
        }
        name => Ok(name.map(|name| name.text)),
    }
}

fn axis_urls(section: &Section, names: &Names) -> Read<Vec<(&'static str, Vec<Piece>)>> {
    let Some(table) = section.section("axis_urls")? else { return Ok(Vec::new()) };
    let read = |(name, value): (String, crate::document::Value)| {
        let variant = axis(&Text { text: name.clone(), line: value.line })?;
        Ok((variant, template::read(&value.text(&name)?, names)?))
    };
    table.all().into_iter().map(read).collect()
}

fn plain(texts: Vec<Text>) -> Vec<String> {
    texts.into_iter().map(|text| text.text).collect()
}

fn axes(section: &Section, names: &Names) -> Read<Vec<(&'static str, Vec<Named>)>> {
    let Some(table) = section.section("axes")? else {
        return mistake(section.line, "a stream needs `[streams.axes.…]`, at least `none`");
    };
    let read = |(name, value): (String, crate::document::Value)| {
        let variant = axis(&Text { text: name.clone(), line: value.line })?;
        Ok((variant, read_named_in(&value.section(&name)?, names)?))
    };
    table.all().into_iter().map(read).collect()
}

fn grain(section: &Section) -> Read<bool> {
    match section.text("grain")? {
        None => Ok(false),
        Some(grain) => match grain.text.as_str() {
            "day" => Ok(true),
            "second" => Ok(false),
            other => mistake(grain.line, format!("`{other}` is no grain: day or second")),
        },
    }
}

fn basis(section: &Section) -> Read<&'static str> {
    let Some(basis) = section.text("timezone_basis")? else { return Ok("Declared") };
    Ok(match basis.text.as_str() {
        "offset" => "Offset",
        "declared" => "Declared",
        "operator" => "Operator",
        "assumed-utc" => "AssumedUtc",
        "assumed" => "Assumed",
        other => {
            return mistake(
                basis.line,
                format!("`{other}` is no basis of a zone: offset, declared, operator, assumed-utc or assumed"),
            );
        }
    })
}

/// `records` of JSON, `elements` of XML, or `[streams.delimited]`; and the columns that a header may lack.
fn layout(section: &Section) -> Read<(String, Vec<Text>)> {
    let (json, xml) = (section.text("records")?, section.text("elements")?);
    let table = section.section("delimited")?;
    match (json, xml, table) {
        (Some(place), None, None) if place.text.is_empty() || place.text.starts_with('/') => {
            Ok((format!("json({:?})", place.text), Vec::new()))
        }
        (Some(place), None, None) => mistake(place.line, format!("`{}` is no JSON Pointer", place.text)),
        (None, Some(place), None) => Ok((format!("xml({:?})", place.text), Vec::new())),
        (None, None, Some(table)) => delimited(&table),
        _ => {
            mistake(section.line, "a stream needs one of `records` (JSON), `elements` (XML) and `[streams.delimited]`")
        }
    }
}

fn delimited(table: &Section) -> Read<(String, Vec<Text>)> {
    let text = |key: &str, default: &str| Ok(table.text(key)?.map_or_else(|| default.to_owned(), |text| text.text));
    let list =
        |texts: &[Text]| texts.iter().map(|text| format!("{:?}.into()", text.text)).collect::<Vec<_>>().join(", ");
    let quote = text("quote", "\"")?;
    let optional = table.texts("optional")?;
    let code = format!(
        "Layout {{ format: Format::Delimited(Delimited {{ delimiter: {:?}.into(), quote: {quote:?}.into(), \
         skip_lines: {}, header: vec![{}], charset: {:?}.into(), exact_fields: {}, optional: vec![{}] }}), \
         pins: vec![], inputs: vec![], key: vec![] }}",
        text("delimiter", ",")?,
        table.number("skip_lines")?.unwrap_or(0),
        list(&table.texts("header")?),
        text("charset", "utf-8")?,
        table.flag("exact", true)?,
        list(&optional),
    );
    table.finish()?;
    Ok((code, optional))
}

fn pins(section: &Section) -> Read<Vec<(&'static str, Vec<String>)>> {
    let Some(table) = section.section("pins")? else { return Ok(Vec::new()) };
    let mut pins = Vec::new();
    for (key, kind) in [
        ("boolean", "Boolean"),
        ("int64", "Int64"),
        ("float64", "Float64"),
        ("decimal", "Decimal"),
        ("timestamp", "Timestamp"),
        ("text", "Text"),
    ] {
        let paths = plain(table.texts(key)?);
        if !paths.is_empty() {
            pins.push((kind, paths));
        }
    }
    table.finish()?;
    Ok(pins)
}

fn mapping(section: &Section, (unified, fact): (bool, Option<&'static Fact>), names: &Names) -> Read<Mapping> {
    let (table, function) = (section.section("map")?, section.text("map_with")?);
    let inputs = section.section("inputs")?;
    match (table, function, fact) {
        (Some(table), None, None) if unified && inputs.is_none() => {
            Ok(Mapping::Columns(Box::new(columns::read(&table, names)?)))
        }
        (Some(table), None, Some(fact)) if inputs.is_none() => {
            Ok(Mapping::Fact(Box::new(facts::read(fact, &table, names)?)))
        }
        (None, Some(function), _) if unified || fact.is_some() => {
            let entries = inputs.map(|inputs| inputs.all()).unwrap_or_default();
            let inputs = entries.into_iter().map(|(name, value)| Ok((name.clone(), value.text(&name)?.text)));
            Ok(Mapping::Function { path: function.text, inputs: inputs.collect::<Read<_>>()? })
        }
        (None, None, None) if !unified => Ok(Mapping::None),
        (_, _, Some(_)) => {
            mistake(section.line, "a stream of facts needs `[streams.map]`, or `map_with` and `[streams.inputs]`")
        }
        _ if !unified => mistake(section.line, "a stream that isn't unified and has no `fact` has no mapping"),
        _ => mistake(section.line, "a unified stream needs `[streams.map]`, or `map_with` and `[streams.inputs]`"),
    }
}
