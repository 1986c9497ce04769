//! References of SOAP: `<campaign href="#ref1"/>` stands for what the element with `id="ref1"` holds.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::clock::Clock;
use super::{DecodeError, MAX_DEPTH, MAX_FIELDS};

/// How much more text than the body has may be copied for its references: so many times the body, and a part besides.
const MAX_TIMES: usize = 16;
const MAX_BESIDES: usize = 1 << 20;
/// The depth of SOAP's elements that only others refer to: `Envelope`, `Body`, and they.
const INDEPENDENT: usize = 2;

/// The document with a copy of what is referred to at each reference, and without the ids that were for them.
///
/// What refers to nothing, or to an element that encloses it, stays as it is. None if there is no reference to resolve.
///
/// # Errors
/// References that make more of the document than a decoder should read.
pub(super) fn resolve(text: &str, clock: Clock) -> Result<Option<String>, DecodeError> {
    let Some(index) = Index::of(text, clock)? else { return Ok(None) };
    let (out, active) = (String::with_capacity(text.len()), Vec::new());
    let mut expansion = Expansion { text, index: &index, out, active, spent: 0, clock };
    expansion.write(0..text.len())?;
    Ok(Some(expansion.out))
}

/// What references lead to.
struct Index<'a> {
    targets: HashMap<&'a str, Target<'a>>,
    /// Ids that are referred to.
    asked: HashSet<&'a str>,
}

struct Target<'a> {
    attributes: Vec<(&'a str, &'a str)>,
    content: Range<usize>,
}

impl Target<'_> {
    /// How many bytes a copy takes.
    fn length(&self) -> usize {
        let attributes = self.attributes.iter().map(|(key, value)| key.len() + value.len() + 4);
        self.content.len() + attributes.sum::<usize>()
    }
}

impl<'a> Index<'a> {
    /// None if no reference leads anywhere, or the document is broken: its reader will say how.
    fn of(text: &'a str, mut clock: Clock) -> Result<Option<Self>, DecodeError> {
        let mut index = Self { targets: HashMap::new(), asked: HashSet::new() };
        let mut open: Vec<Option<(&str, Target<'a>)>> = Vec::new();
        let mut tags = Tags::new(text, 0..text.len());
        loop {
            let Ok(next) = tags.next() else { return Ok(None) };
            let Some(tag) = next else { break };
            clock.check(tag.span.end)?;
            match tag.kind {
                TagKind::Start | TagKind::Empty => {
                    let attributes = tag.attributes(text);
                    if attributes.len() > MAX_FIELDS {
                        return Err(DecodeError::Limit { limit: "10000 attributes in one element" });
                    }
                    index.asked.extend(attributes.iter().filter_map(|(key, value)| referred(key, value)));
                    let id = attributes.iter().find_map(|(key, value)| is_id(key).then_some(*value));
                    let target = id.map(|id| (id, Target { attributes, content: tag.span.end..tag.span.end }));
                    match tag.kind {
                        TagKind::Start => open.push(target),
                        _ => index.add(target),
                    }
                }
                TagKind::End => {
                    let Some(mut target) = open.pop() else { return Ok(None) };
                    if let Some((_, target)) = &mut target {
                        target.content.end = tag.span.start;
                    }
                    index.add(target);
                }
                TagKind::Other => {}
            }
        }
        if !open.is_empty() {
            return Ok(None);
        }
        let leads_somewhere = index.asked.iter().any(|id| index.targets.contains_key(id));
        Ok(leads_somewhere.then_some(index))
    }

    fn add(&mut self, target: Option<(&'a str, Target<'a>)>) {
        if let Some((id, target)) = target {
            self.targets.entry(id).or_insert(target);
        }
    }
}

/// The id that an attribute refers to.
fn referred<'v>(key: &str, value: &'v str) -> Option<&'v str> {
    match key.rsplit_once(':') {
        None if key == "href" => value.strip_prefix('#'),
        Some((_, "ref")) => Some(value.strip_prefix('#').unwrap_or(value)),
        _ => None,
    }
}

fn is_id(key: &str) -> bool {
    key == "id" || key.ends_with(":id")
}

struct Expansion<'a, 'i> {
    text: &'a str,
    index: &'i Index<'a>,
    out: String,
    /// Ids of what is being copied: a reference to one of them would have no end.
    active: Vec<&'a str>,
    spent: usize,
    clock: Clock,
}

