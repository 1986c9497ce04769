//! financeAds, publisher side: leads and sales by their date or by their last change; see network.toml.
//!
//! Facts: clients of `data.financeads.net` and a site that quotes the dashboard's page of the API (2025-11), read 2026-11; see
//! README.md.

sluice_connector::declared!("network.toml");
