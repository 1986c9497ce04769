//! Manifests from the guest.

use sluice_model::{
    Axis, Delimited, Format, Grain, Kind, Layout, LookBack, Manifest, PaymentStatus, Pin, Rate, SecretSlot, Setting,
    StatusWord, Stream, TokenPlace, TokenSource, ValidationStatus,
};

use super::request::request;
use super::wire;
use crate::call::quoted;

pub(super) fn manifest(wire: wire::Manifest) -> Result<Manifest, String> {
    Ok(Manifest {
        network: wire.network,
        title: wire.title,
        version: wire.version,
        hosts: wire.hosts,
        streams: wire.streams.into_iter().map(stream).collect::<Result<_, _>>()?,
        settings: wire.settings.into_iter().map(setting).collect(),
        secrets: wire.secrets.into_iter().map(secret).collect(),
        tokens: wire.tokens.into_iter().map(token).collect(),
        rate: wire.rate.map(|rate| Rate {
            requests: rate.requests,
            per_secs: rate.per_secs,
            concurrency: rate.concurrency,
        }),
        schedule: wire.schedule,
        look_back: wire
            .look_back
            .into_iter()
            .map(|look| LookBack { every_secs: look.every_secs, days: look.days, axis: axis(look.axis) })
            .collect(),
        statuses: wire.statuses.into_iter().map(status).collect(),
    })
}

fn stream(wire: wire::Stream) -> Result<Stream, String> {
    let layout = layout(wire.layout).map_err(|what| format!("stream `{}`: {what}", wire.name))?;
    Ok(Stream {
        name: wire.name,
        unified: wire.unified,
        axes: wire.axes.into_iter().map(axis).collect(),
        complete_windows: wire.complete_windows.into_iter().map(axis).collect(),
        max_window_secs: wire.max_window_secs,
        history_days: wire.history_days,
        grain: match wire.grain {
            wire::Grain::Second => Grain::Second,
            wire::Grain::Day => Grain::Day,
        },
        timezone: wire.timezone,
        layout,
    })
}

fn axis(wire: wire::Axis) -> Axis {
    match wire {
        wire::Axis::Transaction => Axis::Transaction,
        wire::Axis::Modified => Axis::Modified,
        wire::Axis::Validation => Axis::Validation,
        wire::Axis::Payment => Axis::Payment,
        wire::Axis::None => Axis::None,
    }
}

fn layout(wire: wire::Layout) -> Result<Layout, String> {
    let format = match wire.format {
        wire::Format::Json(place) => Format::Json(place),
        wire::Format::Ndjson => Format::Ndjson,
        wire::Format::Xml(place) => Format::Xml(place),
        wire::Format::Delimited(wire) => Format::Delimited(delimited(wire)?),
        wire::Format::Opaque => Format::Opaque,
    };
    let pins = wire.pins.into_iter().map(|pin| Pin { path: pin.path, kind: kind(pin.kind) }).collect();
    Ok(Layout { format, pins, inputs: wire.inputs, key: wire.key })
}

fn delimited(wire: wire::Delimited) -> Result<Delimited, String> {
    let one = |what: &str, text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err(format!("the {what} is {}, not one ASCII character", quoted(text))),
    };
    let quote = Some(wire.quote).filter(|quote| !quote.is_empty());
    Ok(Delimited {
        delimiter: one("delimiter", &wire.delimiter)?,
        quote: quote.map(|quote| one("quote", &quote)).transpose()?,
        skip_lines: wire.skip_lines,
        header: wire.header,
        charset: wire.charset,
        exact_fields: wire.exact_fields,
        optional: wire.optional,
    })
}

pub(super) fn kind(wire: wire::Kind) -> Kind {
    match wire {
        wire::Kind::Boolean => Kind::Boolean,
        wire::Kind::Int64 => Kind::Int64,
        wire::Kind::Float64 => Kind::Float64,
        wire::Kind::Decimal => Kind::Decimal,
        wire::Kind::Timestamp => Kind::Timestamp,
        wire::Kind::Text => Kind::Text,
    }
}

fn setting(wire: wire::Setting) -> Setting {
    Setting {
        name: wire.name,
        meaning: wire.meaning,
        required: wire.required,
        default: wire.default,
        identifies: wire.identifies,
    }
}

fn secret(wire: wire::SecretSlot) -> SecretSlot {
    SecretSlot { name: wire.name, meaning: wire.meaning, required: wire.required }
}

fn token(wire: wire::TokenSource) -> TokenSource {
    TokenSource {
        name: wire.name,
        request: request(wire.request),
        value: place(wire.value),
        lifetime: wire.lifetime.map(place),
        lifetime_secs: wire.lifetime_secs,
        refresh_value: wire.refresh_value.map(place),
        refresh: wire.refresh.map(request),
        rotates: wire.rotates,
    }
}

fn place(wire: wire::TokenPlace) -> TokenPlace {
    match wire {
        wire::TokenPlace::Json(pointer) => TokenPlace::Json(pointer),
        wire::TokenPlace::Xml(path) => TokenPlace::Xml(path),
        wire::TokenPlace::Header(name) => TokenPlace::Header(name),
        wire::TokenPlace::Cookies => TokenPlace::Cookies,
        wire::TokenPlace::Body => TokenPlace::Body,
    }
}

fn status(wire: wire::StatusWord) -> StatusWord {
    StatusWord {
        token: wire.token,
        validation: match wire.validation {
            wire::ValidationStatus::Pending => ValidationStatus::Pending,
            wire::ValidationStatus::Approved => ValidationStatus::Approved,
            wire::ValidationStatus::Declined => ValidationStatus::Declined,
            wire::ValidationStatus::Unknown => ValidationStatus::Unknown,
        },
        payment: match wire.payment {
            wire::PaymentStatus::Unpaid => PaymentStatus::Unpaid,
            wire::PaymentStatus::Payable => PaymentStatus::Payable,
            wire::PaymentStatus::Paid => PaymentStatus::Paid,
            wire::PaymentStatus::ClawedBack => PaymentStatus::ClawedBack,
            wire::PaymentStatus::Unknown => PaymentStatus::Unknown,
        },
        locked: wire.locked,
    }
}
