//! One XML record: its elements are gathered first, because whether a sibling repeats is known at the end only.

use std::collections::HashMap;
use std::ops::Range;

use sluice_model::Kinds;

use super::DecodeError;
use super::lenient::write_string;
use super::notes::{NoteKind, NoteSet};
use super::table::{NodeId, ROOT, Table};

/// How many elements, attributes and texts one record may have.
const MAX_PARTS: usize = 1 << 20;
/// Up to so many children, equal names are sought by comparing.
const FEW: usize = 24;
const NONE: usize = usize::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Element,
    Attribute,
    Text,
}

/// An element, an attribute or a piece of text. All of a record's stand in one list, which is used again.
struct XmlNode {
    kind: Kind,
    nil: bool,
    /// A reference of SOAP that leads nowhere.
    reference: bool,
    odd: NoteSet,
    /// Another sibling before it has its name.
    again: bool,
    name: Range<usize>,
    text: Range<usize>,
    first_child: usize,
    last_child: usize,
    next: usize,
    /// The next sibling of the same name.
    same: usize,
}

/// A record as a list of parts.
#[derive(Default)]
pub(super) struct Record {
    parts: Vec<XmlNode>,
    /// Names and values of all parts.
    text: String,
    open: Vec<usize>,
    /// A part is odd.
    is_odd: bool,
}

