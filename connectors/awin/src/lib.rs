//! Awin, publisher side: transactions by event, amendment or validation date.
//!
//! Facts: <https://help.awin.com/apidocs/returns-a-list-of-transactions-for-a-given-publisher>, read 2026-11.

mod mapping;
mod requests;

use sluice_connector::*;

/// The connector.
pub struct Awin;

impl Connector for Awin {
    fn describe() -> Manifest {
        Manifest {
            hosts: vec!["api.awin.com".into()],
            streams: vec![Stream {
                // Only windows of the transaction's date are complete: on the others a row that changes once more leaves
                // its window.
                axes: vec![Axis::Transaction, Axis::Modified, Axis::Validation],
                complete_windows: vec![Axis::Transaction],
                max_window_secs: Some(31 * 86_400),
                layout: mapping::layout(),
                ..stream("transactions")
            }],
            settings: vec![required_setting("publisher_id", "the publisher account's number")],
            secrets: vec![required_secret("token", "user token, made at ui.awin.com/awin-api")],
            // Per user token: accounts with one token share it.
            rate: Some(Rate { requests: 20, per_secs: 60, concurrency: 4 }),
            look_back: vec![
                look_back(3_600, 3, Axis::Transaction),
                // A sale may be booked weeks after it happened, and is amended or decided later still.
                look_back(86_400, 45, Axis::Transaction),
                look_back(86_400, 45, Axis::Modified),
                look_back(86_400, 45, Axis::Validation),
            ],
            statuses: Status::manifest(mapping::STATUSES),
            ..manifest("awin", "Awin", env!("CARGO_PKG_VERSION"))
        }
    }

    fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
        requests::plan(slice)
    }

    fn follow(_: &Slice, _: &Request, response: &Response) -> Result<Judgement, Refusal> {
        Ok(requests::follow(response))
    }

    fn map(_: &Slice, _: &Request, _: &Response, records: &Records, out: &mut Output) -> Result<(), Refusal> {
        out.map_each(records, mapping::map);
        Ok(())
    }
}

export!(Awin);
