//! The listings of a slice: a planned request and all that follow from it, with the records that they gave and how many the
//! network states. No page of one comes twice.

use std::collections::HashMap;

use sluice_model::{Digest, Request};

use crate::memory::{ByteLimit, HeldBytes};
use crate::text;

/// Records of which all came before that make a page the same as others: a list that moves on repeats a few.
const MIN_REPEATED: u64 = 10;
/// Alike pages of different lists that are remembered.
const MAX_ALIKE: usize = 1_000;
/// Characters of a request's key that a reason shows.
const MAX_SHOWN_KEY: usize = 60;
/// Pages of a slice that are remembered in any case.
const FREE_PAGES: usize = 8;
/// Pages for which memory is taken at once beyond these, and the bytes of one.
const PAGES_AT_ONCE: usize = 64;
const OF_PAGE: usize = 512;

/// What came of one listing.
#[derive(Clone, Copy, Debug, Default)]
struct Listing {
    records: u64,
    /// Of these, records that another answer of it has too.
    repeated: u64,
    /// The least and the most that its answers state. They differ where sales come in while pages are asked for.
    stated: Option<(u64, u64)>,
}

/// A page with records.
#[derive(Debug)]
struct Page {
    number: u64,
    /// Of its request, as much as is shown.
    key: String,
    list: usize,
}

/// All listings of a slice.
#[derive(Debug, Default)]
pub(super) struct Listings {
    /// The place of each request's listing, by the digest of the request's key.
    of: HashMap<u128, usize>,
    all: Vec<Listing>,
    /// The planned request that each request follows from, and the list of which it is a page, by the digest of
    /// the request's key.
    planned: HashMap<u128, (usize, usize)>,
    /// Lists of pages: requests that follow each other. Several that a step without records leads to begin one each.
    lists: usize,
    /// How many pages with records came of each planned request.
    counts: HashMap<usize, u64>,
    /// These pages by planned request and body.
    pages: HashMap<(usize, Digest), Vec<Page>>,
    /// How many pages are remembered, and the memory for them.
    remembered: usize,
    held: Vec<HeldBytes>,
    /// Which page came twice.
    repeat: Option<String>,
}