impl<'a> Expansion<'a, '_> {
    /// Copies a part of the document in which all elements are closed.
    fn write(&mut self, span: Range<usize>) -> Result<(), DecodeError> {
        let mut tags = Tags::new(self.text, span);
        let (mut depth, mut children) = (0_usize, 0_usize);
        // It was read before, so a broken document is no more to be met here.
        while let Ok(Some(tag)) = tags.next() {
            self.clock.check(self.out.len())?;
            let is_child_of_body = self.active.is_empty() && depth == INDEPENDENT;
            match tag.kind {
                TagKind::Start | TagKind::Empty => {
                    children = if depth < INDEPENDENT { 0 } else { children + usize::from(is_child_of_body) };
                    let attributes = tag.attributes(self.text);
                    let is_asked_for = attributes.iter().any(|(key, id)| is_id(key) && self.index.asked.contains(id));
                    if is_asked_for && is_child_of_body && children > 1 {
                        self.skip(&tag, &mut tags);
                        continue;
                    }
                    self.element(&tag, &attributes, is_asked_for)?;
                    depth += usize::from(tag.kind == TagKind::Start);
                }
                TagKind::End => {
                    depth = depth.saturating_sub(1);
                    self.out.push_str(&self.text[tag.span]);
                }
                TagKind::Other => self.out.push_str(&self.text[tag.span]),
            }
        }
        Ok(())
    }

    /// Passes over an element that only others refer to: it has a copy where they stand.
    fn skip(&self, tag: &Tag, tags: &mut Tags<'a>) {
        let mut depth = usize::from(tag.kind == TagKind::Start);
        while depth > 0 {
            let Ok(Some(tag)) = tags.next() else { return };
            match tag.kind {
                TagKind::Start => depth += 1,
                TagKind::End => depth -= 1,
                _ => {}
            }
        }
    }

    /// Copies the beginning of an element, and what it refers to, if it holds nothing itself.
    fn element(&mut self, tag: &Tag, attributes: &[(&'a str, &'a str)], is_asked_for: bool) -> Result<(), DecodeError> {
        let index = self.index;
        let id = attributes.iter().find_map(|(key, value)| referred(key, value));
        let target = id.and_then(|id| Some((id, index.targets.get(id)?)));
        let rest = self.text.get(tag.span.end..).unwrap_or_default();
        let is_empty = tag.kind == TagKind::Empty || rest.trim_ascii_start().starts_with("</");
        let target = target.filter(|(id, _)| is_empty && !self.active.contains(id) && self.active.len() < MAX_DEPTH);
        let Some((id, target)) = target else {
            if is_asked_for {
                self.tag(tag, attributes.iter().filter(|(key, _)| !is_id(key)))
            } else {
                self.out.push_str(&self.text[tag.span.clone()])
            }
            return Ok(());
        };
        self.spent += tag.span.len() + target.length();
        if self.spent > MAX_TIMES * self.text.len() + MAX_BESIDES {
            return Err(DecodeError::Limit { limit: "its share of references" });
        }
        let own = attributes.iter().filter(|(key, value)| referred(key, value).is_none() && !is_id(key));
        let names: HashSet<&str> = attributes.iter().map(|(key, _)| *key).collect();
        let others = target.attributes.iter().filter(|(key, _)| !is_id(key) && !names.contains(key));
        let start = Tag { kind: TagKind::Start, ..tag.clone() };
        self.tag(&start, own.chain(others));
        self.active.push(id);
        self.write(target.content.clone())?;
        self.active.pop();
        if tag.kind == TagKind::Empty {
            self.out.push_str("</");
            self.out.push_str(tag.name(self.text));
            self.out.push('>');
        }
        Ok(())
    }

    fn tag<'v>(&mut self, tag: &Tag, attributes: impl Iterator<Item = &'v (&'a str, &'a str)>)
    where
        'a: 'v,
    {
        self.out.push('<');
        self.out.push_str(tag.name(self.text));
        for (key, value) in attributes {
            let quote = if value.contains('"') { '\'' } else { '"' };
            self.out.push(' ');
            self.out.push_str(key);
            self.out.push('=');
            self.out.push(quote);
            self.out.push_str(value);
            self.out.push(quote);
        }
        self.out.push_str(if tag.kind == TagKind::Empty { "/>" } else { ">" });
    }
}

/// The tags of a part of the document, with their places.
struct Tags<'a> {
    reader: Reader<&'a [u8]>,
    base: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TagKind {
    Start,
    Empty,
    End,
    /// Text, a comment, a declaration: copied as it is.
    Other,
}

#[derive(Clone)]
struct Tag {
    kind: TagKind,
    span: Range<usize>,
    name_length: usize,
}

impl<'a> Tags<'a> {
    fn new(text: &'a str, span: Range<usize>) -> Self {
        let base = span.start;
        let mut reader = Reader::from_str(text.get(span).unwrap_or_default());
        reader.config_mut().allow_dangling_amp = true;
        Self { reader, base }
    }

    /// The next piece; none at the end.
    fn next(&mut self) -> Result<Option<Tag>, quick_xml::Error> {
        let from = self.position();
        let (kind, name_length) = match self.reader.read_event()? {
            Event::Eof => return Ok(None),
            Event::Start(start) => (TagKind::Start, name_length(&start)),
            Event::Empty(start) => (TagKind::Empty, name_length(&start)),
            Event::End(_) => (TagKind::End, 0),
            _ => (TagKind::Other, 0),
        };
        Ok(Some(Tag { kind, span: from..self.position(), name_length }))
    }

    fn position(&self) -> usize {
        self.base + usize::try_from(self.reader.buffer_position()).unwrap_or_default()
    }
}

fn name_length(start: &BytesStart<'_>) -> usize {
    start.name().into_inner().len()
}

