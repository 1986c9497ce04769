//! Finds secrets by their value and masks them, in every usual encoding.
//!
//! Where the name of a secret is known (templates, headers) it is masked by name. This is the second line of defence, for
//! secrets echoed in bodies, headers, URLs and error texts. What it can't find is listed in `docs/security.md`.

mod candidates;
mod charsets;
mod escape;
mod escapes;
mod forms;
mod framing;
mod resolved;
mod wide;
mod zeros;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::deadline::{Deadline, Late};
use candidates::Pairs;
use escapes::{Sought, in_escapes, is_ambiguous, partial_in_escapes};
pub(crate) use escapes::{in_all_escapes, is_escape};
use forms::add_forms;
pub(crate) use framing::{describes_body, is_coding};
use wide::Wide;

/// Replaces a secret.
pub(crate) const MASK: &str = "***";

/// Forms searched in one pass: 2 GB/s up to this number, 0.2 GB/s beyond, where the search doesn't use SIMD (measured
/// with aho-corasick 1.1).
const FORMS_PER_PASS: usize = 56;

/// Shorter values aren't masked: they occur in ordinary text.
const MIN_BYTES: usize = 6;
/// Shorter values of digits only aren't masked: they occur as ids and amounts.
const MIN_DIGITS: usize = 12;

/// Response headers that are masked whatever their value.
const SECRET_HEADERS: [&str; 9] = [
    "set-cookie",
    "set-cookie2",
    "cookie",
    "authorization",
    "proxy-authorization",
    "authentication-info",
    "access-token",
    "x-access-token",
    "x-auth-token",
];

/// A search for all forms of all values at once. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor {
    passes: Vec<Arc<Pass>>,
    /// Bytes of the longest form; 0 without one.
    longest: usize,
    /// Whether a value may be taken for an escape.
    ambiguous: bool,
    /// Of all forms.
    pairs: Arc<Pairs>,
    /// The values themselves.
    values: Arc<[Zeroizing<Vec<u8>>]>,
    /// Lower-case names of further headers that are masked whatever their value.
    headers: Arc<[String]>,
    /// What is masked in texts and headers, and not in bodies.
    texts: Option<Arc<Self>>,
}

/// A search for some of the forms.
#[derive(Debug)]
struct Pass {
    search: AhoCorasick,
    forms: Vec<Zeroizing<Vec<u8>>>,
}

