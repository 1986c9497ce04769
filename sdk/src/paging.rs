//! Lists that come page by page.

use crate::{Judgement, RefusalKind, Request, Response, done, more, refused, split};

/// How a list says that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// By a page without records: a short one may come before others.
    Empty,
    /// By a page of fewer records than were asked for. Only where the network's documents say so.
    Short,
    /// By the number of the last page, at a place of the body.
    LastPage(&'a str),
    /// By the number of all records, at a place of the body.
    Total(&'a str),
    /// By the number of all records, in a header with this name in lower case.
    TotalHeader(&'a str),
    /// By the position of the next page, at a place of the body: empty, 0 or none behind this one if there is none.
    NextPosition(&'a str),
    /// By a place of the body that holds a link or a cursor, or `true`, while there are more pages.
    Marked(&'a str),
    /// By a status other than 206.
    Partial,
}

/// A list whose requests are numbered: by page, or by how many records come before.
///
/// A request of it has the state that [`Pages::follow`] gives: its position, and what tells the page before it.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    /// Position of the first request: page 0 or 1, or offset 0.
    pub first: u64,
    /// Whether positions are numbers of records instead of pages.
    pub by_offset: bool,
    /// How many records a page has at most, as it is asked for.
    pub size: u64,
    /// How the list says that it is over.
    pub end: End<'a>,
    /// The most pages. A window of more is halved.
    pub most: u64,
    /// The place of the first record, to see that a page isn't the one before it once more; empty where there is none.
    pub record: &'a str,
}

impl Pages<'_> {
    /// The state of the first request.
    pub fn start(&self) -> String {
        self.first.to_string()
    }

    /// The position that a request's state holds.
    pub fn position(&self, request: &Request) -> u64 {
        state_of(request).0.unwrap_or(self.first)
    }

    /// What an answered page means: the list is over, or `ask` makes the request for another position. A page that begins with
    /// the same record as the one before it is refused, rather than followed for ever.
    pub fn follow(&self, request: &Request, response: &Response, ask: impl FnOnce(u64) -> Request) -> Judgement {
        let here = self.position(request);
        let Some(next) = self.next(here, response) else { return done() };
        let asked = if self.by_offset { (here - self.first) / self.size.max(1) } else { here - self.first } + 1;
        if asked >= self.most {
            return split();
        }
        let mark = self.fingerprint(response);
        if !mark.is_empty() && state_of(request).1 == mark {
            let text = format!("the page at {here} begins with the record of the one before it: no paging takes place");
            return refused(RefusalKind::Response, text);
        }
        more(vec![ask(next).state(format!("{next} {mark}"))])
    }

    /// The position behind this one, if there is another page.
    fn next(&self, here: u64, response: &Response) -> Option<u64> {
        let records = response.records.map(u64::from);
        let is_empty = records == Some(0);
        // A server may give fewer records than it is asked for.
        let behind = match records {
            Some(records) if self.by_offset => here + records,
            _ if self.by_offset => here + self.size,
            _ => here + 1,
        };
        let number = |place: &str| response.value_at(place).and_then(|text| text.trim().parse::<u64>().ok());
        let reached = if self.by_offset { behind } else { (here + 1).saturating_sub(self.first) * self.size };
        let is_more = match self.end {
            End::Empty => !is_empty,
            End::Short => records.is_none_or(|records| records >= self.size) && !is_empty,
            End::LastPage(place) => number(place).is_some_and(|last| here < last),
            End::Total(place) => !is_empty && number(place).is_some_and(|total| reached < total),
            End::TotalHeader(name) => {
                let total = response.header(name).and_then(|text| text.trim().parse::<u64>().ok());
                !is_empty && total.is_some_and(|total| reached < total)
            }
            End::NextPosition(place) => return number(place).filter(|next| *next > here && !is_empty),
            End::Marked(place) => {
                let mark = response.value_at(place).unwrap_or_default();
                !matches!(mark.trim(), "" | "false" | "0")
            }
            End::Partial => response.status == 206,
        };
        is_more.then_some(behind)
    }

    fn fingerprint(&self, response: &Response) -> String {
        if self.record.is_empty() {
            return String::new();
        }
        response.value_at(self.record).map(|record| fingerprint(&record)).unwrap_or_default()
    }
}

/// The position and the mark of a request's state.
fn state_of(request: &Request) -> (Option<u64>, &str) {
    let (position, mark) = request.state.split_once(' ').unwrap_or((&request.state, ""));
    (position.parse().ok(), mark)
}

/// 64 bits of FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>), hexadecimal: tells a text from another one.
pub fn fingerprint(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Body, Verdict, get, text};

    const PAGES: Pages = Pages { first: 1, by_offset: false, size: 100, end: End::Empty, most: 10, record: "/rows/0" };
    const OFFSETS: Pages = Pages { first: 0, by_offset: true, ..PAGES };

    fn ask(position: u64) -> Request {
        get(format!("at-{position}"), text("https://x.example/"))
    }

    /// The state of the request that follows; `split` and `refused` by name, none when the list is over.
    fn follows(pages: Pages, state: &str, records: u32, values: &[(&str, &str)]) -> Option<String> {
        let look_up = |place: &str| values.iter().find(|(key, _)| *key == place).map(|(_, value)| (*value).to_owned());
        let headers = [("x-total".to_owned(), "150".to_owned())];
        let status = if values.contains(&("status", "206")) { 206 } else { 200 };
        let response = Response::new(status, &headers, Some(records), Body::Bytes(b"", &look_up));
        match pages.follow(&ask(0).state(state), &response, ask).verdict {
            Verdict::Done => None,
            Verdict::More(requests) => Some(requests[0].state.clone()),
            Verdict::Split => Some("split".into()),
            Verdict::Refused(_) => Some("refused".into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_list_ends_as_the_network_says() {
        let next = |end, records, values: &[(&str, &str)]| follows(Pages { end, ..PAGES }, "1", records, values);
        for (end, records, values, goes_on) in [
            (End::Empty, 1, &[][..], true),
            (End::Empty, 0, &[], false),
            (End::Short, 100, &[], true),
            (End::Short, 99, &[], false),
            (End::LastPage("/last"), 3, &[("/last", "2")], true),
            (End::LastPage("/last"), 3, &[("/last", "1")], false),
            (End::LastPage("/last"), 0, &[("/last", "0")], false),
            (End::LastPage("/last"), 3, &[], false),
            (End::Total("/total"), 100, &[("/total", "101")], true),
            (End::Total("/total"), 100, &[("/total", "100")], false),
            (End::TotalHeader("x-total"), 100, &[], true),
            (End::TotalHeader("x-other"), 100, &[], false),
            (End::Marked("/next"), 1, &[("/next", "https://x.example/2")], true),
            (End::Marked("/next"), 1, &[("/next", "false")], false),
            (End::Marked("/next"), 1, &[("/next", "")], false),
            (End::Partial, 1, &[("status", "206")], true),
            (End::Partial, 1, &[], false),
        ] {
            assert_eq!(next(end, records, values), goes_on.then(|| "2 ".to_owned()), "{end:?} {values:?}");
        }
    }

    #[test]
    fn an_offset_counts_the_records_that_came() {
        let end = End::Total("/total");
        let next = |state, records| follows(Pages { end, ..OFFSETS }, state, records, &[("/total", "250")]);
        assert_eq!(next("0", 100).as_deref(), Some("100 "));
        assert_eq!(next("100", 40).as_deref(), Some("140 "), "a server that gives fewer than it is asked for");
        assert_eq!(next("200", 50), None);
        assert_eq!(next("140", 0), None, "an empty page ends a list whose total says more");
    }

    #[test]
    fn the_next_position_lies_behind_this_one() {
        let end = End::NextPosition("/next");
        let next = |value| follows(Pages { end, ..OFFSETS }, "100", 100, &[("/next", value)]);
        assert_eq!(next("200").as_deref(), Some("200 "));
        for over in ["100", "0", "", "null"] {
            assert_eq!(next(over), None, "{over}");
        }
    }

    #[test]
    fn a_page_that_repeats_the_one_before_is_refused() {
        let first = follows(PAGES, "1", 100, &[("/rows/0", "a")]).unwrap();
        assert_eq!(follows(PAGES, &first, 100, &[("/rows/0", "a")]).as_deref(), Some("refused"));
        assert!(follows(PAGES, &first, 100, &[("/rows/0", "b")]).unwrap().starts_with("3 "));
    }

    #[test]
    fn a_window_of_too_many_pages_is_halved() {
        assert_eq!(follows(PAGES, "10", 100, &[]).as_deref(), Some("split"));
        assert_eq!(follows(OFFSETS, "900", 100, &[]).as_deref(), Some("split"));
        assert_eq!(follows(PAGES, "10", 0, &[]), None);
    }
}
