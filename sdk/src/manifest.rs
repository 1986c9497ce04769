//! Short forms for manifests.

use crate::{
    Axis, Delimited, Format, Grain, Kind, Layout, LookBack, Manifest, PaymentStatus, Pin, SecretSlot, Setting,
    StatusWord, Stream, ValidationStatus,
};

/// A network that is read once an hour, without hosts, streams, settings or secrets yet. `version` is the connector's:
/// `env!("CARGO_PKG_VERSION")`.
pub fn manifest(network: &str, title: &str, version: &str) -> Manifest {
    Manifest {
        network: network.into(),
        title: title.into(),
        version: version.into(),
        hosts: vec![],
        streams: vec![],
        settings: vec![],
        secrets: vec![],
        tokens: vec![],
        rate: None,
        schedule: "0 * * * *".into(),
        look_back: vec![],
        statuses: vec![],
    }
}

/// A stream of unified transactions over exact windows in UTC, filtered on the transaction's date. No window is taken for
/// complete: say so in `complete_windows`, for the dates of which every answer holds all that there is.
pub fn stream(name: &str) -> Stream {
    Stream {
        name: name.into(),
        unified: true,
        axes: vec![Axis::Transaction],
        complete_windows: vec![],
        max_window_secs: None,
        history_days: None,
        grain: Grain::Second,
        timezone: "UTC".into(),
        layout: layout(Format::Opaque),
    }
}

fn layout(format: Format) -> Layout {
    Layout { format, pins: vec![], inputs: vec![], key: vec![] }
}

/// Records in JSON at a JSON Pointer.
pub fn json(records_at: &str) -> Layout {
    layout(Format::Json(records_at.into()))
}

/// Records in XML at local element names joined by `.`.
pub fn xml(records_at: &str) -> Layout {
    layout(Format::Xml(records_at.into()))
}

/// Lines of fields, the names in the first; `quote` is empty where the network doesn't quote. There, every row must have all
/// fields: a delimiter or a line feed in a value tears its row, which becomes a reject.
pub fn delimited(delimiter: &str, quote: &str) -> Layout {
    layout(Format::Delimited(Delimited {
        delimiter: delimiter.into(),
        quote: quote.into(),
        skip_lines: 0,
        header: vec![],
        charset: "utf-8".into(),
        exact_fields: quote.is_empty(),
        optional: vec![],
    }))
}

/// Pins columns to one kind.
pub fn pins(kind: Kind, paths: &[&str]) -> Vec<Pin> {
    paths.iter().map(|path| Pin { path: (*path).into(), kind }).collect()
}

/// Pins columns to their kinds, kind by kind.
pub fn pins_by_kind(columns: &[(Kind, &[&str])]) -> Vec<Pin> {
    columns.iter().flat_map(|(kind, paths)| pins(*kind, paths)).collect()
}

/// A setting that an account must have, and that identifies it: a publisher's number. For one that says something else, as the
/// currency of answers that name none: `Setting { identifies: false, ..required_setting(…) }`.
pub fn required_setting(name: &str, meaning: &str) -> Setting {
    Setting { name: name.into(), meaning: meaning.into(), required: true, default: None, identifies: true }
}

/// A setting that an account may have, and that doesn't identify it. For one that does, as a site of a publisher:
/// `Setting { identifies: true, ..optional_setting(…) }`.
pub fn optional_setting(name: &str, meaning: &str, default: Option<&str>) -> Setting {
    let default = default.map(Into::into);
    Setting { name: name.into(), meaning: meaning.into(), required: false, default, identifies: false }
}

/// A secret that an account must have.
pub fn required_secret(name: &str, meaning: &str) -> SecretSlot {
    SecretSlot { name: name.into(), meaning: meaning.into(), required: true }
}

/// A look-back rule: how often how many days are read again.
pub fn look_back(every_secs: u32, days: u32, axis: Axis) -> LookBack {
    LookBack { every_secs, days, axis }
}

/// A status word and what it means, as static data: `const STATUSES: &[Status]`.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The word, verbatim.
    pub token: &'static str,
    /// The advertiser's decision.
    pub validation: ValidationStatus,
    /// The publisher's money.
    pub payment: PaymentStatus,
    /// Whether it can no longer change.
    pub locked: Option<bool>,
}

impl Status {
    /// The status of an unknown word.
    pub const UNKNOWN: Self = Self::new("", ValidationStatus::Unknown, PaymentStatus::Unknown);

    /// A word that leaves open whether the transaction can still change.
    pub const fn new(token: &'static str, validation: ValidationStatus, payment: PaymentStatus) -> Self {
        Self { token, validation, payment, locked: None }
    }

    /// The same word, with whether the transaction can no longer change.
    #[must_use]
    pub const fn locked(self, locked: bool) -> Self {
        Self { locked: Some(locked), ..self }
    }

    /// The status of a word, whatever its case.
    pub fn find(words: &'static [Self], token: &str) -> Option<&'static Self> {
        words.iter().find(|word| word.token.eq_ignore_ascii_case(token))
    }

    /// The manifest's form of a list.
    pub fn manifest(words: &'static [Self]) -> Vec<StatusWord> {
        let word = |word: &Self| StatusWord {
            token: word.token.into(),
            validation: word.validation,
            payment: word.payment,
            locked: word.locked,
        };
        words.iter().map(word).collect()
    }
}