impl Record {
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.text.clear();
        self.open.clear();
        self.is_odd = false;
    }

    pub(super) fn open(&mut self, name: &str) -> Result<(), DecodeError> {
        let at = self.add(Kind::Element, "", name, "")?;
        self.open.push(at);
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    pub(super) fn add_attribute(&mut self, name: &str, value: &str) -> Result<(), DecodeError> {
        self.add(Kind::Attribute, "@", name, value).map(drop)
    }

    /// Adds an attribute that refers to another element.
    #[cold]
    pub(super) fn add_reference(&mut self, value: &str) -> Result<(), DecodeError> {
        self.add_attribute("href", value)?;
        if let Some(at) = self.open.last() {
            self.parts[*at].reference = true;
        }
        Ok(())
    }

    /// Forgets the attributes of the open element, which has nothing else yet.
    #[cold]
    pub(super) fn drop_attributes(&mut self) {
        if let Some(at) = self.open.last().copied() {
            self.parts.truncate(at + 1);
            (self.parts[at].first_child, self.parts[at].last_child) = (NONE, NONE);
        }
    }

    /// Marks the open element as odd.
    #[cold]
    pub(super) fn mark(&mut self, kind: NoteKind) {
        let at = self.open.last().copied().unwrap_or_default();
        if let Some(part) = self.parts.get_mut(at) {
            part.odd.insert(kind);
            self.is_odd = true;
        }
    }

    /// Marks the attribute that was added last.
    #[cold]
    pub(super) fn mark_last(&mut self, odd: NoteSet) {
        if let Some(part) = self.parts.last_mut() {
            part.odd.join(odd);
            self.is_odd = true;
        }
    }

    pub(super) fn set_nil(&mut self, nil: bool) {
        if let Some(at) = self.open.last() {
            self.parts[*at].nil = nil;
        }
    }

    /// Adds text to the open element.
    pub(super) fn text(&mut self, text: &str) -> Result<(), DecodeError> {
        let last = self.open.last().map_or(NONE, |at| self.parts[*at].last_child);
        let end = self.text.len();
        match self.parts.get_mut(last) {
            Some(part) if part.kind == Kind::Text && part.text.end == end => {
                self.text.push_str(text);
                part.text.end = self.text.len();
                Ok(())
            }
            _ => self.add(Kind::Text, "", "", text).map(drop),
        }
    }

    fn add(&mut self, kind: Kind, sigil: &str, name: &str, text: &str) -> Result<usize, DecodeError> {
        let at = self.parts.len();
        if at >= MAX_PARTS {
            return Err(DecodeError::Limit { limit: "1048576 elements in one record" });
        }
        let start = self.text.len();
        self.text.push_str(sigil);
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(text);
        let (name, text) = (start..middle, middle..self.text.len());
        let (nil, again, reference, odd) = (false, false, false, NoteSet::default());
        self.parts.push(XmlNode {
            kind,
            nil,
            reference,
            odd,
            again,
            name,
            text,
            first_child: NONE,
            last_child: NONE,
            next: NONE,
            same: NONE,
        });
        if let Some(parent) = self.open.last() {
            let before = std::mem::replace(&mut self.parts[*parent].last_child, at);
            match self.parts.get_mut(before) {
                Some(before) => before.next = at,
                None => self.parts[*parent].first_child = at,
            }
        }
        Ok(at)
    }

    fn name(&self, part: usize) -> &str {
        &self.text[self.parts[part].name.clone()]
    }

    fn children(&self, part: usize) -> impl Iterator<Item = usize> {
        let next = |at: usize| (at != NONE).then_some(at);
        std::iter::successors(next(self.parts[part].first_child), move |at| next(self.parts[*at].next))
    }

    fn has(&self, part: usize, kind: Kind) -> bool {
        self.children(part).any(|child| self.parts[child].kind == kind)
    }

    /// The element's own text, without that of its children.
    fn own_text(&self, part: usize) -> String {
        let texts = self.children(part).filter(|child| self.parts[*child].kind == Kind::Text);
        texts.map(|child| &self.text[self.parts[child].text.clone()]).collect()
    }

    /// Ties together the children that have one name.
    fn tie(&mut self, part: usize) {
        let children: Vec<usize> = self.children(part).filter(|at| self.parts[*at].kind != Kind::Text).collect();
        let mut pairs = Vec::new();
        if children.len() <= FEW {
            for (n, child) in children.iter().enumerate() {
                let earlier = children[..n].iter().rev();
                pairs.extend(earlier.copied().find(|at| self.name(*at) == self.name(*child)).map(|at| (at, *child)));
            }
        } else {
            let mut last = HashMap::with_capacity(children.len());
            for child in children {
                pairs.extend(last.insert(self.name(child), child).map(|before| (before, child)));
            }
        }
        for (before, child) in pairs {
            self.parts[before].same = child;
            self.parts[child].again = true;
        }
    }

    /// Puts the record's fields into the current row.
    pub(super) fn put_into(&mut self, table: &mut Table) -> Result<(), DecodeError> {
        if self.is_odd
            && let Some(root) = self.parts.first()
        {
            table.note_all(ROOT, root.odd);
        }
        if self.parts.is_empty() { Ok(()) } else { self.put_element(0, ROOT, table) }
    }

    fn put_element(&mut self, part: usize, node: NodeId, table: &mut Table) -> Result<(), DecodeError> {
        self.tie(part);
        let (mut cursor, mut next) = (0, self.parts[part].first_child);
        while next != NONE {
            let child = next;
            let XmlNode { kind, again, same, ref text, .. } = self.parts[child];
            next = self.parts[child].next;
            if kind == Kind::Text || again {
                continue;
            }
            let member = table.child(node, &mut cursor, self.name(child))?;
            if self.is_odd {
                table.note_all(member, self.odd_of(child));
            }
            match kind {
                _ if same != NONE => {
                    let mut json = Vec::new();
                    self.write_array(child, &mut json);
                    table.put(member, &json, Kinds::TEXT)?;
                }
                Kind::Attribute => table.put(member, self.text[text.clone()].as_bytes(), Kinds::TEXT)?,
                _ => self.put_element(child, member, table)?,
            }
        }
        self.put_text(part, node, table)
    }

    /// What is odd in a part: if it becomes JSON, in all of what that is made of.
    #[cold]
    fn odd_of(&self, part: usize) -> NoteSet {
        let (mut odd, mut at) = (self.parts[part].odd, self.parts[part].same);
        if at != NONE {
            self.join_below(part, &mut odd);
        }
        while at != NONE {
            odd.join(self.parts[at].odd);
            self.join_below(at, &mut odd);
            at = self.parts[at].same;
        }
        odd
    }

    fn join_below(&self, part: usize, odd: &mut NoteSet) {
        for child in self.children(part) {
            odd.join(self.parts[child].odd);
            self.join_below(child, odd);
        }
    }

    fn put_text(&self, part: usize, node: NodeId, table: &mut Table) -> Result<(), DecodeError> {
        let mixed = self.has(part, Kind::Element);
        if self.parts[part].nil {
            if node != ROOT {
                table.put_null(node);
            }
            return Ok(());
        }
        if !mixed && node != ROOT {
            let child = self.children(part).find(|child| self.parts[*child].kind == Kind::Text);
            return match child {
                Some(child) => table.put(node, self.text[self.parts[child].text.clone()].as_bytes(), Kinds::TEXT),
                // `<sum currency="EUR"/>` has a currency and no sum.
                None if self.has(part, Kind::Attribute) => {
                    if self.parts[part].reference {
                        table.note(node, NoteKind::Reference);
                    }
                    Ok(())
                }
                None => table.put(node, b"", Kinds::TEXT),
            };
        }
        let text = self.own_text(part);
        if !text.trim().is_empty() {
            let member = table.child(node, &mut 0, "#text")?;
            table.put(member, text.as_bytes(), Kinds::TEXT)?;
        }
        Ok(())
    }

    /// The value of the whole: its text, or JSON text if it has children.
    pub(super) fn value(&mut self) -> Option<String> {
        let root = self.parts.first()?;
        if root.nil {
            None
        } else if self.has(0, Kind::Element) {
            let mut json = Vec::new();
            self.write_json(0, &mut json);
            String::from_utf8(json).ok()
        } else {
            Some(self.own_text(0))
        }
    }

    /// The value of the whole's attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        if self.parts.is_empty() {
            return None;
        }
        let is_it = |at: &usize| self.parts[*at].kind == Kind::Attribute && self.name(*at).get(1..) == Some(name);
        self.children(0).find(is_it).map(|at| &self.text[self.parts[at].text.clone()])
    }

    /// What a SOAP fault says: `faultstring`, or `Reason/Text` in SOAP 1.2, or else all its text.
    pub(super) fn fault_reason(&self) -> String {
        let wanted = |at: &usize| matches!(self.name(*at), "faultstring" | "Text");
        let part = (0..self.parts.len()).find(wanted);
        match part {
            Some(part) => self.own_text(part),
            None => {
                let texts = self.parts.iter().filter(|part| part.kind == Kind::Text);
                texts.map(|part| &self.text[part.text.clone()]).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Writes the part and those that share its name.
    fn write_array(&mut self, first: usize, json: &mut Vec<u8>) {
        let mut at = first;
        let mut mark = b'[';
        while at != NONE {
            json.push(mark);
            self.write_json(at, json);
            (at, mark) = (self.parts[at].same, b',');
        }
        json.push(b']');
    }

    /// Writes the part: a text without children as a string, null, or an object.
    fn write_json(&mut self, part: usize, json: &mut Vec<u8>) {
        let XmlNode { kind, nil, .. } = self.parts[part];
        if kind == Kind::Attribute {
            return write_string(&self.text[self.parts[part].text.clone()], json);
        }
        if !self.has(part, Kind::Element) && !self.has(part, Kind::Attribute) {
            if nil {
                json.extend_from_slice(b"null")
            } else {
                write_string(&self.own_text(part), json)
            }
            return;
        }
        self.tie(part);
        let mut mark = b'{';
        let mut next = self.parts[part].first_child;
        while next != NONE {
            let child = next;
            let XmlNode { kind, again, same, .. } = self.parts[child];
            next = self.parts[child].next;
            if kind == Kind::Text || again {
                continue;
            }
            json.push(mark);
            mark = b',';
            write_string(self.name(child), json);
            json.push(b':');
            match same {
                NONE => self.write_json(child, json),
                _ => self.write_array(child, json),
            }
        }
        let text = self.own_text(part);
        if !text.trim().is_empty() {
            json.push(mark);
            json.extend_from_slice(b"\"#text\":");
            write_string(&text, json);
        }
        json.push(b'}');
    }
}
