//! Webgains, publisher side: transactions of all campaigns, which are looked up first; see network.toml.
//!
//! Facts: clients of <https://docs.webgains.dev/>, read 2026-11; see README.md.

mod campaigns;

sluice_connector::declared!("network.toml");
