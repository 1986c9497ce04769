//! The form of a facts file.

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// What is known of a network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    /// Its slug: the folder's name.
    #[serde(skip)]
    pub(crate) slug: String,
    /// What the file rests on.
    #[allow(dead_code, reason = "for whoever reads the file")]
    pub(crate) about: String,
    /// Settings of an account: `#` is a digit, `=` before a text takes it as it is.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) secrets: Vec<String>,
    /// The zone of its local times.
    #[serde(default = "utc")]
    pub(crate) zone: Tz,
    /// How a request shows whose it is.
    pub(crate) auth: Auth,
    pub(crate) sign_in: Option<SignIn>,
    pub(crate) lists: Vec<List>,
    /// Its words for pending, approved, declined, paid; for corrections base, amended, voided.
    pub(crate) states: BTreeMap<String, String>,
    /// Its words for sale, lead and bonus.
    #[serde(default)]
    pub(crate) kinds: BTreeMap<String, String>,
    pub(crate) error_at_200: Stated,
    /// What it answers where a credential isn't good.
    pub(crate) unauthorized: Stated,
}

fn utc() -> Tz {
    Tz::UTC
}

/// How a request shows whose it is. Texts are templates of an account's settings and secrets.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Auth {
    Basic {
        user: String,
        password: String,
    },
    Header {
        name: String,
        value: String,
    },
    Query {
        name: String,
        value: String,
    },
    /// A segment of the path, which a list's path names.
    Path {
        value: String,
    },
    /// A bearer that the sign-in gave.
    Granted,
    /// A header that the sign-in gave and every answer renews.
    Rotating {
        header: String,
    },
}

/// The sign-in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The scheme of `Authorization` and what its base64 holds.
    pub(crate) authorization: Option<(String, String)>,
    /// Parameters of the form, or of the query of a GET.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
    /// Parts of a JSON body, by pointer.
    #[serde(default)]
    pub(crate) body: BTreeMap<String, String>,
    /// The parameter of a refresh token that is spent by every sign-in.
    pub(crate) refresh: Option<String>,
    /// `{token}` and `{refresh}` are new ones.
    pub(crate) answer: Value,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

/// Which rows a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rows {
    /// One a sale, in its present state.
    States,
    /// One a sale as it was at first, and a further one with the difference for each change of its amounts.
    Corrections,
    /// One an advertiser.
    Advertisers,
    /// None: the envelope says all.
    Static,
}

/// A list of records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    #[serde(default = "get")]
    pub(crate) method: String,
    /// A template, without the query.
    pub(crate) path: String,
    pub(crate) rows: Rows,
    #[serde(default)]
    pub(crate) windows: Vec<Window>,
    /// The longest window.
    pub(crate) max_days: Option<i64>,
    /// Parameters that must be there, with templates of their values.
    #[serde(default)]
    pub(crate) required: BTreeMap<String, String>,
    pub(crate) paging: Option<Paging>,
    pub(crate) format: Form,
    /// A record: a JSON template; for CSV and XML a list of names and templates.
    pub(crate) record: Value,
    /// The body around `"$rows"`.
    pub(crate) envelope: Value,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// The status of a page that isn't the last one.
    pub(crate) more_status: Option<u16>,
    /// The status of an answer without any row, which then has no body.
    pub(crate) empty_status: Option<u16>,
    /// The whole answer without any row, where that isn't the envelope's.
    pub(crate) empty: Option<Value>,
    pub(crate) truth: Option<Truth>,
}

fn get() -> String {
    "GET".to_owned()
}

/// A window that can be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    pub(crate) from: String,
    pub(crate) to: String,
    /// The date of an entry: `transacted`, `modified`, `decided`, `locks`, `appeared`.
    pub(crate) date: String,
    /// chrono's pattern; without an hour it means days.
    pub(crate) form: String,
    /// Whether the times are UTC instead of the network's zone.
    #[serde(default)]
    pub(crate) utc: bool,
    /// Whether the end belongs to it.
    #[serde(default = "yes")]
    pub(crate) inclusive: bool,
    /// A parameter that must have this value for the window to count.
    pub(crate) when: Option<(String, String)>,
}

fn yes() -> bool {
    true
}

/// How a list is cut into pages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    /// The parameter with the page or the offset.
    pub(crate) parameter: String,
    /// Whether that is a header of the request.
    #[serde(default)]
    pub(crate) in_header: bool,
    #[serde(default)]
    pub(crate) by_offset: bool,
    /// The parameter with the size of a page.
    pub(crate) size_parameter: Option<String>,
    pub(crate) default_size: usize,
    pub(crate) max_size: usize,
    /// Pages beyond are refused.
    pub(crate) max_pages: Option<usize>,
    /// Whether a server may give fewer rows than it is asked for: then `Options::page_limit` holds.
    #[serde(default)]
    pub(crate) may_give_fewer: bool,
}

/// The format of a body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Form {
    Json,
    Xml { record: String },
    Csv { delimiter: char, quote: bool, latin1: bool },
}

/// What is true of an entry: templates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Truth {
    /// Whether there is a row for each product line instead of one for all.
    #[serde(default)]
    pub(crate) per_line: bool,
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) commission: String,
    pub(crate) currency: String,
    pub(crate) sale: String,
    pub(crate) order: Option<String>,
    #[serde(default)]
    pub(crate) sub_ids: BTreeMap<String, String>,
    /// What each of sale, lead, bonus and adjustment is to whoever reads the rows; itself if it isn't here.
    #[serde(default)]
    pub(crate) kinds: BTreeMap<String, crate::Kind>,
    /// The date that stands for the transaction's: `transacted` unless another one is named.
    #[serde(default = "transacted")]
    pub(crate) time: String,
    /// Whether times are local ones, without their offset.
    #[serde(default)]
    pub(crate) local: bool,
}

fn transacted() -> String {
    "transacted".to_owned()
}

/// A whole reply.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stated {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) media: String,
    pub(crate) body: String,
}

/// All facts files beside connectors, by slug. One that can't be read is reported, and its network unknown.
pub(crate) fn all() -> &'static [Facts] {
    static ALL: OnceLock<Vec<Facts>> = OnceLock::new();
    ALL.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors");
        let folders = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<Facts> = folders.filter_map(|folder| read(&folder)).collect();
        found.sort_by(|one, other| one.slug.cmp(&other.slug));
        found
    })
}

fn read(folder: &Path) -> Option<Facts> {
    let file = folder.join("simulated.json");
    let text = std::fs::read_to_string(&file).ok()?;
    match serde_json::from_str::<Facts>(&text) {
        Ok(facts) => Some(Facts { slug: folder.file_name()?.to_string_lossy().into_owned(), ..facts }),
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            None
        }
    }
}
