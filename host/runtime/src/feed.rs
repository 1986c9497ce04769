//! The change feed by webhook: each receiver gets new versions in their order, each at least once.
//!
//! Where a receiver's feed goes on is kept in the state store, and moves once a request was accepted. One process at a time
//! sends to a receiver. A receiver that accepts nothing is tried again after growing pauses, and goes on where it was.

mod event;

use std::str::FromStr;
use std::time::Duration;

use chrono::Utc;
use futures::future::join_all;
use sluice_fetch::{Notifier, SignedMessage};
use sluice_lake::{ChangeCursor, ChangeReader, Error};
use sluice_model::{Digest, Step};
use sluice_state::Outlet;

use crate::alarms::outbox;
use crate::app::App;
use crate::failure::Failure;
use crate::schedule::growing_pause;
use crate::settings::feed::{FeedBeginning, FeedSettings};
use crate::step;

/// How long nobody else sends to a receiver: longer than a request may take.
const CLAIM: Duration = Duration::from_secs(30);
/// The longest pause.
const MAX_PAUSE_SECS: u32 = 300;
/// Pages after which others have their turn.
const MAX_PAGES: usize = 100;
/// The media type of several events.
const BATCH: &str = "application/cloudevents-batch+json";

/// The name of a receiver among the outlets of the state store.
pub fn outlet(receiver: &str) -> String {
    format!("feed/{receiver}")
}

/// Sends new versions as they come.
#[derive(Default)]
pub struct Feeding {
    reader: Option<ChangeReader>,
    /// The feed's end when all receivers that were due had got everything.
    sent_up_to: Option<ChangeCursor>,
}

impl Feeding {
    /// Sends what is new to all receivers that are due. What isn't accepted is logged, and sent again.
    ///
    /// # Errors
    /// The failure of the state store or the lake.
    pub async fn send_new(&mut self, app: &App) -> Result<(), Failure> {
        if app.settings.feed.is_empty() {
            return Ok(());
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(app.lake.change_reader().await?),
        };
        let end = reader.end().await?;
        if end.is_some() && end == self.sent_up_to {
            return Ok(());
        }
        let notifier = Notifier::new(&app.settings.fetch.user_agent).map_err(Failure::failed)?;
        let sent = app.settings.feed.iter().map(|(name, settings)| {
            let receiver = Receiver { app, notifier: &notifier, name, settings };
            async move { receiver.send_new().await }
        });
        let mut is_complete = true;
        for sent in join_all(sent).await {
            is_complete &= sent?;
        }
        self.sent_up_to = end.filter(|_| is_complete);
        Ok(())
    }
}

/// A receiver that is sent to.
struct Receiver<'a> {
    app: &'a App,
    notifier: &'a Notifier,
    name: &'a str,
    settings: &'a FeedSettings,
}

/// What follows of a request that was made, or that wasn't needed.
enum Sent {
    /// There was more.
    More,
    /// That was all.
    All,
    /// The receiver isn't due, or another process sends to it.
    NotDue,
}

impl Receiver<'_> {
    /// Sends page after page. False if there may be more.
    async fn send_new(&self) -> Result<bool, Failure> {
        let mut reader = None;
        for _ in 0..MAX_PAGES {
            let Some(claimed) = self.app.state.claim_outlet(&outlet(self.name), CLAIM).await? else {
                return Ok(false);
            };
            match self.send_page(&mut reader, &claimed).await {
                Ok(Sent::More) => {}
                Ok(Sent::All) => return Ok(true),
                Ok(Sent::NotDue) => return Ok(false),
                Err(failure) => {
                    let pause = growing_pause(self.settings.retry_secs, claimed.attempts, MAX_PAUSE_SECS);
                    let (attempt, again_secs) = (claimed.attempts + 1, pause.num_seconds());
                    let why = failure.render(false);
                    tracing::warn!(receiver = self.name, attempt, again_secs, "changes aren't accepted: {why}");
                    self.app.state.delay_outlet(&claimed.name, pause.to_std().unwrap_or_default()).await?;
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    async fn send_page(&self, reader: &mut Option<ChangeReader>, claimed: &Outlet) -> Result<Sent, Failure> {
        let reader = match reader {
            Some(reader) => reader,
            none => none.insert(self.app.lake.change_reader().await?),
        };
        let Some(place) = &claimed.cursor else { return self.begin(reader, claimed).await };
        let cursor = match place.as_str() {
            "" => None,
            text => Some(ChangeCursor::from_str(text).map_err(|()| {
                Failure::failed(anyhow::anyhow!("the state store has `{text}` as the place of a feed"))
            })?),
        };
        let page = match reader.read(cursor.as_ref(), &self.settings.filter(), self.settings.batch.into()).await {
            Err(Error::FeedGone { .. }) => return self.reset(reader, claimed).await,
            other => other?,
        };
        let Some(page) = page else {
            self.advance(claimed, place).await?;
            return Ok(Sent::All);
        };
        let next = page.next.to_string();
        let events = event::of_versions(&page.batches)?;
        if !events.is_empty() {
            self.post(place, &next, &events).await?;
            step::passed(Step::BatchAccepted);
        }
        if !self.advance(claimed, &next).await? {
            return Ok(Sent::NotDue);
        }
        if !events.is_empty() {
            tracing::info!(receiver = self.name, versions = events.len(), "changes are delivered");
        }
        Ok(if page.has_more { Sent::More } else { Sent::All })
    }

    /// Decides where the feed of a new receiver begins.
    async fn begin(&self, reader: &mut ChangeReader, claimed: &Outlet) -> Result<Sent, Failure> {
        let begin = match self.settings.from {
            FeedBeginning::Beginning => None,
            // Before the first transaction, all are to come.
            FeedBeginning::Now => reader.end().await?,
        };
        let begin = begin.map(|cursor| cursor.to_string()).unwrap_or_default();
        self.advance(claimed, &begin).await?;
        Ok(Sent::More)
    }

    /// The feed can't go on where it was: the receiver is notified, and gets what comes from now on.
    async fn reset(&self, reader: &mut ChangeReader, claimed: &Outlet) -> Result<Sent, Failure> {
        let place = claimed.cursor.as_deref().unwrap_or_default();
        let next = reader.end().await?.map(|cursor| cursor.to_string()).unwrap_or_default();
        tracing::error!(
            receiver = self.name,
            "its feed can't go on where it was, since the log was cleaned or tables were rebuilt: it goes on now"
        );
        self.post(place, &next, &[event::reset(place, &next)]).await?;
        self.advance(claimed, &next).await?;
        Ok(Sent::More)
    }

    async fn advance(&self, claimed: &Outlet, cursor: &str) -> Result<bool, Failure> {
        Ok(self.app.state.advance_outlet(claimed, Some(cursor)).await?)
    }

    /// Sends events. The message's id is that of its content: the same content sent again has the same.
    async fn post(&self, from: &str, to: &str, events: &[serde_json::Value]) -> Result<(), Failure> {
        let secrets = &self.app.settings.secrets;
        let url = outbox::url(secrets, &self.settings.webhook).await?;
        let key = outbox::secret(secrets, &self.settings.secret, "secret").await?;
        let body = serde_json::to_string(events).map_err(Failure::failed)?;
        let id = Digest::of(format!("{}\n{from}\n{to}\n{body}", self.name).as_bytes()).to_hex();
        let id = format!("feed_{}", id.get(..32).unwrap_or(&id));
        let message = SignedMessage { id, sent_at: Utc::now(), content_type: BATCH, body };
        self.notifier.webhook(&url, &key, &message).await.map_err(Failure::failed)
    }
}
