//! TradeTracker, publisher side: conversion transactions of one site, by registration or assessment date.
//!
//! Facts: <https://ws.tradetracker.com/soap/affiliate?wsdl> and answers recorded in 2016 (`Hulie/payback`), read 2026-11;
//! see README.md.

mod mapping;
mod requests;

use sluice_connector::*;

/// The connector.
pub struct Tradetracker;

impl Connector for Tradetracker {
    fn describe() -> Manifest {
        Manifest {
            hosts: vec!["ws.tradetracker.com".into()],
            streams: vec![Stream {
                // The zone of the days is assumed: a row near midnight may be missing without having vanished.
                complete_windows: vec![],
                axes: vec![Axis::Transaction, Axis::Validation],
                grain: Grain::Day,
                timezone: mapping::TIMEZONE.into(),
                layout: mapping::layout(),
                ..stream("transactions")
            }],
            settings: vec![
                required_setting("customer_id", "the customer's number, from Account > Web services"),
                required_setting("affiliate_site_id", "the site's number; one account per site"),
            ],
            secrets: vec![required_secret("passphrase", "passphrase of the web services, made at the same place")],
            tokens: vec![requests::session()],
            look_back: vec![
                look_back(3_600, 3, Axis::Transaction),
                look_back(86_400, 45, Axis::Transaction),
                look_back(86_400, 45, Axis::Validation),
                // A payout changes no date; only reading assessed rows again shows it.
                look_back(7 * 86_400, 180, Axis::Validation),
            ],
            statuses: Status::manifest(mapping::STATUSES),
            ..manifest("tradetracker", "TradeTracker", env!("CARGO_PKG_VERSION"))
        }
    }

    fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
        requests::plan(slice)
    }

    fn follow(_: &Slice, _: &Request, response: &Response) -> Result<Judgement, Refusal> {
        Ok(requests::follow(response))
    }

    fn map(slice: &Slice, _: &Request, _: &Response, records: &Records, out: &mut Output) -> Result<(), Refusal> {
        let site = slice.setting("affiliate_site_id");
        out.timezone = mapping::TIMEZONE.into();
        out.timezone_basis = TimezoneBasis::Assumed;
        out.map_each(records, |record, out| mapping::map(record, site, out));
        Ok(())
    }
}

export!(Tradetracker);
