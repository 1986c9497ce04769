//! Effiliation (Effinity), publisher side: transactions by their date, click date or last change; see network.toml.
//!
//! Facts: clients of <https://apiv2.effiliation.com/apiv2/doc/home.htm>, read 2026-11; see README.md.

sluice_connector::declared!("network.toml");
