//! Kwanko, publisher side: conversions by their date, a row for each site that earns; see network.toml.
//!
//! Facts: clients of <https://developers.kwanko.com/>, read 2026-11; see README.md.

mod sites;

sluice_connector::declared!("network.toml");
