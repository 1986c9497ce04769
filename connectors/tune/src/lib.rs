//! TUNE (HasOffers), affiliate side: conversions of one network of the platform by their time; see network.toml.
//!
//! Facts: <https://developers.tune.com/affiliate-models/conversionreport>, read 2026-11; see README.md.

sluice_connector::declared!("network.toml");
