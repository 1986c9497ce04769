//! What a result may lack: answers that are held back, windows that weren't read, records that could not be mapped.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sluice_lake::{DoubtRow, Lake};
use sluice_query::{Coverage, Gap, GapKind, Scope, Session, StreamAxis};

use crate::failure::Failure;
use crate::status::{self, OpenRejects};
use crate::text::{count, is_are};

/// Gaps and doubts that are listed under a result; `sluice status` has all.
const MAX_WARNINGS: usize = 5;

/// What the lake lacks.
#[derive(Default)]
pub struct Missing {
    is_half_rebuilt: bool,
    doubts: Vec<DoubtRow>,
    coverage: Vec<Coverage>,
    rejects: Vec<OpenRejects>,
}

/// Warnings of one kind.
pub struct Section {
    /// Each for people, and as JSON.
    pub warnings: Vec<(String, Value)>,
    /// How many more there are.
    pub more: usize,
    /// What shows more of them.
    pub hint: Option<String>,
}

impl Section {
    /// The warnings as JSON; the last one says how many more there are.
    pub fn values(&self) -> Vec<Value> {
        let Self { warnings, more, hint } = self;
        let rest = (*more > 0).then(|| json!({"warning": format!("and {more} more"), "more": more, "hint": hint}));
        warnings.iter().map(|(_, value)| value.clone()).chain(rest).collect()
    }
}

impl Missing {
    /// `is_of_streams`: whether a result may hold rows of streams; others lack nothing of them.
    ///
    /// # Errors
    /// The lake's failure.
    pub async fn load(lake: &Lake, session: &Session, is_of_streams: bool) -> Result<Self, Failure> {
        let is_half_rebuilt = lake.is_half_rebuilt().await?;
        if !is_of_streams {
            return Ok(Self { is_half_rebuilt, ..Self::default() });
        }
        Ok(Self {
            is_half_rebuilt,
            doubts: status::open_doubts(lake).await?,
            coverage: session.coverage().await?,
            rejects: status::by_stream(&lake.open_rejects(None).await?),
        })
    }

    /// That a rebuild is replacing the tables, and nothing else.
    pub fn of_rebuild() -> Self {
        Self { is_half_rebuilt: true, ..Self::default() }
    }

    /// What a result may lack, as JSON.
    pub fn warnings(&self, scope: &Scope) -> Vec<Value> {
        self.sections(scope).iter().flat_map(Section::values).collect()
    }

    /// What a result may lack.
    pub fn sections(&self, scope: &Scope) -> Vec<Section> {
        let mut sections = Vec::new();
        sections.extend(self.is_half_rebuilt.then(halves_section));
        if !scope.is_empty() {
            sections.extend([self.doubts(scope), self.gaps(scope), self.rejects(scope)]);
        }
        sections.retain(|section| !section.warnings.is_empty());
        sections
    }

    /// Answers that are held back.
    fn doubts(&self, scope: &Scope) -> Section {
        let is_touched = |doubt: &&DoubtRow| {
            let (network, account) = (doubt.network.clone(), doubt.account.clone());
            scope.holds(&StreamAxis { network, account, stream: doubt.stream.clone(), axis: doubt.axis.clone() })
        };
        let open: Vec<&DoubtRow> = self.doubts.iter().filter(is_touched).collect();
        let warning = |doubt: &&DoubtRow| {
            let DoubtRow { doubt_id, network, account, stream, reason, .. } = *doubt;
            let (since, until) = (rfc3339(doubt.window.since), rfc3339(doubt.window.until));
            let text = format!(
                "rows of {network} {account} are held back: {since} to {until} of {stream} is doubtful: {reason}"
            );
            let value = json!({"warning": text, "doubt_id": doubt_id});
            (text, value)
        };
        Section {
            warnings: open.iter().take(MAX_WARNINGS).map(warning).collect(),
            more: open.len().saturating_sub(MAX_WARNINGS),
            hint: open.first().map(|doubt| format!("sluice doubts show {}", doubt.doubt_id)),
        }
    }

