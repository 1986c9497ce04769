//! How records become transactions and other facts.

use crate::columns::{Column, Columns, Id, Kind, MINOR, Source, currency_of};
use crate::facts::FactColumns;
use crate::network::Network;
use crate::stream::{Mapping, Stream};

/// The code of `map`.
pub(crate) fn code(network: &Network) -> String {
    let functions: String = network.streams.iter().map(of_stream).collect();
    let arms: String = network.streams.iter().map(arm).collect();
    format!(
        "{functions}
        #[allow(unused_variables)] fn declared_map(slice: &::sluice_connector::Slice, request: &::sluice_connector::Request,
            response: &::sluice_connector::Response, records: &::sluice_connector::Records,
            out: &mut ::sluice_connector::Output) -> Result<(), ::sluice_connector::Refusal> {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            match slice.stream.as_str() {{ {arms} _ => {{}} }}
            Ok(())
        }}\n"
    )
}

/// What maps the records of a stream.
fn arm(stream: &Stream) -> String {
    let name = &stream.name;
    let total = stream.pages.as_ref().and_then(|pages| pages.total.as_ref());
    let total = total.map_or_else(String::new, |stated| {
        format!("out.total = {}.and_then(|total| total.trim().parse().ok());", stated.code())
    });
    let mut zone = format!(
        "out.timezone = {:?}.into(); out.timezone_basis = TimezoneBasis::{};",
        stream.timezone, stream.timezone_basis
    );
    if let Some(setting) = &stream.timezone_setting {
        zone.push_str(&format!(
            "if let Some(zone) = slice.setting({setting:?}).map(str::trim).filter(|zone| !zone.is_empty()) {{
                out.timezone = zone.into(); out.timezone_basis = TimezoneBasis::Operator;
            }}"
        ));
    }
    match &stream.mapping {
        Mapping::None => format!("{name:?} => {{ {total} }}"),
        Mapping::Function { path, .. } => format!(
            "{name:?} => {{ {zone} {total} out.map_each(records, |record, out| {path}(slice, response, record, out)); }}"
        ),
        Mapping::Columns(columns) => format!("{name:?} => {{ {zone} {total} {} }}", each(name, &columns.columns)),
        Mapping::Fact(columns) => format!("{name:?} => {{ {zone} {total} {} }}", each(name, &columns.columns)),
    }
}

/// What maps each record by its columns.
fn each(name: &str, columns: &[Column]) -> String {
    let places = body_places(columns);
    let read: String = places
        .iter()
        .enumerate()
        .map(|(at, place)| format!("let stated_{at} = response.value_at({place:?});"))
        .collect();
    let stated: String = (0..places.len()).map(|at| format!("stated_{at}.as_deref(),")).collect();
    format!(
        "{read}
        let stated: &[Option<&str>] = &[{stated}];
        out.map_each(records, |record, out| map_of_{name}(slice, stated, record, out));"
    )
}

/// The places of the body that columns come from.
fn body_places(columns: &[Column]) -> Vec<&str> {
    let mut places = Vec::new();
    for (source, _) in columns.iter().flat_map(|column| &column.sources) {
        if let Source::Body(place) = source
            && !places.contains(&place.as_str())
        {
            places.push(place);
        }
    }
    places
}

fn of_stream(stream: &Stream) -> String {
    match &stream.mapping {
        Mapping::None => String::new(),
        Mapping::Function { inputs, .. } => {
            let constants: String = inputs
                .iter()
                .enumerate()
                .map(|(at, (name, path))| {
                    let name = name.to_ascii_uppercase();
                    format!("#[doc = {path:?}] pub(crate) const {name}: usize = {at};")
                })
                .collect();
            format!(
                "/// The places of the inputs of this stream.
                #[allow(dead_code)]
                pub(crate) mod inputs_of_{} {{ {constants} }}\n",
                stream.name
            )
        }
        Mapping::Columns(columns) => row(&stream.name, columns),
        Mapping::Fact(columns) => fact_row(&stream.name, columns),
    }
}

