//! Rakuten Advertising, publisher side: the transaction events of the last 30 days, by processing or event date.
//!
//! Facts: the network's OpenAPI document and a client that was tried against the API (`MeltanoLabs/tap-rakutenadvertising`,
//! 2026-04), <https://pubhelp.rakutenadvertising.com/hc/en-us/articles/5949867433997-Events-API> and
//! <https://pubhelp.rakutenadvertising.com/hc/en-us/articles/5949935515149-Events-API-Common-Questions>, read 2026-11.

mod mapping;
mod requests;

use sluice_connector::*;

/// The longest window that the network answers.
const MAX_WINDOW_DAYS: u32 = 30;
/// How far back it can be asked: a start of more than 30 days ago is refused, so a day less is sure to be taken.
const HISTORY_DAYS: u32 = 29;

/// The connector.
pub struct Rakuten;

impl Connector for Rakuten {
    fn describe() -> Manifest {
        Manifest {
            hosts: vec!["api.linksynergy.com".into()],
            streams: vec![Stream {
                // The network forgets events: what is missing hasn't vanished.
                axes: vec![Axis::Modified, Axis::Transaction],
                complete_windows: vec![],
                history_days: Some(HISTORY_DAYS),
                max_window_secs: Some(MAX_WINDOW_DAYS * 86_400),
                layout: mapping::layout(),
                ..stream("transactions")
            }],
            settings: vec![required_setting("sid", "the publisher site's number (SID): the scope of the access token")],
            secrets: vec![
                required_secret("client_id", "client id of an application at developers.rakutenadvertising.com"),
                required_secret("client_secret", "that application's client secret"),
            ],
            tokens: vec![requests::access()],
            // A correction is a further row with its own processing date, so that axis sees everything; the other one
            // finds what is processed under a date that was read already.
            look_back: vec![
                look_back(3_600, 3, Axis::Modified),
                look_back(86_400, HISTORY_DAYS, Axis::Modified),
                look_back(86_400, HISTORY_DAYS, Axis::Transaction),
            ],
            // The network has no status words.
            ..manifest("rakuten", "Rakuten Advertising", env!("CARGO_PKG_VERSION"))
        }
    }

    fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
        requests::plan(slice)
    }

    fn follow(slice: &Slice, request: &Request, response: &Response) -> Result<Judgement, Refusal> {
        Ok(requests::follow(slice, request, response))
    }

    fn map(_: &Slice, _: &Request, _: &Response, records: &Records, out: &mut Output) -> Result<(), Refusal> {
        out.map_each(records, mapping::map);
        Ok(())
    }
}

export!(Rakuten);
