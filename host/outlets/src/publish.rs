//! Tables of an outside PostgreSQL that are kept equal to the unified ones of the lake.
//!
//! A follower of each table of versions, of transactions and of payments, as the lake's own are: what is new since the place that
//! the database has absorbed is copied to a staging table and merged, and the place is written, in one transaction. So the
//! published tables of a kind are at every moment those of one snapshot of the lake, whatever dies meanwhile, and doing it again
//! changes nothing. If the log can't be followed, they are made anew in such a transaction, during which readers have the earlier
//! rows.

mod columns;
mod copy;
mod database;
mod redshift;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sluice_lake::{Lake, NewVersions, VersionPlace, VersionReader};
use sluice_model::{Fact, Step};

use self::database::Transaction;
use crate::error::Error;

/// A table that can be published, by its name in the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedTable {
    /// The latest version of each transaction: `unified.transactions`.
    Transactions,
    /// All versions: `unified.transaction_versions`.
    TransactionVersions,
    /// The latest version of each payment: `unified.payments`.
    Payments,
    /// All versions of payments: `unified.payment_versions`.
    PaymentVersions,
}

/// The kinds of facts that are published.
const FACTS: [Fact; 2] = [Fact::Transactions, Fact::Payments];

impl PublishedTable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Transactions, Self::TransactionVersions, Self::Payments, Self::PaymentVersions];

    /// Its name, in the lake and there.
    pub fn name(self) -> &'static str {
        if self.is_latest() { self.fact().view() } else { self.fact().versions() }
    }

    /// The kind of what it has.
    fn fact(self) -> Fact {
        match self {
            Self::Transactions | Self::TransactionVersions => Fact::Transactions,
            Self::Payments | Self::PaymentVersions => Fact::Payments,
        }
    }

    /// Whether it has the latest versions only.
    fn is_latest(self) -> bool {
        matches!(self, Self::Transactions | Self::Payments)
    }
}

/// What a database gets, as its settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The schema of the tables, which is made if it isn't there.
    pub schema: String,
    /// Which tables it gets.
    pub tables: BTreeSet<PublishedTable>,
    /// Only of these networks, by their ids; of all without any.
    pub networks: BTreeSet<String>,
}

impl Default for Publication {
    fn default() -> Self {
        Self { schema: "sluice".to_owned(), tables: PublishedTable::ALL.into(), networks: BTreeSet::new() }
    }
}

impl Publication {
    /// The tables of a kind of facts.
    fn tables_of(&self, fact: Fact) -> impl Iterator<Item = PublishedTable> {
        self.tables.iter().copied().filter(move |table| table.fact() == fact)
    }

    /// What decides which rows of a kind there are: with another choice they are made anew.
    fn choice(&self, fact: Fact) -> String {
        let tables: Vec<&str> = self.tables_of(fact).map(PublishedTable::name).collect();
        serde_json::json!({"tables": tables, "networks": self.networks}).to_string()
    }
}

/// What publishing did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The version of `unified.transaction_versions` that the tables now have, or of `unified.payment_versions` if payments alone are
    /// published; none if the lake has no such fact.
    pub version: Option<u64>,
    /// Versions of facts that were read.
    pub versions: u64,
    /// Rows that changed, over all tables.
    pub changed: u64,
    /// Whether tables were made anew.
    pub is_anew: bool,
}

impl Published {
    fn add(&mut self, other: &Self) {
        self.version = self.version.or(other.version);
        self.versions += other.versions;
        self.changed += other.changed;
        self.is_anew |= other.is_anew;
    }
}

/// Keeps an outside database equal to the lake.
pub struct Publisher {
    publication: Publication,
    followers: Vec<Follower>,
    passed: fn(Step),
}

/// Follows the versions of a kind of facts.
struct Follower {
    fact: Fact,
    versions: VersionReader,
    /// What the database is known to have absorbed.
    absorbed: Option<VersionPlace>,
}

impl Publisher {
    /// One for a lake, which calls `passed` at each step.
    ///
    /// # Errors
    /// The lake's failure.
    pub async fn new(lake: &Lake, publication: Publication, passed: fn(Step)) -> Result<Self, Error> {
        let mut followers = Vec::new();
        for fact in FACTS.into_iter().filter(|fact| publication.tables_of(*fact).next().is_some()) {
            followers.push(Follower { fact, versions: lake.version_reader(fact).await?, absorbed: None });
        }
        Ok(Self { publication, followers, passed })
    }