/// The function that maps one record to a fact.
fn fact_row(name: &str, mapped: &FactColumns) -> String {
    let columns = &mapped.columns[..];
    let places = body_places(columns);
    let fields: String =
        columns.iter().map(|column| format!("{}: {},", column.name, value(column, columns, &places))).collect();
    let words: String = mapped.words.iter().map(|(column, word)| format!("{column}: {word},")).collect();
    let fact = mapped.fact;
    format!(
        "#[allow(unused_variables)] fn map_of_{name}(slice: &::sluice_connector::Slice, stated: &[Option<&str>],
            record: ::sluice_connector::Record, out: &mut ::sluice_connector::Output) -> Result<(), String> {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            {}
            let row = {} {{ {}, {fields} {words} ..{}::default() }};
            out.{}(record, &row);
            Ok(())
        }}\n",
        id(&mapped.id, fact.id, "_"),
        fact.row,
        fact.id,
        fact.row,
        fact.push
    )
}

/// The function that maps one record.
fn row(name: &str, columns: &Columns) -> String {
    let all = &columns.columns[..];
    let places = body_places(all);
    let mut fields = String::new();
    for column in all.iter().filter(|column| column.kind != Kind::Money) {
        fields.push_str(&format!("{}: {},", column.name, when(column, &value(column, all, &places))));
    }
    let mut money = String::new();
    for column in all.iter().filter(|column| column.kind == Kind::Money) {
        money.push_str(&format!("let {} = {};", column.name, when(column, &value(column, all, &places))));
        fields.push_str(&format!("{},", column.name));
    }
    if !columns.columns.iter().any(|column| column.name == "is_locked") {
        fields.push_str("is_locked: status.locked,");
    }
    let status = match &columns.status[..] {
        [] => "let status_raw = None; let status = Status { validation: ValidationStatus::Pending, \
               ..Status::UNKNOWN };"
            .to_owned(),
        inputs => {
            format!("let status_raw = record.first_filled(&{inputs:?}); let status = out.status(STATUSES, status_raw);")
        }
    };
    let payment = match columns.paid {
        Some(input) => {
            format!("if record.flag({input}) == Some(true) {{ PaymentStatus::Paid }} else {{ status.payment }}")
        }
        None => "status.payment".to_owned(),
    };
    let sub_ids: String =
        columns.sub_ids.iter().map(|(name, input)| format!("({name:?}, record.text({input})),")).collect();
    let adjust = match &columns.adjust {
        Some(path) => format!("{path}(slice, record, &mut row)?;"),
        None => String::new(),
    };
    let is_mut = if columns.adjust.is_some() { "mut " } else { "" };
    format!(
        "#[allow(unused_variables)] fn map_of_{name}(slice: &::sluice_connector::Slice, stated: &[Option<&str>],
            record: ::sluice_connector::Record, out: &mut ::sluice_connector::Output) -> Result<(), String> {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            {status}
            {}
            {money}
            {}
            let {is_mut}row = Transaction {{
                transaction_id, id_basis, kind, validation_status: status.validation, payment_status: {payment},
                status_raw, sub_ids: &[{sub_ids}], {fields} ..Transaction::default()
            }};
            {adjust}
            out.push(record, &row);
            Ok(())
        }}\n",
        id(&columns.id, "transaction_id", "id_basis"),
        kind(columns)
    )
}

/// Names the id and its basis.
fn id(id: &Id, name: &str, basis: &str) -> String {
    if let (Some(field), []) = (id.field, &id.parts[..]) {
        return format!("let ({name}, {basis}) = (record.required({field})?, IdBasis::Native);");
    }
    let parts: String = id.parts.iter().map(|part| format!("record.required({part})?,")).collect();
    let composed = format!("composed = [{parts}].join({:?}); (composed.as_str(), IdBasis::Composed)", id.separator);
    let found = match id.field {
        Some(field) => {
            format!("match record.filled({field}) {{ Some(id) => (id, IdBasis::Native), None => {{ {composed} }} }}")
        }
        None => format!("{{ {composed} }}"),
    };
    format!("let composed: String; let ({name}, {basis}) = {found};")
}

fn kind(columns: &Columns) -> String {
    let kind = &columns.kind;
    let word = match kind.field {
        Some(input) => {
            let arms: String = kind
                .words
                .iter()
                .map(|(word, variant)| {
                    format!("Some(word) if word.eq_ignore_ascii_case({word:?}) => TransactionKind::{variant},")
                })
                .collect();
            format!("match record.filled({input}) {{ {arms} _ => TransactionKind::Sale }}")
        }
        None => "TransactionKind::Sale".to_owned(),
    };
    if !kind.negative_is_adjustment {
        return format!("let kind = {word};");
    }
    let amounts = columns.columns.iter().filter(|column| column.kind == Kind::Money).map(|column| column.name.as_str());
    let amounts: Vec<&str> = amounts.filter(|name| !name.starts_with("original_")).collect();
    format!(
        "let is_negative = [{}].iter().flatten().any(|amount| amount.micros() < 0);
        let kind = if is_negative {{ TransactionKind::Adjustment }} else {{ {word} }};",
        amounts.join(", ")
    )
}

