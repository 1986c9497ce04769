//! Impact, publisher side: actions by event, update or locking date, and the feed of their changes; see network.toml.
//!
//! Facts: <https://integrations.impact.com/impact-publisher/reference/list-actions-1>, read 2026-11; see README.md.

sluice_connector::declared!("network.toml");
