//! How a list comes in pages.

use crate::document::{Read, Section, mistake};

/// The paging of a stream.
pub(crate) struct Pages {
    pub(crate) first: u32,
    pub(crate) by_offset: bool,
    pub(crate) size: u32,
    /// The SDK's `End`, as Rust.
    pub(crate) end: String,
    pub(crate) most: u32,
    /// Place of the first record.
    pub(crate) record: String,
    /// Where the number of all records stands.
    pub(crate) total: Option<Stated>,
}

/// Where an answer states how many records there are.
pub(crate) enum Stated {
    /// At a place of the body.
    Body(String),
    /// In a header.
    Header(String),
}

impl Stated {
    /// An expression of the text that states it, of a `response`.
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Body(place) => format!("response.value_at({place:?})"),
            Self::Header(name) => format!("response.header({name:?}).map(str::to_owned)"),
        }
    }
}

/// Reads `[streams.pages]`.
pub(crate) fn read(section: &Section) -> Read<Option<Pages>> {
    let Some(table) = section.section("pages")? else { return Ok(None) };
    let by = table.text("by")?;
    let by_offset = match by.as_ref().map_or("page", |by| by.text.as_str()) {
        "page" => false,
        "offset" => true,
        other => return mistake(by.as_ref().map_or(table.line, |by| by.line), format!("`{other}`: page or offset")),
    };
    let end = table.required("end")?.text("end")?;
    let (word, place) = end.text.split_once(' ').unwrap_or((&end.text, ""));
    let with_place = |variant: &str| {
        if place.is_empty() {
            mistake(end.line, format!("`{word}` needs the place that says it: `{word} /…`"))
        } else {
            Ok(format!("End::{variant}({place:?})"))
        }
    };
    let code = match word {
        "empty" => "End::Empty".to_owned(),
        "short" => "End::Short".to_owned(),
        "206" => "End::Partial".to_owned(),
        "last-page" => with_place("LastPage")?,
        "total" => with_place("Total")?,
        "total-header" => with_place("TotalHeader")?,
        "next-position" => with_place("NextPosition")?,
        "marked" => with_place("Marked")?,
        _ => {
            return mistake(
                end.line,
                format!(
                    "`{word}` ends no list: empty, short, 206, last-page PLACE, total PLACE, total-header NAME, \
                     next-position PLACE or marked PLACE"
                ),
            );
        }
    };
    let by_end = match word {
        "total" => Some(Stated::Body(place.to_owned())),
        "total-header" => Some(Stated::Header(place.to_owned())),
        _ => None,
    };
    let pages = Pages {
        first: table.number("first")?.unwrap_or(u32::from(!by_offset)),
        by_offset,
        size: table.required("size")?.number("size")?,
        end: code,
        most: table.number("most")?.unwrap_or(1_000),
        record: table.text("record")?.map(|text| text.text).unwrap_or_default(),
        total: table.text("total")?.map(|text| Stated::Body(text.text)).or(by_end),
    };
    table.finish()?;
    Ok(Some(pages))
}

impl Pages {
    /// The SDK's form.
    pub(crate) fn code(&self) -> String {
        format!(
            "Pages {{ first: {}, by_offset: {}, size: {}, end: {}, most: {}, record: {:?} }}",
            self.first, self.by_offset, self.size, self.end, self.most, self.record
        )
    }
}
