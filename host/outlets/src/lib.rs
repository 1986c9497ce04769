//! How other systems get the lake's tables: statements that register them, and databases that they are published to.
//!
//! It exists so that what is written for other systems stands in one place: their dialects, their types, and the
//! connection to a published database. It reads the lake and writes nothing to it.
//!
//! ```no_run
//! # async fn example(lake: sluice_lake::Lake) -> Result<(), Box<dyn std::error::Error>> {
//! use sluice_outlets::{Publication, Publisher};
//!
//! let publication = Publication { schema: "sluice".to_owned(), ..Publication::default() };
//! let mut publisher = Publisher::new(&lake, publication, |_| {}).await?;
//! let published = publisher.catch_up("postgres://reporting/sales").await?;
//! println!("{} new versions", published.versions);
//! # Ok(())
//! # }
//! ```

mod error;
mod publish;
mod registration;

pub use error::Error;
pub use publish::{Publication, Published, PublishedTable, Publisher};
pub use registration::{Dialect, Names, Registration, registration};