    /// Windows that the result may lack rows of.
    fn gaps(&self, scope: &Scope) -> Section {
        let touched = self.coverage.iter().filter(|stream| scope.holds(&stream.of));
        let gaps: Vec<(&StreamAxis, &Gap)> =
            touched.flat_map(|stream| stream.gaps.iter().map(|gap| (&stream.of, gap))).collect();
        Section {
            warnings: gaps.iter().take(MAX_WARNINGS).map(|(of, gap)| gap_warning(of, gap)).collect(),
            more: gaps.len().saturating_sub(MAX_WARNINGS),
            hint: Some("`sluice status` shows what is missing and the commands that read it".to_owned()),
        }
    }

    /// Records that could not be mapped, of the streams that were read.
    fn rejects(&self, scope: &Scope) -> Section {
        let mut networks: BTreeMap<&str, u64> = BTreeMap::new();
        for OpenRejects { network, account, stream, count } in &self.rejects {
            let of = StreamAxis {
                network: network.clone(),
                account: account.clone(),
                stream: stream.clone(),
                axis: String::new(),
            };
            if scope.holds(&of) {
                *networks.entry(network).or_default() += count;
            }
        }
        let warning = |(network, number): (&str, u64)| {
            let (records, are) = (count(number, "record"), is_are(number));
            let text = format!("{records} of {network} could not be mapped and {are} missing");
            let value = json!({"warning": text, "network": network, "open_rejects": number});
            (text, value)
        };
        let hint = Some("`sluice rejects` shows the records and why".to_owned());
        Section { warnings: networks.into_iter().map(warning).collect(), more: 0, hint }
    }
}

fn gap_warning(of: &StreamAxis, gap: &Gap) -> (String, Value) {
    let StreamAxis { network, account, stream, axis } = of;
    let (since, until) = (rfc3339(gap.window.since), rfc3339(gap.window.until));
    let what = match gap.kind {
        GapKind::NeverRead => "was never read",
        GapKind::Failed => "failed when it was last read",
    };
    let text = format!("rows of {network} {account} may be missing: {since} to {until} of {stream} by {axis} {what}");
    let value = json!({
        "warning": text, "network": network, "account": account, "stream": stream, "axis": axis,
        "since": since, "until": until, "kind": gap.kind.name(),
    });
    (text, value)
}

fn halves_section() -> Section {
    let text = "a rebuild is putting new tables in place, or was interrupted at that: some may be new and others old";
    let hint = "unless a `sluice build --from-raw` is running, start one";
    let value = json!({"warning": text, "hint": hint});
    Section { warnings: vec![(text.to_owned(), value)], more: 0, hint: Some(hint.to_owned()) }
}

fn rfc3339(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_model::Window;

    use super::*;

    #[test]
    fn the_last_warning_says_how_many_more_there_are() {
        let day = |number: i64| DateTime::from_timestamp(number * 86_400, 0).unwrap();
        let gap = |number: i64| Gap {
            window: Window { since: day(number), until: day(number + 1) },
            kind: GapKind::NeverRead,
            failed_at: None,
            error: None,
        };
        let [network, account, stream, axis] = ["awin", "uk", "transactions", "transaction"].map(str::to_owned);
        let of = StreamAxis { network, account, stream, axis };
        let found = |gaps: i64| {
            let gaps = (0..gaps).map(|number| gap(2 * number)).collect();
            let coverage = Coverage { of: of.clone(), read: None, read_at: None, failed_at: None, gaps };
            Missing { coverage: vec![coverage], ..Missing::default() }.warnings(&Scope::default())
        };
        let (some, many) = (found(5), found(7));
        assert!(some.len() == 5 && some.iter().all(|warning| warning["more"].is_null()), "{some:?}");
        assert_eq!(many.len(), 6, "{many:?}");
        assert_eq!((&many[5]["warning"], &many[5]["more"]), (&json!("and 2 more"), &json!(2)));
    }
}
