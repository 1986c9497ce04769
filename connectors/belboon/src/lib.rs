//! Belboon (Ingenious platform), publisher side: the conversion report as CSV, its key in the path; see network.toml.
//!
//! Facts: clients of `export.service.belboon.com` and <https://faq.belboon.com/en/knowledge-base/tag/api/>, read 2026-11; see
//! README.md.

sluice_connector::declared!("network.toml");