/// An expression that is none unless the decision is the one that the column waits for.
fn when(column: &Column, code: &str) -> String {
    let decisions = match column.when.as_deref() {
        Some("approved") => "ValidationStatus::Approved",
        Some("declined") => "ValidationStatus::Declined",
        Some(_) => "ValidationStatus::Approved | ValidationStatus::Declined",
        None => return code.to_owned(),
    };
    format!("if matches!(status.validation, {decisions}) {{ {code} }} else {{ None }}")
}

fn value(column: &Column, columns: &[Column], places: &[&str]) -> String {
    let all: Vec<String> =
        column.sources.iter().map(|(source, forms)| one(column, source, forms, columns, places)).collect();
    match (&all[..], column.kind) {
        ([one], _) => one.clone(),
        (_, Kind::Text | Kind::Flag) => {
            let (first, others) = all.split_first().map_or(("None", &[][..]), |(first, rest)| (first.as_str(), rest));
            others.iter().fold(first.to_owned(), |code, other| format!("{code}.or_else(|| {other})"))
        }
        _ => all.iter().rev().skip(1).fold(all.last().cloned().unwrap_or_default(), |code, earlier| {
            format!("match {earlier} {{ Some(found) => Some(found), None => {code} }}")
        }),
    }
}

/// An expression of a column's value from one source.
fn one(column: &Column, source: &Source, forms: &[String], columns: &[Column], places: &[&str]) -> String {
    let input = match source {
        Source::Input(input) => *input,
        Source::Constant(text) => return format!("Some({text:?})"),
        Source::Setting(name) => {
            return format!("slice.setting({name:?}).map(str::trim).filter(|text| !text.is_empty())");
        }
        Source::Body(place) => {
            let at = places.iter().position(|known| known == place).unwrap_or_default();
            return format!("stated.get({at}).copied().flatten()");
        }
    };
    match column.kind {
        Kind::Text => format!("record.filled({input})"),
        Kind::Flag => format!("record.flag({input})"),
        Kind::Count => format!("record.count({input})?"),
        Kind::Id => format!("record.required({input})?"),
        Kind::Time if forms.is_empty() => format!("record.iso_time({input})?"),
        Kind::Time => {
            let parses: Vec<String> = forms.iter().map(|form| time(form)).collect();
            format!("record.time_by({input}, |text| {})?", parses.join(".or_else(|| ") + &")".repeat(parses.len() - 1))
        }
        Kind::Money if forms.is_empty() => format!("record.money({input})?"),
        Kind::Money => {
            let parses: Vec<String> = forms.iter().map(|form| money(form)).collect();
            let parses = parses.join(".or_else(|| ") + &")".repeat(parses.len() - 1);
            match currency_of(&column.name, columns).filter(|_| forms.iter().any(|form| form == MINOR)) {
                Some(currency) => {
                    let currency = value(currency, columns, places);
                    format!("record.money_in({input}, {currency}, |text, currency| {parses})?")
                }
                None => format!("record.money_by({input}, |text| {parses})?"),
            }
        }
    }
}

fn time(form: &str) -> String {
    match form {
        "iso" => "Time::iso(text)".to_owned(),
        "utc" => "Time::iso(text).map(Time::in_utc)".to_owned(),
        "unix" => "Time::unix(text)".to_owned(),
        pattern => format!("Time::parse(text, {pattern:?})"),
    }
}

fn money(form: &str) -> String {
    match form {
        "plain" => "Money::parse(text)".to_owned(),
        "decimal-comma" => "Money::parse_grouped(text, ',')".to_owned(),
        "decimal-point" => "Money::parse_grouped(text, '.')".to_owned(),
        MINOR => "currency.and_then(|currency| Money::minor(text, currency))".to_owned(),
        scaled => format!("Money::scaled(text, {})", scaled.trim_start_matches("scaled ")),
    }
}
