//! The columns of a stream's transactions, each with the fields that it comes from and how they are read.

use crate::document::{Read, Section, Text, Value, mistake};
use crate::schema::transaction_columns;
use crate::template::Names;

macro_rules! columns {
    ($($who:ident { $($name:ident $kind:ident $(($($word:tt)*))? $presence:ident $group:ident $doc:literal;)* })*) => {
        /// The columns of transactions: who gives each, its name and its kind.
        const COLUMNS: &[Described] = &[$($([stringify!($who), stringify!($name), stringify!($kind)],)*)*];
    };
}

transaction_columns!(columns);

/// Columns that are filled otherwise: from `status`, and by functions of a connector's own.
const FILLED_OTHERWISE: [&str; 3] = ["transaction_id", "status_raw", "amounts_reported"];

/// Who gives a column, its name and its kind.
pub(crate) type Described = [&'static str; 3];

/// The kinds of the schema that are read alike.
const READ_ALIKE: [(&[&str], Kind); 6] = [
    (&["text", "currency"], Kind::Text),
    (&["time", "day"], Kind::Time),
    (&["money"], Kind::Money),
    (&["flag"], Kind::Flag),
    (&["int64"], Kind::Count),
    (&["id"], Kind::Id),
];

/// Reads the columns of a schema that come from fields, but some.
pub(crate) fn read_columns(
    table: &Section,
    (schema, but): (&'static [Described], &[&str]),
    inputs: &mut Inputs,
    names: &Names,
) -> Read<Vec<Column>> {
    let mut columns = Vec::new();
    for (kinds, kind) in READ_ALIKE {
        for [who, name, of] in schema {
            if *who != "connector" || !kinds.contains(of) || but.contains(name) {
                continue;
            }
            if let Some(value) = table.value(name) {
                columns.push(column(name, kind, value, inputs, names)?);
            }
        }
    }
    Ok(columns)
}

/// Where a value comes from, as an expression.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A field of the record, by its place among the inputs.
    Input(usize),
    Constant(String),
    Setting(String),
    /// A place of the body.
    Body(String),
}

/// A column that is read.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The first that is filled counts. Each with its forms.
    pub(crate) sources: Vec<(Source, Vec<String>)>,
    /// The decisions on which it is filled: `decided`, `approved`, `declined`.
    pub(crate) when: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Time,
    Money,
    Flag,
    Count,
    /// A text that every row has.
    Id,
}

/// The id of a row.
pub(crate) struct Id {
    /// The field that holds it, if the network gives one.
    pub(crate) field: Option<usize>,
    /// The fields that it is put together of otherwise.
    pub(crate) parts: Vec<usize>,
    pub(crate) separator: String,
}

/// What a record is.
pub(crate) struct KindOf {
    pub(crate) field: Option<usize>,
    /// The network's word, and the variant.
    pub(crate) words: Vec<(String, &'static str)>,
    pub(crate) negative_is_adjustment: bool,
}

/// The mapping of a stream.
pub(crate) struct Columns {
    pub(crate) inputs: Vec<String>,
    pub(crate) id: Id,
    /// The first that is filled.
    pub(crate) status: Vec<usize>,
    /// A flag that says that it was paid.
    pub(crate) paid: Option<usize>,
    pub(crate) kind: KindOf,
    pub(crate) columns: Vec<Column>,
    /// Names and inputs.
    pub(crate) sub_ids: Vec<(String, usize)>,
    /// A function of the connector's own that changes a row before it is taken.
    pub(crate) adjust: Option<String>,
}

/// The form of amounts in the minor unit of their currency.
pub(crate) const MINOR: &str = "minor";

/// Columns that count nothing right if they are null in every row.
const NEEDED: [&str; 6] =
    ["sale_amount", "sale_currency", "commission_amount", "commission_currency", "amount", "currency"];

/// Refuses columns of money, and a status, that come from nothing but columns that a header may lack: the host refuses
/// a header without a column that it needs by its name, and takes one without such a column.
pub(crate) fn check_optional(columns: &[Column], status: &[usize], inputs: &[String], optional: &[Text]) -> Read<()> {
    let place = |input: usize| {
        let path = inputs.get(input)?;
        optional.iter().find(|text| text.text == *path)
    };
    let money = columns.iter().filter(|column| NEEDED.contains(&column.name.as_str())).map(|column| {
        let inputs = column.sources.iter().map(|(source, _)| match source {
            Source::Input(input) => Some(*input),
            _ => None,
        });
        (column.name.as_str(), inputs.collect::<Vec<_>>())
    });
    let status = ("status", status.iter().map(|input| Some(*input)).collect());
    for (name, inputs) in money.chain([status]) {
        let absent: Vec<&Text> = inputs.iter().filter_map(|input| place((*input)?)).collect();
        if let Some(first) = absent.first().filter(|_| absent.len() == inputs.len()) {
            return mistake(
                first.line,
                format!("`{name}` needs a column that isn't `optional`: a header may lack `{}`", first.text),
            );
        }
    }
    Ok(())
}

/// The column of an amount's currency: its own, or else the only one that is mapped.
pub(crate) fn currency_of<'a>(amount: &str, columns: &'a [Column]) -> Option<&'a Column> {
    let named = |name: &str| columns.iter().find(|column| column.name == name);
    let of = amount.strip_prefix("original_").unwrap_or(amount).strip_suffix("_amount");
    let own = of.and_then(|of| named(&format!("{of}_currency"))).or_else(|| named("currency"));
    let mut all = columns.iter().filter(|column| column.name.ends_with("currency"));
    own.or_else(|| all.next().filter(|_| all.next().is_none()))
}

