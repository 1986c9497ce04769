//! CJ Affiliate, publisher side: commission records by posting, event or locking date.
//!
//! Facts: <https://developers.cj.com/graphql/reference/Commission%20Detail>, read 2026-11.

mod mapping;
mod requests;

use sluice_connector::*;

/// The connector.
pub struct Cj;

impl Connector for Cj {
    fn describe() -> Manifest {
        Manifest {
            hosts: vec!["commissions.api.cj.com".into()],
            streams: vec![Stream {
                // Corrections are further records, posted later than the event that they correct.
                axes: vec![Axis::Modified, Axis::Transaction, Axis::Validation],
                // The old REST API's limit; the schema states none.
                max_window_secs: Some(31 * 86_400),
                layout: mapping::layout(),
                ..stream("transactions")
            }],
            settings: vec![
                required_setting("publisher_id", "the publisher's company id (CID)"),
                Setting {
                    identifies: false,
                    ..required_setting("currency", "the account's currency, ISO 4217; CJ's answers name none")
                },
            ],
            secrets: vec![required_secret("token", "personal access token, made at developers.cj.com")],
            // Not published; 25 a minute is the limit of CJ's REST APIs.
            rate: Some(Rate { requests: 20, per_secs: 60, concurrency: 2 }),
            look_back: vec![
                look_back(3_600, 3, Axis::Modified),
                look_back(86_400, 93, Axis::Modified),
                // An event that is booked late has a posting date of now; this is for one that hasn't.
                look_back(86_400, 45, Axis::Transaction),
                look_back(86_400, 45, Axis::Validation),
            ],
            statuses: Status::manifest(mapping::STATUSES),
            ..manifest("cj", "CJ Affiliate", env!("CARGO_PKG_VERSION"))
        }
    }

    fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
        requests::plan(slice)
    }

    fn follow(slice: &Slice, request: &Request, response: &Response) -> Result<Judgement, Refusal> {
        requests::follow(slice, request, response)
    }

    fn map(
        slice: &Slice,
        request: &Request,
        response: &Response,
        records: &Records,
        out: &mut Output,
    ) -> Result<(), Refusal> {
        let currency = requests::currency(slice)?;
        out.total = requests::total(request, response);
        out.map_each(records, |record, out| mapping::map(record, currency, out));
        Ok(())
    }
}

export!(Cj);
