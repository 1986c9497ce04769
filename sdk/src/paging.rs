//! Lists that come page by page.

use crate::{Judgement, RefusalKind, Request, Response, done, more, refused, split};

/// How a list says that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// By a page without records: a short one may come before others.
    Empty,
    /// By a page of fewer records than were asked for. Only where the network's documents say so.
    Short,
    /// By the number of the last page, at a place of the body. An answer that doesn't state it is followed until a page is
    /// empty.
    LastPage(&'a str),
    /// By the number of all records, at a place of the body; else as [`End::LastPage`].
    Total(&'a str),
    /// By the number of all records, in a header with this name in lower case; else as [`End::LastPage`].
    TotalHeader(&'a str),
    /// By the position of the next page, at a place of the body: empty, 0 or none behind this one if there is none. Where it is
    /// missing, a full page is followed by the next.
    NextPosition(&'a str),
    /// By a place of the body that holds a link or a cursor, or `true`, while there are more pages. Where it is missing, a full
    /// page is followed by the next.
    Marked(&'a str),
    /// By a status other than 206.
    Partial,
}

/// A list whose requests are numbered: by page, or by how many records come before.
///
/// A request of it has the state that [`Pages::follow`] gives: its position, what tells the page before it, and how many
/// records came so far.
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
        PageState::of(request).position.unwrap_or(self.first)
    }

    /// What an answered page means: the list is over, or `ask` makes the request for another position. A page that begins with
    /// the same record as the one before it is refused, rather than followed for ever.
    pub fn follow(&self, request: &Request, response: &Response, ask: impl FnOnce(u64) -> Request) -> Judgement {
        let here = self.position(request);
        let before = PageState::of(request);
        let came = self.came(here, &before, response);
        // The last page may be the one before it too.
        let mark = self.fingerprint(response);
        if !mark.is_empty() && before.mark == mark {
            let text = format!("the page at {here} begins with the record of the one before it: no paging takes place");
            return refused(RefusalKind::Response, text);
        }
        let Some(next) = self.next(here, came, response) else { return done() };
        let asked = if self.by_offset { (here - self.first) / self.size.max(1) } else { here - self.first } + 1;
        if asked >= self.most {
            return split();
        }
        more(vec![ask(next).state(format!("{next} {mark} {came}"))])
    }

    /// How many records came with this page and those before it. A server may give fewer than it is asked for, so pages
    /// times their size is only what an answer without a count is taken for, and a request that an earlier release sent.
    fn came(&self, here: u64, before: &PageState, response: &Response) -> u64 {
        let asked =
            if self.by_offset { here - self.first.min(here) } else { (here - self.first.min(here)) * self.size };
        before.came.unwrap_or(asked) + response.records.map_or(self.size, u64::from)
    }

    /// The position behind this one, if there is another page; `came`: the records up to here.
    fn next(&self, here: u64, came: u64, response: &Response) -> Option<u64> {
        let records = response.records.map(u64::from);
        let is_empty = records == Some(0);
        // A server may give fewer records than it is asked for.
        let behind = match records {
            Some(records) if self.by_offset => here + records,
            _ if self.by_offset => here + self.size,
            _ => here + 1,
        };
        let number = |place: &str| response.value_at(place).and_then(|text| text.trim().parse::<u64>().ok());
        // What isn't stated ends nothing: a short page may come before others.
        let until_empty = records.is_some_and(|records| records > 0);
        let is_full = records.is_some_and(|records| records > 0 && records >= self.size);
        let is_more = match self.end {
            End::Empty => !is_empty,
            End::Short => records.is_none_or(|records| records >= self.size) && !is_empty,
            End::LastPage(place) => number(place).map_or(until_empty, |last| here < last),
            End::Total(place) => number(place).map_or(until_empty, |total| !is_empty && came < total),
            End::TotalHeader(name) => {
                let total = response.header(name).and_then(|text| text.trim().parse::<u64>().ok());
                total.map_or(until_empty, |total| !is_empty && came < total)
            }
            End::NextPosition(place) => match response.value_at(place) {
                Some(text) => return text.trim().parse().ok().filter(|next| *next > here && !is_empty),
                None => is_full,
            },
            End::Marked(place) => {
                response.value_at(place).map_or(is_full, |mark| !matches!(mark.trim(), "" | "false" | "0"))
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

/// What a request's state tells.
struct PageState<'a> {
    position: Option<u64>,
    /// What the page before it begins with.
    mark: &'a str,
    /// How many records came before it.
    came: Option<u64>,
}

impl<'a> PageState<'a> {
    fn of(request: &'a Request) -> Self {
        let mut parts = request.state.splitn(3, ' ');
        Self {
            position: parts.next().and_then(|position| position.parse().ok()),
            mark: parts.next().unwrap_or_default(),
            came: parts.next().and_then(|came| came.parse().ok()),
        }
    }
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
            (End::LastPage("/last"), 3, &[], true),
            (End::LastPage("/last"), 0, &[], false),
            (End::Total("/total"), 100, &[("/total", "101")], true),
            (End::Total("/total"), 100, &[("/total", "100")], false),
            (End::TotalHeader("x-total"), 100, &[], true),
            (End::TotalHeader("x-other"), 100, &[], true),
            (End::TotalHeader("x-other"), 0, &[], false),
            (End::Total("/total"), 3, &[], true),
            (End::Total("/total"), 0, &[("/total", "100")], false),
            (End::Marked("/next"), 1, &[("/next", "https://x.example/2")], true),
            (End::Marked("/next"), 1, &[("/next", "false")], false),
            (End::Marked("/next"), 1, &[("/next", "")], false),
            (End::Marked("/next"), 99, &[], false),
            (End::Marked("/next"), 100, &[], true),
            (End::Marked("/next"), 100, &[("/next", "")], false),
            (End::Partial, 1, &[("status", "206")], true),
            (End::Partial, 1, &[], false),
        ] {
            assert_eq!(next(end, records, values), goes_on.then(|| format!("2  {records}")), "{end:?} {values:?}");
        }
    }

    #[test]
    fn an_offset_counts_the_records_that_came() {
        let end = End::Total("/total");
        let next = |state, records| follows(Pages { end, ..OFFSETS }, state, records, &[("/total", "250")]);
        assert_eq!(next("0", 100).as_deref(), Some("100  100"));
        assert_eq!(next("100", 40).as_deref(), Some("140  140"), "a server that gives fewer than it is asked for");
        assert_eq!(next("200", 50), None);
        assert_eq!(next("140", 0), None, "an empty page ends a list whose total says more");
    }

    #[test]
    fn a_page_counts_for_the_records_that_it_has() {
        let next = |end, state, records| follows(Pages { end, ..PAGES }, state, records, &[("/total", "150")]);
        for end in [End::Total("/total"), End::TotalHeader("x-total")] {
            assert_eq!(next(end, "1", 50).as_deref(), Some("2  50"), "pages of 50 where 100 were asked for");
            assert_eq!(next(end, "2  50", 50).as_deref(), Some("3  100"));
            assert_eq!(next(end, "3  100", 50), None);
            assert_eq!(next(end, "3  100", 0), None, "an empty page ends a list whose total says more");
            assert_eq!(next(end, "2 ", 50), None, "as an earlier release asked: 100 and 50");
        }
    }

    #[test]
    fn the_next_position_lies_behind_this_one() {
        let end = End::NextPosition("/next");
        let next = |value| follows(Pages { end, ..OFFSETS }, "100", 100, &[("/next", value)]);
        assert_eq!(next("200").as_deref(), Some("200  200"));
        for over in ["100", "0", "", "null"] {
            assert_eq!(next(over), None, "{over}");
        }
        let unstated = |records| follows(Pages { end, ..OFFSETS }, "100", records, &[]);
        assert_eq!(unstated(100).as_deref(), Some("200  200"), "a full page that states nothing");
        assert_eq!(unstated(99), None);
    }

    #[test]
    fn a_page_that_repeats_the_one_before_is_refused() {
        let first = follows(PAGES, "1", 100, &[("/rows/0", "a")]).unwrap();
        assert_eq!(follows(PAGES, &first, 100, &[("/rows/0", "a")]).as_deref(), Some("refused"));
        assert!(follows(PAGES, &first, 100, &[("/rows/0", "b")]).unwrap().starts_with("3 "));
        let last = Pages { end: End::LastPage("/last"), ..PAGES };
        let at_the_end = |row| follows(last, &first, 100, &[("/rows/0", row), ("/last", "2")]);
        assert_eq!(at_the_end("a").as_deref(), Some("refused"), "the last page is no exception");
        assert_eq!(at_the_end("b"), None);
    }

    #[test]
    fn a_window_of_too_many_pages_is_halved() {
        assert_eq!(follows(PAGES, "10", 100, &[]).as_deref(), Some("split"));
        assert_eq!(follows(OFFSETS, "900", 100, &[]).as_deref(), Some("split"));
        assert_eq!(follows(PAGES, "10", 0, &[]), None);
    }
}