/// Refuses amounts in a currency's minor unit of which no currency is mapped: how many places it has isn't known.
pub(crate) fn check_minor(columns: &[Column], line: usize) -> Read<()> {
    let is_minor = |column: &&Column| column.sources.iter().any(|(_, forms)| forms.iter().any(|form| form == MINOR));
    for Column { name, .. } in columns.iter().filter(is_minor) {
        if !name.ends_with("amount") {
            return mistake(line, format!("`{name}` is in no currency, so that it has no minor unit"));
        }
        if currency_of(name, columns).is_none() {
            return mistake(
                line,
                format!("`{name}` is read as minor, and `[streams.map]` has no column of its currency"),
            );
        }
    }
    Ok(())
}

/// The inputs as they are gathered.
#[derive(Default)]
pub(crate) struct Inputs(pub(crate) Vec<String>);

impl Inputs {
    fn place(&mut self, path: &str) -> usize {
        match self.0.iter().position(|known| known == path) {
            Some(place) => place,
            None => {
                self.0.push(path.to_owned());
                self.0.len() - 1
            }
        }
    }
}

/// Reads `[streams.map]`.
pub(crate) fn read(table: &Section, names: &Names) -> Read<Columns> {
    let mut inputs = Inputs::default();
    let id = id(table, "transaction_id", &mut inputs)?;
    let one = |key: &str, inputs: &mut Inputs| Ok(table.text(key)?.map(|path| inputs.place(&path.text)));
    let status = table.texts("status")?.iter().map(|path| inputs.place(&path.text)).collect();
    let paid = one("paid", &mut inputs)?;
    let kind = kind(table, &mut inputs)?;
    let columns = read_columns(table, (COLUMNS, &FILLED_OTHERWISE), &mut inputs, names)?;
    if !columns.iter().any(|column| column.name == "transacted_at") {
        return mistake(table.line, "`[streams.map]` has no `transacted_at`");
    }
    check_minor(&columns, table.line)?;
    let sub_ids = table.texts("sub_ids")?.into_iter().map(|path| {
        let name = path.text.rsplit('.').next().unwrap_or(&path.text).to_owned();
        (name, inputs.place(&path.text))
    });
    let sub_ids = sub_ids.collect();
    let adjust = table.text("adjust")?.map(|path| path.text);
    // What a function of one's own reads beside.
    for (name, value) in table.section("inputs")?.map(|extra| extra.all()).unwrap_or_default() {
        inputs.place(&value.text(&name)?.text);
    }
    table.finish()?;
    Ok(Columns { inputs: inputs.0, id, status, paid, kind, columns, sub_ids, adjust })
}

/// `"id"`, or `{ field = "id", parts = ["a", "b"], separator = "-" }`.
pub(crate) fn id(table: &Section, name: &str, inputs: &mut Inputs) -> Read<Id> {
    let value = table.required(name)?;
    if let Some(field) = value.as_text() {
        let field = Some(inputs.place(&field.text));
        return Ok(Id { field, parts: Vec::new(), separator: String::new() });
    }
    let section = value.section(name)?;
    let field = section.text("field")?.map(|path| inputs.place(&path.text));
    let parts: Vec<usize> = section.texts("parts")?.iter().map(|path| inputs.place(&path.text)).collect();
    if parts.len() < 2 {
        return mistake(value.line, format!("`{name}` is put together of at least two `parts`"));
    }
    let separator = section.text("separator")?.map_or_else(|| "-".to_owned(), |text| text.text);
    section.finish()?;
    Ok(Id { field, parts, separator })
}