impl Tag {
    fn name<'a>(&self, text: &'a str) -> &'a str {
        let start = self.span.start + 1;
        text.get(start..start + self.name_length).unwrap_or_default()
    }

    /// Keys and values as they are written.
    fn attributes<'a>(&self, text: &'a str) -> Vec<(&'a str, &'a str)> {
        let start = self.span.start + 1;
        let end = self.span.end - if self.kind == TagKind::Empty { 2 } else { 1 };
        let Some(inner) = text.get(start..end).filter(|inner| inner.len() > self.name_length) else {
            return Vec::new();
        };
        let mut attributes = Vec::new();
        let mut rest = inner.get(self.name_length..).unwrap_or_default();
        while let Some((key, after)) = rest.split_once('=') {
            let after = after.trim_start();
            let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else { break };
            let Some((value, behind)) = after[1..].split_once(quote) else { break };
            attributes.push((key.trim(), value));
            rest = behind;
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn resolved(text: &str) -> Option<String> {
        resolve(text, Clock::new(None)).unwrap()
    }

    #[test]
    fn a_reference_has_a_copy_of_what_it_refers_to() {
        for (text, expected) in [
            (
                "<r><s><c id='x' k='&quot;'><n>1</n></c></s><s><c href=\"#x\" l='2'/></s></r>",
                "<r><s><c k=\"&quot;\"><n>1</n></c></s><s><c l=\"2\" k=\"&quot;\"><n>1</n></c></s></r>",
            ),
            (
                "<r><c href='#x'> </c><d e:id='x'>7<!-- <e> --></d></r>",
                "<r><c>7<!-- <e> --> </c><d>7<!-- <e> --></d></r>",
            ),
            ("<r><c e:ref='x'/><d id='x'/></r>", "<r><c></c><d/></r>"),
            // Circles end.
            (
                "<r><a id='x'><b href='#y'/></a><b id='y'><a href='#x'/></b></r>",
                "<r><a><b><a><b href='#y'/></a></b></a><b><a><b><a href='#x'/></b></a></b></r>",
            ),
            ("<r><a id='x'><a href='#x'/></a></r>", "<r><a><a><a href='#x'/></a></a></r>"),
            // Elements beside the response stand only where they are referred to.
            (
                "<E><B><get><return href='#a'/></get><multiRef id='a' root='0'><i href='#b'/><i href='#c'/></multiRef>\
                 <multiRef id='b'><n>1</n></multiRef><multiRef id='c'><n>2</n></multiRef></B></E>",
                "<E><B><get><return root=\"0\"><i><n>1</n></i><i><n>2</n></i></return></get></B></E>",
            ),
        ] {
            assert_eq!(resolved(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_leads_nowhere_stays() {
        for text in
            ["<r><c href='#x'/></r>", "<r><c href='x'/><d id='x'/></r>", "<r><c id='x'/></r>", "<r><c href='#x'>"]
        {
            assert_eq!(resolved(text), None, "{text}");
        }
        let text = "<r><c href='#y'/><c href='#x'>link</c><d href='#x'/><e id='x'/></r>";
        assert_eq!(resolved(text).unwrap(), "<r><c href='#y'/><c href='#x'>link</c><d></d><e/></r>");
    }

    #[test]
    fn an_element_with_very_many_attributes_is_no_target() {
        let many = |letter: char| (0..=MAX_FIELDS).map(|n| format!(" {letter}{n}=\"\"")).collect::<String>();
        let text = format!("<r><a href=\"#x\"{}/><b id=\"x\"{}/></r>", many('a'), many('b'));
        let error = resolve(&text, Clock::new(None)).unwrap_err();
        assert_eq!(error.to_string(), "body has more than 10000 attributes in one element");
    }

    #[test]
    fn bombs_are_refused() {
        let level = |n: usize| format!("<l id='{n}'>{}</l>", format!("<l href='#{}'/>", n + 1).repeat(10));
        let bomb: String = (0..40).map(level).collect();
        assert_eq!(
            resolve(&format!("<r>{bomb}</r>"), Clock::new(None)).unwrap_err().to_string(),
            "body has more than its share of references"
        );
        let long = format!("<r><a id='x' k='{}'/>{}</r>", "x".repeat(50_000), "<a href='#x'/>".repeat(50_000));
        assert!(resolve(&long, Clock::new(None)).is_err());
    }

    proptest! {
        #[test]
        fn references_to_what_comes_later_are_resolved_too(names in proptest::collection::vec("[a-z]{1,8}", 1..6)) {
            let items: String = (0..names.len()).map(|n| format!("<i href=\"#{n}\"/>")).collect();
            let targets: String = names.iter().enumerate().map(|(n, name)| format!("<t id=\"{n}\">{name}</t>")).collect();
            let want: String = names.iter().map(|name| format!("<i>{name}</i>")).collect();
            let text = resolved(&format!("<r><s>{items}</s><x>{targets}</x></r>")).unwrap();
            prop_assert!(text.contains(&want), "{}", text);
        }
    }
}