impl Listings {
    /// Begins a listing for each planned request.
    pub(super) fn begin<'a>(&mut self, planned: impl Iterator<Item = &'a Request>) {
        for request in planned {
            self.of.insert(id(&request.key), self.all.len());
            self.lists += 1;
            self.planned.insert(id(&request.key), (self.all.len(), self.lists));
            self.all.push(Listing::default());
        }
    }

    /// Records the requests that follow from another one's answer. Several that a step without records leads to are of no
    /// listing: nothing says whether they share one.
    pub(super) fn follow(&mut self, request: &Request, follow_ups: &[Request]) {
        let are_apart = !request.yields_records && follow_ups.len() > 1;
        if let Some((planned, list)) = self.planned.get(&id(&request.key)).copied() {
            for follow_up in follow_ups {
                self.lists += usize::from(are_apart);
                let list = if are_apart { self.lists } else { list };
                self.planned.insert(id(&follow_up.key), (planned, list));
            }
        }
        if are_apart {
            return;
        }
        if let Some(place) = self.place_of(&request.key) {
            self.of.extend(follow_ups.iter().map(|request| (id(&request.key), place)));
        }
    }

    /// Records an answer: its records, and the total that it states.
    pub(super) fn answered(&mut self, key: &str, records: u64, total: Option<u64>) {
        let Some(listing) = self.place_of(key).and_then(|place| self.all.get_mut(place)) else { return };
        listing.records += records;
        if let Some(total) = total {
            let (least, most) = listing.stated.unwrap_or((total, total));
            listing.stated = Some((least.min(total), most.max(total)));
        }
    }

    /// Whether there is memory for one more page.
    pub(super) fn has_room(&mut self, limit: &ByteLimit) -> bool {
        let most = |held: &[HeldBytes]| FREE_PAGES + held.len() * PAGES_AT_ONCE;
        if self.remembered >= most(&self.held) {
            self.held.extend(limit.hold(PAGES_AT_ONCE * OF_PAGE));
        }
        self.remembered < most(&self.held)
    }

    /// Records a page: a network that ignores the page or the cursor sends the same one again. What a lookup leads to may be
    /// alike, as the programmes of two sites are: of these only pages with many transactions are compared.
    pub(super) fn page(&mut self, key: &str, body: Digest, records: u64, transactions: u64) {
        let Some((planned, list)) = self.planned.get(&id(key)).copied().filter(|_| records > 0) else { return };
        let count = self.counts.entry(planned).or_default();
        *count += 1;
        // Reasons are bounded, and this one isn't all of it.
        let page = Page { number: *count, key: key.chars().take(MAX_SHOWN_KEY).collect(), list };
        let same = self.pages.entry((planned, body)).or_default();
        let of_list = same.iter().find(|other| other.list == list);
        let of_any = same.first().filter(|_| transactions >= MIN_REPEATED);
        let Some(first) = of_list.or(of_any) else {
            // Each further one is compared with all of these.
            if same.len() < MAX_ALIKE {
                same.push(page);
                self.remembered += 1;
            }
            return;
        };
        let (Page { number, key, .. }, Page { number: earlier, key: of, .. }) = (&page, first);
        self.repeat.get_or_insert_with(|| {
            let records = text::count(records, "record");
            format!("page {number} repeats page {earlier}: `{key}` is answered as `{of}` was, with {records}")
        });
    }

    /// Records a page of which so many records came with other pages of its listing.
    pub(super) fn came_again(&mut self, key: &str, repeated: u64, records: u64) {
        if records >= MIN_REPEATED && repeated >= records {
            let reason = format!("all {records} records of `{key}` came with other pages already");
            self.repeat.get_or_insert(reason);
        }
    }

    /// Which page came twice.
    pub(super) fn repeat(&self) -> Option<&str> {
        self.repeat.as_deref()
    }

    /// The listing that a request belongs to.
    pub(super) fn place_of(&self, key: &str) -> Option<usize> {
        self.of.get(&id(key)).copied()
    }

    /// Records that so many records of an answer came with another one of its listing already.
    pub(super) fn repeated(&mut self, listing: Option<usize>, records: u64) {
        if let Some(listing) = listing.and_then(|place| self.all.get_mut(place)) {
            listing.repeated += records;
        }
    }

    /// Whether the network states how many records a listing has.
    pub(super) fn are_stated(&self) -> bool {
        self.all.iter().any(|listing| listing.stated.is_some())
    }

    /// What is odd about the number of records, of a slice all of whose requests were answered.
    pub(super) fn difference(&self) -> Option<String> {
        self.all.iter().find_map(|listing| {
            let (least, most) = listing.stated?;
            let (records, repeated) = (listing.records, listing.repeated.min(listing.records));
            let what = if (least, most) == (1, 1) { "record" } else { "records" };
            let stated = if least == most { least.to_string() } else { format!("{least} to {most}") };
            let twice = if repeated == 0 { String::new() } else { format!(", {repeated} of them twice") };
            // One that came twice doesn't stand for another, which was missed.
            (records - repeated < least || records > most + repeated)
                .then(|| format!("the network states {stated} {what}, and {records} came{twice}"))
        })
    }
}

/// What a request's key is remembered by: each may be long.
fn id(key: &str) -> u128 {
    Digest::of(key.as_bytes()).first_half()
}

#[cfg(test)]
mod tests {
    use super::super::get;
    use super::*;

    fn request(key: &str) -> Request {
        get(key, "")
    }

    fn listings(planned: &[&str]) -> Listings {
        let mut listings = Listings::default();
        listings.begin(planned.iter().map(|key| request(key)).collect::<Vec<_>>().iter());
        listings
    }

    #[test]
    fn pages_of_a_listing_count_together_and_listings_apart() {
        let mut listings = listings(&["sales-1", "leads-1"]);
        listings.answered("sales-1", 100, Some(103));
        listings.follow(&request("sales-1"), &[request("sales-2")]);
        listings.answered("sales-2", 3, None);
        listings.answered("leads-1", 5, Some(5));
        assert_eq!(listings.difference(), None);
        listings.follow(&request("leads-1"), &[request("leads-2")]);
        listings.answered("leads-2", 1, None);
        assert_eq!(listings.difference().as_deref(), Some("the network states 5 records, and 6 came"));
    }

    #[test]
    fn batches_that_a_lookup_leads_to_have_totals_of_their_own() {
        let mut listings = listings(&["lookup"]);
        let step = Request { yields_records: false, ..request("lookup") };
        listings.follow(&step, &[request("batch-1"), request("batch-2")]);
        listings.answered("batch-1", 120, Some(120));
        listings.answered("batch-2", 3, Some(3));
        assert_eq!(listings.difference(), None);
    }

