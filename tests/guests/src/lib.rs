//! Guests for tests, each in a folder of its own beside its expected outcome.
//!
//! A folder holds one guest and one expectation, `expect.json`. The guest is `guest.json` (values of the contract's
//! types and a few instructions, see [`Guest`]), `guest.wat` (a component as text), `guest.wasm` (one that was compiled
//! long ago) or `build.sh` (one that another language's tools make).
//!
//! ```
//! let guest = sluice_guests::Guest::new("polite", &serde_json::json!({
//!     "plan": {"ok": [{"key": "page-1", "url": [{"text": "https://api.example.com/sales"}]}]},
//! }));
//! let component = guest.component()?;
//! assert!(component.starts_with(b"\0asm"));
//! # Ok::<(), anyhow::Error>(())
//! ```

mod case;
mod guest;
mod image;
mod libraries;

pub use case::{Case, Expectation, Stage, case, cases, expectation, repository};
pub use guest::Guest;
pub use libraries::{follows_with_libraries, follows_with_nuls};
