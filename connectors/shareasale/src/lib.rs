//! ShareASale, affiliate side: the `activity` report by transaction day.
//!
//! Facts: answers of `https://api.shareasale.com/x.cfm` recorded in 2021 (`tommycarney/teilashare`) and public clients,
//! gathered 2026-11; the documentation at <https://account.shareasale.com/a-apimanager.cfm> needs an account.

mod mapping;
mod requests;

use sluice_connector::*;

/// The connector.
pub struct ShareASale;

impl Connector for ShareASale {
    fn describe() -> Manifest {
        Manifest {
            hosts: vec!["api.shareasale.com".into()],
            streams: vec![Stream {
                // Wide, since calls are counted by the month; bounded, since an answer has no pages.
                max_window_secs: Some(184 * 86_400),
                grain: Grain::Day,
                timezone: mapping::TIMEZONE.into(),
                layout: mapping::layout(),
                ..stream("transactions")
            }],
            settings: vec![required_setting("affiliate_id", "the affiliate account's number")],
            secrets: vec![
                required_secret("token", "API token, made at account.shareasale.com/a-apimanager.cfm"),
                required_secret("secret_key", "API secret key, from the same page"),
            ],
            // What is documented is a credit of calls per month (200, say), which the schedule keeps to: about 65.
            rate: Some(Rate { requests: 10, per_secs: 60, concurrency: 1 }),
            schedule: "30 5,17 * * *".into(),
            look_back: vec![look_back(43_200, 45, Axis::Transaction), look_back(604_800, 180, Axis::Transaction)],
            statuses: Status::manifest(mapping::STATUSES),
            ..manifest("shareasale", "ShareASale", env!("CARGO_PKG_VERSION"))
        }
    }

    fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
        requests::plan(slice)
    }

    fn follow(_: &Slice, _: &Request, response: &Response) -> Result<Judgement, Refusal> {
        Ok(requests::follow(response))
    }

    fn map(_: &Slice, _: &Request, _: &Response, records: &Records, out: &mut Output) -> Result<(), Refusal> {
        out.timezone = mapping::TIMEZONE.into();
        out.map_each(records, mapping::map);
        Ok(())
    }
}

export!(ShareASale);
