//! In which order bodies are tried.

use std::collections::{BTreeMap, BTreeSet};

use sluice_engine::Connector;

use super::dice::Dice;
use super::mutate::{changed, changes_of_a_field, with_field_changed};
use super::spans::{Markup, Span};
use crate::answer::Sample;

/// Most fields of an answer that are changed one by one.
const MOST_FIELDS: usize = 200;

/// An answer whose body is changed.
pub(super) struct Subject<'a> {
    pub(super) sample: &'a Sample,
    pub(super) markup: Markup,
    spans: Vec<Span>,
}

impl<'a> Subject<'a> {
    pub(super) fn of(connector: &Connector, sample: &'a Sample) -> Self {
        let stream = connector.manifest().stream(&sample.slice.stream).filter(|_| sample.request.yields_records);
        let body = &sample.answer.body;
        let markup = Markup::of(stream.map(|stream| &stream.layout.format), body);
        Self { sample, markup, spans: markup.spans(body) }
    }

    fn body(&self) -> &'a [u8] {
        &self.sample.answer.body
    }

    /// The first piece of each path.
    fn fields(&self) -> Vec<usize> {
        let mut paths = BTreeSet::new();
        let first = (0..self.spans.len()).filter(|place| paths.insert(self.spans[*place].path.as_str()));
        first.take(MOST_FIELDS).collect()
    }
}

/// Bodies as they are, then with one field after the other as something else, then, without end, changed by chance.
pub(super) struct Bodies<'a> {
    subjects: &'a [Subject<'a>],
    /// Of the answer with the most fields of each stream: subject, piece, and the number of the change.
    fields: Vec<(usize, usize, usize)>,
    /// How many were tried.
    tried: usize,
    dice: Dice,
}

impl<'a> Bodies<'a> {
    pub(super) fn new(subjects: &'a [Subject<'a>], seed: u64) -> Self {
        let mut richest: BTreeMap<&str, (usize, Vec<usize>)> = BTreeMap::new();
        for (place, subject) in subjects.iter().enumerate() {
            let fields = subject.fields();
            let of_stream = richest.entry(subject.sample.slice.stream.as_str()).or_default();
            if fields.len() > of_stream.1.len() {
                *of_stream = (place, fields);
            }
        }
        let mut fields = Vec::new();
        for (subject, pieces) in richest.into_values() {
            // Each change of all fields before the next change of any: a search may be short.
            for change in 0..changes_of_a_field(subjects[subject].markup) {
                fields.extend(pieces.iter().map(|piece| (subject, *piece, change)));
            }
        }
        Self { subjects, fields, tried: 0, dice: Dice::new(seed) }
    }
}

impl<'a> Iterator for Bodies<'a> {
    type Item = (&'a Subject<'a>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.tried;
        self.tried += 1;
        if let Some(subject) = self.subjects.get(place) {
            return Some((subject, subject.body().to_vec()));
        }
        if let Some((subject, piece, change)) = self.fields.get(place - self.subjects.len()) {
            let subject = self.subjects.get(*subject)?;
            let span = subject.spans.get(*piece)?;
            return Some((subject, with_field_changed(subject.body(), span, subject.markup, *change)));
        }
        let subject = self.dice.pick(self.subjects)?;
        Some((subject, changed(subject.body(), &subject.spans, subject.markup, &mut self.dice)))
    }
}