impl Redactor {
    /// Masks `values` anywhere, and the values of `headers`, whose names are in lower case.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>, headers: Vec<String>) -> Self {
        let values: Vec<&[u8]> = values.into_iter().filter(|value| is_long_enough(value)).collect();
        let passes = passes_of(&values);
        let longest = passes.iter().flat_map(|pass| &pass.forms).map(|form| form.len()).max().unwrap_or_default();
        let ambiguous = values.iter().any(|value| is_ambiguous(value));
        let pairs = Arc::new(pairs_of(&passes));
        let values = values.into_iter().map(|value| Zeroizing::new(value.to_vec())).collect();
        Self { passes, longest, ambiguous, pairs, values, headers: headers.into(), texts: None }
    }

    /// Masks `values` too, but not in bodies.
    pub(crate) fn and_in_texts<'a>(self, values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let texts = Self::new(values, Vec::new());
        Self { texts: (!texts.passes.is_empty()).then(|| Arc::new(texts)), ..self }
    }

    /// Whether all forms of a value hold a form that is masked: it holds a value that is.
    pub(crate) fn covers(&self, value: &[u8]) -> bool {
        self.values.iter().any(|own| memchr::memmem::find(value, own).is_some())
    }

    /// Masks the values of `first` too, before those that it masks itself. No search is rebuilt.
    pub(crate) fn preceded_by(&self, first: &Self) -> Self {
        if first.passes.is_empty() {
            return self.clone();
        }
        let passes: Vec<_> = first.passes.iter().chain(&self.passes).cloned().collect();
        Self {
            pairs: Arc::new(pairs_of(&passes)),
            passes,
            longest: first.longest.max(self.longest),
            ambiguous: first.ambiguous || self.ambiguous,
            values: first.values.iter().chain(self.values.iter()).cloned().collect(),
            headers: Arc::clone(&self.headers),
            texts: self.texts.clone(),
        }
    }

    /// The text without secrets.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Some(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// The body without secrets; none if it contains none.
    pub(crate) fn body(&self, body: &[u8]) -> Option<Bytes> {
        self.body_until(body, Deadline::NEVER).unwrap_or_default()
    }

    /// The same if it is done in time.
    pub(crate) fn body_until(&self, body: &[u8], deadline: Deadline) -> Result<Option<Bytes>, Late> {
        if self.passes.is_empty() {
            return Ok(None);
        }
        let wide = match Wide::of(body) {
            Some(wide) => {
                let masked = self.replaced_until(wide.read(body).as_bytes(), deadline)?;
                masked.map(|masked| wide.written(&String::from_utf8_lossy(&masked)))
            }
            None => None,
        };
        let masked = self.replaced_until(wide.as_deref().unwrap_or(body), deadline)?;
        Ok(masked.or(wide).map(Bytes::from))
    }

    /// A response header's value without secrets, as text. `name` is in lower case. What describes the body's encoding stays.
    pub(crate) fn header(&self, name: &str, value: &[u8]) -> String {
        let received = String::from_utf8_lossy(value);
        if describes_body(name, &received) {
            return received.into_owned();
        }
        if SECRET_HEADERS.contains(&name) || self.headers.iter().any(|header| header == name) {
            return MASK.to_owned();
        }
        // Before it is made text, which loses what isn't UTF-8.
        self.bytes(value).map_or(received, |masked| String::from_utf8_lossy(&masked).into_owned().into()).into_owned()
    }

    /// Whether the name of a header contains a secret: its letters are in lower case, whatever the network sent.
    pub(crate) fn finds_in_name(&self, name: &str) -> bool {
        let holds = |form: &[u8]| name.as_bytes().windows(form.len()).any(|part| part.eq_ignore_ascii_case(form));
        self.forms().any(holds) || self.texts.as_ref().is_some_and(|texts| texts.finds_in_name(name))
    }

    /// Whether a text contains a secret.
    pub(crate) fn finds(&self, text: &str) -> bool {
        self.passes.iter().any(|pass| pass.search.is_match(text))
            || self.in_escapes(text.as_bytes(), Deadline::NEVER).is_ok_and(|places| !places.is_empty())
            || self.texts.as_ref().is_some_and(|texts| texts.finds(text))
    }

    /// How many bytes at the end of a body that was cut may be the start of a secret.
    pub(crate) fn partial_at_end(&self, body: &[u8]) -> usize {
        let Some(wide) = Wide::of(body) else { return self.partial_at_end_of(body) };
        let text = wide.read(body);
        let start = text.floor_char_boundary(text.len() - self.partial_at_end_of(text.as_bytes()));
        let units = text[start..].encode_utf16().count();
        (2 * units).max(self.partial_at_end_of(body)).min(body.len())
    }

    fn partial_at_end_of(&self, text: &[u8]) -> usize {
        let partial = |text: &[u8], form: &[u8]| {
            let longest = text.len().min(form.len().saturating_sub(1));
            (1..=longest).rev().find(|length| text.ends_with(&form[..*length])).unwrap_or_default()
        };
        let partial = |text: &[u8]| self.forms().map(|form| partial(text, form)).max().unwrap_or_default();
        partial_in_escapes(text, self.longest, partial)
    }

    /// A text's bytes without secrets; none if they contain none.
    fn bytes(&self, text: &[u8]) -> Option<Vec<u8>> {
        let masked = self.replaced(text);
        let texts = self.texts.as_ref().and_then(|texts| texts.replaced(masked.as_deref().unwrap_or(text)));
        texts.or(masked)
    }

    /// Bytes of all forms that it searches for.
    pub(crate) fn form_bytes(&self) -> usize {
        self.forms().map(<[u8]>::len).sum::<usize>() + self.texts.as_ref().map_or(0, |texts| texts.form_bytes())
    }

    fn forms(&self) -> impl Iterator<Item = &[u8]> {
        self.passes.iter().flat_map(|pass| &pass.forms).map(|form| form.as_slice())
    }

    fn replaced(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.replaced_until(bytes, Deadline::NEVER).unwrap_or_default()
    }

    fn replaced_until(&self, bytes: &[u8], deadline: Deadline) -> Result<Option<Vec<u8>>, Late> {
        let mut masked: Option<Vec<u8>> = None;
        for pass in &self.passes {
            deadline.check()?;
            let found = pass.search.find_iter(masked.as_deref().unwrap_or(bytes)).map(|found| found.range());
            let next = replace(masked.as_deref().unwrap_or(bytes), found);
            masked = next.or(masked);
        }
        // Last: a form is masked as a whole before its escapes are resolved.
        let rest = masked.as_deref().unwrap_or(bytes);
        let next = replace(rest, self.in_escapes(rest, deadline)?.into_iter());
        Ok(next.or(masked))
    }

    /// The places of forms that are found only after escapes are resolved, in order, without overlaps.
    fn in_escapes(&self, bytes: &[u8], deadline: Deadline) -> Result<Vec<Range<usize>>, Late> {
        if self.passes.is_empty() {
            return Ok(Vec::new());
        }
        let sought = Sought { longest: self.longest, ambiguous: self.ambiguous, pairs: &self.pairs, deadline };
        in_escapes(bytes, &sought, |text| {
            self.passes.iter().flat_map(|pass| pass.search.find_iter(text).map(|found| found.range())).collect()
        })
    }
}