    #[test]
    fn a_total_that_grows_while_pages_are_read_is_no_difference() {
        let after = |records: u64| {
            let mut listings = listings(&["1"]);
            listings.answered("1", 10, Some(19));
            listings.follow(&request("1"), &[request("2")]);
            listings.answered("2", records - 10, Some(21));
            listings.difference()
        };
        assert_eq!(after(19).or(after(20)).or(after(21)), None);
        assert_eq!(after(18).as_deref(), Some("the network states 19 to 21 records, and 18 came"));
        assert!(after(22).is_some());
    }

    #[test]
    fn a_page_that_comes_twice_is_named() {
        let mut listings = listings(&["1", "other"]);
        listings.follow(&request("1"), &[request("2")]);
        listings.follow(&request("2"), &[request("3")]);
        let [one, two, none] = [b"a", b"b", b"c"].map(|body| Digest::of(body));
        listings.page("1", one, 10, 10);
        listings.page("2", two, 10, 10);
        listings.page("other", one, 10, 10);
        listings.page("unknown", one, 10, 10);
        listings.page("2", none, 0, 0);
        listings.page("3", none, 0, 0);
        assert_eq!(listings.repeat(), None, "of another request, of none, and without records");
        listings.page("3", one, 1, 1);
        assert_eq!(listings.repeat(), Some("page 3 repeats page 1: `3` is answered as `1` was, with 1 record"));
    }

    #[test]
    fn the_batches_of_a_lookup_are_compared_too() {
        let mut listings = listings(&["lookup"]);
        let step = Request { yields_records: false, ..request("lookup") };
        listings.follow(&step, &[request("batch-1"), request("batch-2")]);
        listings.follow(&request("batch-1"), &[request("batch-1-page-2")]);
        listings.page("batch-1", Digest::of(b"a"), 1, 1);
        listings.page("batch-1-page-2", Digest::of(b"a"), 1, 1);
        assert!(listings.repeat().is_some_and(|reason| reason.starts_with("page 2 repeats page 1: ")));
    }

    #[test]
    fn what_a_lookup_leads_to_may_be_alike_unless_it_is_many_transactions() {
        let repeat = |records: u64, transactions: u64| {
            let mut listings = listings(&["sites"]);
            let step = Request { yields_records: false, ..request("sites") };
            listings.follow(&step, &[request("site-1"), request("site-2")]);
            listings.page("site-1", Digest::of(b"a"), records, transactions);
            listings.page("site-2", Digest::of(b"a"), records, transactions);
            listings.repeat().is_some()
        };
        assert!(!repeat(1, 0) && !repeat(100, 0), "totals, programmes");
        assert!(!repeat(9, 9) && repeat(10, 10));
    }

    #[test]
    fn records_that_all_came_before_are_a_page_again() {
        let mut listings = listings(&["1"]);
        listings.came_again("1", 9, 9);
        listings.came_again("1", 19, 20);
        assert_eq!(listings.repeat(), None, "the list moved on");
        listings.came_again("1", 20, 20);
        assert_eq!(listings.repeat(), Some("all 20 records of `1` came with other pages already"));
    }

    #[test]
    fn further_pages_are_remembered_as_far_as_there_is_memory() {
        let limit = ByteLimit::new(PAGES_AT_ONCE * OF_PAGE);
        let remembered = |listings: &mut Listings| {
            let pages = (0..1_000_u32).take_while(|page| {
                let has_room = listings.has_room(&limit);
                listings.page("1", Digest::of(&page.to_le_bytes()), 1, 1);
                has_room
            });
            pages.count()
        };
        let (mut first, mut second) = (listings(&["1"]), listings(&["1"]));
        assert_eq!(remembered(&mut first), FREE_PAGES + PAGES_AT_ONCE);
        assert_eq!(remembered(&mut second), FREE_PAGES);
        drop(first);
        assert!(second.has_room(&limit), "it is free again");
    }

    #[test]
    fn without_a_stated_total_nothing_differs() {
        let mut listings = listings(&["1"]);
        listings.answered("1", 10, None);
        listings.answered("unknown", 10, Some(0));
        assert_eq!(listings.difference(), None);
    }
}