fn kind(table: &Section, inputs: &mut Inputs) -> Read<KindOf> {
    let mut found = KindOf { field: None, words: Vec::new(), negative_is_adjustment: false };
    let Some(section) = table.section("kind")? else { return Ok(found) };
    found.negative_is_adjustment = section.flag("negative_is_adjustment", false)?;
    found.field = section.text("field")?.map(|path| inputs.place(&path.text));
    for (word, value) in section.section("words")?.map(|words| words.all()).unwrap_or_default() {
        let variant = match value.text(&word)?.text.as_str() {
            "sale" => "Sale",
            "lead" => "Lead",
            "click" => "Click",
            "bonus" => "Bonus",
            "adjustment" => "Adjustment",
            "line-item" => "LineItem",
            "event" => "Event",
            other => {
                return mistake(
                    value.line,
                    format!("`{other}` is no kind: sale, lead, click, bonus, adjustment, line-item or event"),
                );
            }
        };
        found.words.push((word, variant));
    }
    if found.words.is_empty() != found.field.is_none() {
        return mistake(section.line, "a kind needs both `field` and `words`");
    }
    section.finish()?;
    Ok(found)
}

fn column(name: &str, kind: Kind, value: Value, inputs: &mut Inputs, names: &Names) -> Read<Column> {
    let mut when = None;
    let mut sources = Vec::new();
    for text in value.texts(name)? {
        let (rest, condition) = match text.text.split_once(" when ") {
            Some((rest, condition)) => (rest.to_owned(), Some(condition.trim().to_owned())),
            None => (text.text.clone(), None),
        };
        if let Some(condition) = condition {
            if !["decided", "approved", "declined"].contains(&condition.as_str()) {
                return mistake(text.line, format!("`{condition}` is no decision: decided, approved or declined"));
            }
            when = Some(condition);
        }
        let (place, forms) = match rest.split_once(" as ") {
            Some((place, forms)) => (place.trim().to_owned(), forms.split(" | ").map(str::to_owned).collect()),
            None => (rest.trim().to_owned(), Vec::new()),
        };
        let source = source(&Text { text: place, line: text.line }, kind, inputs, names)?;
        for form in &forms {
            check_form(form, kind, text.line)?;
        }
        sources.push((source, forms));
    }
    if sources.is_empty() {
        return mistake(value.line, format!("`{name}` comes from nothing"));
    }
    Ok(Column { name: name.to_owned(), kind, sources, when })
}

/// A field, `$const TEXT`, `$setting NAME` or `$body PLACE`.
fn source(text: &Text, kind: Kind, inputs: &mut Inputs, names: &Names) -> Read<Source> {
    let Some(special) = text.text.strip_prefix('$') else { return Ok(Source::Input(inputs.place(&text.text))) };
    if kind != Kind::Text {
        return mistake(text.line, "times, amounts, flags and counts come from fields of the record");
    }
    match special.split_once(' ').unwrap_or((special, "")) {
        ("const", constant) if !constant.is_empty() => Ok(Source::Constant(constant.to_owned())),
        ("setting", name) if names.settings.iter().any(|known| known == name) => Ok(Source::Setting(name.to_owned())),
        ("setting", name) => mistake(text.line, format!("there is no setting `{name}`")),
        ("body", place) if !place.is_empty() => Ok(Source::Body(place.to_owned())),
        _ => mistake(text.line, format!("`${special}` is none of: $const TEXT, $setting NAME, $body PLACE")),
    }
}

fn check_form(form: &str, kind: Kind, line: usize) -> Read<()> {
    let is_known = match kind {
        Kind::Time => matches!(form, "iso" | "utc" | "unix") || form.contains('%'),
        Kind::Money => {
            matches!(form, "plain" | "decimal-comma" | "decimal-point" | MINOR)
                || form.strip_prefix("scaled ").is_some_and(|places| places.parse::<u8>().is_ok_and(|p| p <= 12))
        }
        Kind::Text | Kind::Flag | Kind::Count | Kind::Id => false,
    };
    let known = match kind {
        Kind::Time => "a time is read as iso, utc (the zone's name left out), unix, or a pattern such as %d.%m.%Y",
        Kind::Money => "an amount is read as plain, decimal-comma, decimal-point, scaled PLACES or minor",
        Kind::Text | Kind::Flag | Kind::Count | Kind::Id => "texts, flags and counts have no form",
    };
    if is_known { Ok(()) } else { mistake(line, format!("`{form}`: {known}")) }
}