fn is_long_enough(value: &[u8]) -> bool {
    let digits = value.iter().all(u8::is_ascii_digit);
    value.len() >= if digits { MIN_DIGITS } else { MIN_BYTES }
}

/// The searches for all forms of values.
fn passes_of(values: &[&[u8]]) -> Vec<Arc<Pass>> {
    let mut forms = BTreeSet::new();
    values.iter().for_each(|value| add_forms(value, &mut forms));
    let mut forms: Vec<Vec<u8>> = forms.into_iter().collect();
    // Longest first: an earlier pass must not mask a part of a longer form and leave the rest.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let pass = |forms: &[Vec<u8>]| {
        // What finds candidates is the same of every kind. A table of transitions would take twenty times the memory, and
        // seven times as long to make; a run of a thousand accounts has a thousand of them.
        let kind = Some(AhoCorasickKind::ContiguousNFA);
        let search = AhoCorasick::builder().kind(kind).match_kind(MatchKind::LeftmostLongest).build(forms).ok()?;
        Some(Arc::new(Pass { search, forms: forms.iter().cloned().map(Zeroizing::new).collect() }))
    };
    forms.chunks(FORMS_PER_PASS).filter_map(pass).collect()
}

fn pairs_of(passes: &[Arc<Pass>]) -> Pairs {
    let mut pairs = Pairs::default();
    passes.iter().flat_map(|pass| &pass.forms).for_each(|form| pairs.add(form));
    pairs
}

/// The bytes with every place masked; none if there are no places. Places are in order and don't overlap.
fn replace(bytes: &[u8], places: impl Iterator<Item = Range<usize>>) -> Option<Vec<u8>> {
    let mut places = places.peekable();
    places.peek()?;
    let mut masked = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for place in places {
        masked.extend_from_slice(&bytes[copied..place.start]);
        masked.extend_from_slice(MASK.as_bytes());
        copied = place.end;
    }
    masked.extend_from_slice(&bytes[copied..]);
    Some(masked)
}

#[cfg(test)]
mod tests;
