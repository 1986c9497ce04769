//! A table of versions, for followers outside of the lake: what is new in it since the place that they absorbed.
//!
//! Such a follower keeps the place with what it derived, as [`crate::follow`] has it for the lake's own, and begins anew
//! where the log can't be followed.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake::kernel::Add;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sluice_model::Fact;

use crate::changes::aligned;
use crate::error::Error;
use crate::lake::Lake;
use crate::latest::path_of;
use crate::scan::{file_schema, stream_rows};
use crate::table::Table;

/// A snapshot of the table of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionPlace {
    /// The table's id: another one may be made in its place.
    pub table: String,
    /// The commit of the table's log.
    pub version: u64,
}

/// A data file of the table of versions.
#[derive(Clone, Debug)]
pub struct VersionFile(Add);

impl VersionFile {
    /// The network whose versions it holds.
    pub fn network(&self) -> &str {
        self.0.partition_values.get("network").and_then(Option::as_deref).unwrap_or_default()
    }

    /// Its path from the table's root.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The columns that it hasn't, since all its rows have one value of them.
    pub fn partition(&self) -> BTreeMap<String, String> {
        let values = self.0.partition_values.iter();
        values.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }
}

/// What the table has that a place hasn't.
#[derive(Clone, Debug)]
pub enum NewVersions {
    /// These files, and nothing went.
    Added(Vec<VersionFile>),
    /// The log can't be followed from there, since rows went, it was cleaned, or tables were rebuilt. These are all files.
    All(Vec<VersionFile>),
}

/// Reads the table of versions. It keeps its log as far as it was read, so that reading again costs little.
pub struct VersionReader {
    versions: Table,
}

impl Lake {
    /// A reader of the table of versions of a kind of facts.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn version_reader(&self, fact: Fact) -> Result<VersionReader, Error> {
        Ok(VersionReader { versions: Table::open(self, "unified", fact.versions()).await? })
    }
}

impl VersionReader {
    /// Reads the log, and gives the newest snapshot's place; none if there is no fact of the kind yet.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn refresh(&mut self) -> Result<Option<VersionPlace>, Error> {
        self.versions.refresh().await?;
        let place = self.versions.id().zip(self.versions.version());
        Ok(place.map(|(table, version)| VersionPlace { table: table.to_owned(), version }))
    }

    /// The table's columns, in the snapshot that was read last.
    ///
    /// # Errors
    /// A table that isn't there.
    pub fn schema(&self) -> Result<SchemaRef, Error> {
        self.versions.schema()
    }

    /// What the snapshot that was read last has beyond a place, or all of it without one.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn new_since(&self, place: Option<&VersionPlace>) -> Result<NewVersions, Error> {
        let newest = self.versions.version().unwrap_or_default();
        let here = |place: &&VersionPlace| Some(place.table.as_str()) == self.versions.id() && place.version <= newest;
        let added = match place.filter(here) {
            Some(place) => self.versions.added_since(place.version).await?,
            None => None,
        };
        Ok(match added {
            Some(added) => NewVersions::Added(added.into_iter().map(VersionFile).collect()),
            None => NewVersions::All(self.all()),
        })
    }

    /// All files of the snapshot that was read last.
    pub fn all(&self) -> Vec<VersionFile> {
        self.versions.adds().into_iter().map(VersionFile).collect()
    }

    /// A file's rows with all columns of the table, some at a time, in no order.
    ///
    /// # Errors
    /// The store's failure; see [`Self::is_gone`].
    pub async fn rows(&self, file: &VersionFile) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
        let (schema, table, path) = (self.schema()?, self.versions.name().to_owned(), path_of(&file.0));
        let failed = move |source| Error::DataFile { table: table.clone(), path: path.to_string(), source };
        let stream = stream_rows(self.versions.store(), &path_of(&file.0)).await.map_err(&failed)?;
        let add = file.0.clone();
        Ok(stream.map_err(failed).map(move |batch| aligned(&batch?, &schema, &add)).boxed())
    }

    /// The columns that a file has, in their order: earlier ones have fewer than the table.
    ///
    /// # Errors
    /// The store's failure; see [`Self::is_gone`].
    pub async fn columns_of(&self, file: &VersionFile) -> Result<Vec<String>, Error> {
        let path = path_of(&file.0);
        let schema = file_schema(self.versions.store(), &path).await.map_err(|source| Error::DataFile {
            table: self.versions.name().to_owned(),
            path: path.to_string(),
            source,
        })?;
        Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
    }

    /// Whether a failure is about a file that was compacted and deleted since: what took its place has no less.
    pub fn is_gone(error: &Error) -> bool {
        error.is_missing()
    }
}
