//! Why a body could not be decoded.

use thiserror::Error;

use super::cut;

/// Why a body could not be decoded. One short line, whatever the body holds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The body ends in the middle of something.
    #[error("body is cut short at byte {at}")]
    CutShort {
        /// How many bytes there are.
        at: usize,
    },
    /// The body is in another format than the layout's.
    #[error("no {format}: it begins with `{begins}`")]
    OtherFormat {
        /// The layout's format.
        format: &'static str,
        /// The body's first characters.
        begins: String,
    },
    /// The body is empty, where its format can't be.
    #[error("no {format}: the body is empty")]
    Empty {
        /// The layout's format.
        format: &'static str,
    },
    /// A web page instead of data.
    #[error("no {format}: it is HTML")]
    Html {
        /// The layout's format.
        format: &'static str,
    },
    /// The body breaks its format's rules.
    #[error("bad {format} at byte {at}: {reason}")]
    Malformed {
        /// Its name: `JSON`, `XML` …
        format: &'static str,
        /// Where, from 0, in the body as UTF-8.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// The body isn't in the character set that it should be in, and can't be read in another one.
    #[error("body is not {charset}")]
    Charset {
        /// The character set.
        charset: &'static str,
    },
    /// No such character set.
    #[error("unknown character set `{label}`")]
    UnknownCharset {
        /// Its label, as the manifest or the response states it.
        label: String,
    },
    /// The layout names a place that can't be one.
    #[error("`{place}` is no place for records: {reason}")]
    BadPlace {
        /// The layout's place of records.
        place: String,
        /// Why not.
        reason: &'static str,
    },
    /// The body doesn't have the place where its records should be.
    #[error("nothing at `{place}`")]
    NothingAt {
        /// The layout's place of records.
        place: String,
    },
    /// Where the list of records should be is something else, which isn't an empty list.
    #[error("no list of records at {}: it is {found}", if place.is_empty() { "the top" } else { place })]
    NotAList {
        /// The layout's place of records.
        place: String,
        /// What is there: `null`, `a string`, `an object without a field of the layout`.
        found: &'static str,
    },
    /// The document is another one.
    #[error("root element is `{found}`, not `{expected}`")]
    OtherRoot {
        /// The first name of the layout's place.
        expected: String,
        /// The root's local name.
        found: String,
    },
    /// The first line doesn't have a single field of the layout.
    #[error("header has no field of the layout: it begins with `{begins}`")]
    OtherHeader {
        /// The body's first characters.
        begins: String,
    },
    /// The header lacks columns that the mapping needs.
    #[error("header has no column {}; it has {}", listed(missing, 50), listed(header, 80))]
    MissingColumns {
        /// The columns, as the layout spells them.
        missing: Vec<String>,
        /// The header, as the body spells it.
        header: Vec<String>,
    },
    /// Two columns of the header can be the one that the mapping needs.
    #[error("column `{column}` is ambiguous: the header has {}", listed(headers, 80))]
    AmbiguousColumn {
        /// The column, as the layout spells it.
        column: String,
        /// The header's columns, as the body spells them.
        headers: Vec<String>,
    },
    /// The body ends inside of a quoted field.
    #[error("a quote is open at the end of the body")]
    OpenQuote,
    /// The layout's delimiter or quote can't be one.
    #[error("delimiter and quote must be one ASCII character each")]
    BadDelimiter,
    /// The answer is a SOAP fault.
    #[error("SOAP fault: {reason}")]
    SoapFault {
        /// The fault's text.
        reason: String,
    },
    /// There are more records than one answer may have.
    #[error("body has {records} records, {allowed} are allowed")]
    TooManyRecords {
        /// How many there are.
        records: usize,
        /// How many may be.
        allowed: usize,
    },
    /// Decoding took longer than it may.
    #[error("body took too long to decode: given up at byte {at}")]
    OutOfTime {
        /// How far it came.
        at: usize,
    },
    /// The body exceeds a limit.
    #[error("body has more than {limit}")]
    Limit {
        /// The limit, in words, with its number and unit where it has one.
        limit: &'static str,
    },
}

/// What a [`DecodeError`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeErrorKind {
    /// The body ended before its terminator: ask again.
    Cut,
    /// The body breaks its format's rules.
    Malformed,
    /// The body is something else than the documented records: a web page, an error, null. It isn't an empty list.
    OtherContent,
    /// The header lacks a column that the mapping needs, or has it twice: the network has changed its format.
    Columns,
    /// The network reports a fault.
    Fault,
    /// The body exceeds a limit of the host.
    Limit,
    /// The connector's layout can't be used with any body.
    Layout,
}

impl DecodeErrorKind {
    /// The kind in kebab-case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Malformed => "malformed",
            Self::OtherContent => "other-content",
            Self::Columns => "columns",
            Self::Fault => "fault",
            Self::Limit => "limit",
            Self::Layout => "layout",
        }
    }
}

impl DecodeError {
    /// What the error asks for.
    pub fn kind(&self) -> DecodeErrorKind {
        match self {
            Self::CutShort { .. } | Self::OpenQuote => DecodeErrorKind::Cut,
            Self::Malformed { .. } | Self::Charset { .. } => DecodeErrorKind::Malformed,
            Self::OtherFormat { .. }
            | Self::Empty { .. }
            | Self::Html { .. }
            | Self::NothingAt { .. }
            | Self::NotAList { .. }
            | Self::OtherRoot { .. }
            | Self::OtherHeader { .. } => DecodeErrorKind::OtherContent,
            Self::MissingColumns { .. } | Self::AmbiguousColumn { .. } => DecodeErrorKind::Columns,
            Self::SoapFault { .. } => DecodeErrorKind::Fault,
            Self::TooManyRecords { .. } | Self::OutOfTime { .. } | Self::Limit { .. } => DecodeErrorKind::Limit,
            Self::UnknownCharset { .. } | Self::BadPlace { .. } | Self::BadDelimiter => DecodeErrorKind::Layout,
        }
    }
}

/// As many names as fit into so many characters, and how many more there are.
fn listed(names: &[String], most: usize) -> String {
    let (mut line, mut shown) = (String::new(), 0);
    for name in names {
        let name: String = cut(name).chars().take(24).collect();
        let length = line.chars().count() + name.chars().count();
        if shown > 0 && length + 4 > most {
            break;
        }
        line.push_str(if shown > 0 { ", `" } else { "`" });
        line.push_str(&name);
        line.push('`');
        shown += 1;
    }
    match names.len() - shown {
        0 if names.is_empty() => "none".to_owned(),
        0 => line,
        more => format!("{line} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_shortened() {
        let names = |count: usize| (0..count).map(|n| format!("a rather long name {n}")).collect::<Vec<_>>();
        assert_eq!(listed(&names(2), 80), "`a rather long name 0`, `a rather long name 1`");
        assert_eq!(listed(&names(9), 50), "`a rather long name 0`, `a rather long name 1` and 7 more");
        let error = DecodeError::MissingColumns { missing: names(90), header: vec!["é".repeat(900); 900] };
        assert!(error.to_string().chars().count() < 200, "{error}");
    }

    #[test]
    fn a_cut_body_is_no_malformed_one() {
        assert_eq!(DecodeError::CutShort { at: 1 }.kind().name(), "cut");
        let malformed = DecodeError::Malformed { format: "JSON", at: 1, reason: String::new() };
        assert_eq!(malformed.kind().name(), "malformed");
    }
}
