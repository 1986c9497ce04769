//! Publishing to outside databases: once, or by the service as the lake gets new versions.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use sluice_lake::Lake;
use sluice_model::Secret;
use sluice_outlets::{Published, Publisher};

use crate::app::App;
use crate::failure::Failure;
use crate::schedule::growing_pause;
use crate::settings::Settings;
use crate::settings::publish::{PublishDialect, PublishSettings};
use crate::settings::secrets::SecretSources;
use crate::step;

/// How long nobody else publishes to a database. The database's own lock keeps them apart for longer.
const CLAIM: Duration = Duration::from_secs(30);
/// The pause after a first failure.
const RETRY_SECS: u32 = 5;
/// The longest pause.
const MAX_PAUSE_SECS: u32 = 300;

/// What publishing to a database did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublishReport {
    /// Its name in the settings.
    pub database: String,
    /// What was done.
    #[serde(flatten)]
    pub published: Published,
    /// The script that does it, for a database that Sluice doesn't write itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
}

impl PublishReport {
    /// For people, on one line; or the script.
    pub fn line(&self) -> String {
        if let Some(script) = &self.script {
            return script.trim_end().to_owned();
        }
        let Published { version, versions, changed, is_anew } = &self.published;
        let Some(version) = version else { return format!("{}: the lake has no transactions yet", self.database) };
        let verb = if *is_anew { "published anew" } else { "published" };
        match (versions, is_anew) {
            (0, false) => format!("{}: nothing is new at version {version}", self.database),
            _ => format!(
                "{}: {verb} up to version {version}: {versions} versions read, {changed} rows changed",
                self.database
            ),
        }
    }
}

/// The name of a database among the outlets of the state store.
pub fn outlet(database: &str) -> String {
    format!("publish/{database}")
}

/// Publishes to a database of the settings, or to all: what is new, or everything anew.
///
/// # Errors
/// A usage failure for a database that the settings don't have; the first one's failure, after all had their turn.
pub async fn publish(
    settings: &Settings,
    lake: &Lake,
    only: Option<&str>,
    anew: bool,
) -> Result<Vec<PublishReport>, Failure> {
    let wanted: Vec<(&String, &PublishSettings)> =
        settings.publish.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).collect();
    if wanted.is_empty() {
        let hint = "add to sluice.toml:\n[publish.reporting]\nurl = \"env:REPORTING_URL\"";
        return Err(match only {
            Some(name) => Failure::usage(format!("there is no [publish.{name}]")).hint(hint),
            None => Failure::settings("there is no database to publish to").hint(hint),
        });
    }
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for (name, database) in wanted {
        match publish_to(settings, lake, name, database, anew).await {
            Ok(report) => reports.push(report),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(reports) } else { Err(Failure::all(failures)) }
}

async fn publish_to(
    settings: &Settings,
    lake: &Lake,
    name: &str,
    database: &PublishSettings,
    anew: bool,
) -> Result<PublishReport, Failure> {
    let mut publisher = Publisher::new(lake, database.publication(), step::passed).await?;
    let mut report = PublishReport { database: name.to_owned(), published: Published::default(), script: None };
    if database.dialect == PublishDialect::Redshift {
        report.script = publisher.redshift_script(lake).await?;
        return Ok(report);
    }
    let url = url(&settings.secrets, name, database).await?;
    report.published =
        if anew { publisher.rebuild(url.expose()).await? } else { publisher.catch_up(url.expose()).await? };
    Ok(report)
}

/// Publishes as the lake gets new versions.
#[derive(Default)]
pub struct Publishing {
    publishers: HashMap<String, Publisher>,
}

impl Publishing {
    /// Brings all databases of the settings up to the lake, as far as they are due. What fails is logged and tried again.
    ///
    /// # Errors
    /// The state store's failure.
    pub async fn catch_up(&mut self, app: &App) -> Result<(), Failure> {
        let databases = app.settings.publish.iter();
        for (name, database) in databases.filter(|(_, database)| database.dialect == PublishDialect::Postgresql) {
            let outlet = outlet(name);
            let done = self.publish(app, name, database, &outlet).await;
            let Err((failure, attempts)) = done else { continue };
            let pause = growing_pause(RETRY_SECS, attempts, MAX_PAUSE_SECS);
            let again_secs = pause.num_seconds();
            tracing::warn!(database = name, again_secs, "publishing failed: {}", failure.render(false));
            app.state.delay_outlet(&outlet, pause.to_std().unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// A failure comes with the attempts before this one.
    async fn publish(
        &mut self,
        app: &App,
        name: &str,
        database: &PublishSettings,
        outlet: &str,
    ) -> Result<(), (Failure, u32)> {
        if let Some(publisher) = self.publishers.get_mut(name) {
            match publisher.is_behind().await {
                Ok(false) => return Ok(()),
                Ok(true) => {}
                Err(error) => return Err((error.into(), 0)),
            }
        }
        let claimed = app.state.claim_outlet(outlet, CLAIM).await.map_err(|error| (error.into(), 0))?;
        let Some(claimed) = claimed else { return Ok(()) };
        let done = async {
            let url = url(&app.settings.secrets, name, database).await?;
            let publisher = match self.publishers.remove(name) {
                Some(publisher) => publisher,
                None => Publisher::new(&app.lake, database.publication(), step::passed).await?,
            };
            let publisher = self.publishers.entry(name.to_owned()).or_insert(publisher);
            let published = publisher.catch_up(url.expose()).await?;
            app.state.advance_outlet(&claimed, None).await?;
            if published.versions > 0 || published.is_anew {
                let report = PublishReport { database: name.to_owned(), published, script: None };
                tracing::info!("{}", report.line());
            }
            Ok::<_, Failure>(())
        };
        done.await.map_err(|failure| (failure, claimed.attempts))
    }
}

/// The URL of a database, read now.
///
/// # Errors
/// A settings failure for a reference that can't be read.
pub async fn url(secrets: &SecretSources, name: &str, database: &PublishSettings) -> Result<Secret, Failure> {
    if database.is_written_out() {
        return Ok(Secret::new(database.url.clone()));
    }
    secrets
        .read(&database.url, "url")
        .await
        .map_err(|why| Failure::settings(format!("publish.{name}.url can't be read: {}", why.reason)).hint(why.hint))
}