    /// Whether the lake has what the database hasn't absorbed, as far as this publisher knows.
    ///
    /// # Errors
    /// The lake's failure.
    pub async fn is_behind(&mut self) -> Result<bool, Error> {
        for follower in &mut self.followers {
            let place = follower.versions.refresh().await?;
            if place.is_some() && place != follower.absorbed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Publishes what is new to the database at a URL.
    ///
    /// # Errors
    /// A database that can't be reached or written, and the lake's failure: nothing of that kind of facts was changed then.
    pub async fn catch_up(&mut self, url: &str) -> Result<Published, Error> {
        let mut published = Published::default();
        for follower in &mut self.followers {
            let done = match follower.publish(&self.publication, self.passed, url, false).await {
                // A file that was compacted and deleted since: what took its place has no less.
                Err(Error::Lake(error)) if VersionReader::is_gone(&error) => {
                    follower.publish(&self.publication, self.passed, url, true).await
                }
                other => other,
            };
            published.add(&done?);
        }
        Ok(published)
    }

    /// Makes the published tables anew from the newest snapshot.
    ///
    /// # Errors
    /// As [`Self::catch_up`].
    pub async fn rebuild(&mut self, url: &str) -> Result<Published, Error> {
        let mut published = Published::default();
        for follower in &mut self.followers {
            published.add(&follower.publish(&self.publication, self.passed, url, true).await?);
        }
        Ok(published)
    }

    /// A script that publishes the newest snapshots to Amazon Redshift, which copies the lake's files from S3; none if the
    /// lake has nothing to publish.
    ///
    /// # Errors
    /// [`Error::Unreachable`] for a lake that isn't on S3; the lake's failure.
    pub async fn redshift_script(&mut self, lake: &Lake) -> Result<Option<String>, Error> {
        if lake.url().scheme() == "file" {
            return Err(Error::Unreachable { dialect: "redshift", url: lake.url().to_string() });
        }
        let mut scripts = Vec::new();
        for follower in &mut self.followers {
            scripts.extend(follower.redshift_script(&self.publication, lake).await?);
        }
        Ok((!scripts.is_empty()).then(|| scripts.join("\n")))
    }
}

impl Follower {
    async fn redshift_script(&mut self, publication: &Publication, lake: &Lake) -> Result<Option<String>, Error> {
        let Some(place) = self.versions.refresh().await? else { return Ok(None) };
        let root = lake.url_of("unified", self.fact.versions())?;
        let networks = &publication.networks;
        let mut files = Vec::new();
        for file in self.versions.all() {
            if networks.is_empty() || networks.contains(file.network()) {
                files.push(redshift::StoredFile {
                    url: format!("{root}{}", file.path()),
                    columns: self.versions.columns_of(&file).await?,
                    partition: file.partition().into_iter().collect(),
                });
            }
        }
        let schema = self.versions.schema()?;
        Ok(Some(redshift::script(publication, self.fact, &schema, &files, place.version)))
    }

    async fn publish(
        &mut self,
        publication: &Publication,
        passed: fn(Step),
        url: &str,
        anew: bool,
    ) -> Result<Published, Error> {
        if self.versions.refresh().await?.is_none() {
            return Ok(Published::default());
        }
        let mut connection = database::connect(url).await?;
        let mut transaction = Transaction::begin(&mut connection, &publication.schema, self.fact).await?;
        let absorbed = transaction.prepare(publication, self.versions.schema()?.as_ref()).await?;
        // After the place was read under the lock: the snapshot is never older than it.
        let Some(place) = self.versions.refresh().await? else { return Ok(Published::default()) };
        // The snapshot may have columns by now that the first one had not. Earlier rows have no values of a column that is
        // added, whether the lake has got it or somebody took it away there.
        let schema = self.versions.schema()?;
        let is_wider = transaction.add_columns(publication, &schema).await?;
        let absorbed = absorbed.filter(|_| !anew && !is_wider);
        let mut published = Published { version: Some(place.version), ..Published::default() };
        if absorbed.as_ref() == Some(&place) {
            transaction.roll_back().await?;
            self.absorbed = Some(place);
            return Ok(published);
        }
        let files = match self.versions.new_since(absorbed.as_ref()).await? {
            NewVersions::Added(files) => files,
            NewVersions::All(files) => {
                published.is_anew = true;
                files
            }
        };
        let networks = &publication.networks;
        let files: Vec<_> =
            files.iter().filter(|file| networks.is_empty() || networks.contains(file.network())).collect();
        if !files.is_empty() {
            published.versions = transaction.stage(&self.versions, &schema, &files).await?;
            passed(Step::RowsStaged);
        }
        published.changed = transaction.merge(publication, &schema, published.is_anew, !files.is_empty()).await?;
        transaction.note(publication, &place).await?;
        passed(Step::RowsMerged);
        transaction.commit().await?;
        passed(Step::Published);
        self.absorbed = Some(place);
        Ok(published)
    }
}
