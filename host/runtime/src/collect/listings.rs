//! The listings of a slice: a planned request and all that follow from it, with the records that they gave and how many the
//! network states.

use std::collections::HashMap;

use sluice_model::Request;

/// What came of one listing.
#[derive(Clone, Copy, Debug, Default)]
struct Listing {
    records: u64,
    /// Of these, records that another answer of it has too.
    repeated: u64,
    /// The least and the most that its answers state. They differ where sales come in while pages are asked for.
    stated: Option<(u64, u64)>,
}

/// All listings of a slice.
#[derive(Debug, Default)]
pub(super) struct Listings {
    /// The place of each request's listing, by the request's key.
    of: HashMap<String, usize>,
    all: Vec<Listing>,
}

impl Listings {
    /// Begins a listing for each planned request.
    pub(super) fn begin<'a>(&mut self, planned: impl Iterator<Item = &'a Request>) {
        for request in planned {
            self.of.insert(request.key.clone(), self.all.len());
            self.all.push(Listing::default());
        }
    }

    /// Records the requests that follow from another one's answer. Several that a step without records leads to are of no
    /// listing: nothing says whether they share one.
    pub(super) fn follow(&mut self, request: &Request, follow_ups: &[Request]) {
        if !request.yields_records && follow_ups.len() > 1 {
            return;
        }
        if let Some(place) = self.of.get(&request.key).copied() {
            self.of.extend(follow_ups.iter().map(|request| (request.key.clone(), place)));
        }
    }

    /// Records an answer: its records, and the total that it states.
    pub(super) fn answered(&mut self, key: &str, records: u64, total: Option<u64>) {
        let Some(listing) = self.of.get(key).and_then(|place| self.all.get_mut(*place)) else { return };
        listing.records += records;
        if let Some(total) = total {
            let (least, most) = listing.stated.unwrap_or((total, total));
            listing.stated = Some((least.min(total), most.max(total)));
        }
    }

    /// The listing that a request belongs to.
    pub(super) fn place_of(&self, key: &str) -> Option<usize> {
        self.of.get(key).copied()
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
    fn without_a_stated_total_nothing_differs() {
        let mut listings = listings(&["1"]);
        listings.answered("1", 10, None);
        listings.answered("unknown", 10, Some(0));
        assert_eq!(listings.difference(), None);
    }
}
