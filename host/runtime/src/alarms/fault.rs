//! What rules find.

use sluice_model::{Alarm, Severity};

use super::rule::Rule;

/// Characters of a fault's evidence: more is cut off.
const MAX_EVIDENCE: usize = 4_000;

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule that found it.
    pub rule: Rule,
    /// What it was found of. Together with the rule it names the fault for as long as it lasts.
    pub subject: String,
    /// The connector's network id.
    pub network: Option<String>,
    /// The account's id.
    pub account: Option<String>,
    /// The stream, by its name in the manifest.
    pub stream: Option<String>,
    /// The machine that only itself can judge.
    pub host: Option<String>,
    /// How soon a person is needed, if that isn't the rule's.
    pub severity: Option<Severity>,
    /// What is wrong, on one line.
    pub summary: String,
    /// What shows it.
    pub evidence: String,
    /// What to do about it.
    pub advice: String,
}

impl Fault {
    /// A fault of a subject that no network has.
    pub fn new(rule: Rule, subject: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            rule,
            subject: subject.into(),
            network: None,
            account: None,
            stream: None,
            host: None,
            severity: None,
            summary: summary.into(),
            evidence: String::new(),
            advice: String::new(),
        }
    }

    /// A fault of a network, an account of it, or a stream of that.
    pub fn of(
        rule: Rule,
        network: &str,
        account: Option<&str>,
        stream: Option<&str>,
        summary: impl Into<String>,
    ) -> Self {
        let parts: Vec<&str> = std::iter::once(network).chain(account).chain(stream).collect();
        Self {
            network: Some(network.to_owned()),
            account: account.map(str::to_owned),
            stream: stream.map(str::to_owned),
            ..Self::new(rule, parts.join("/"), summary)
        }
    }

    /// With what shows it.
    #[must_use]
    pub fn evidence(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        let text = lines.into_iter().collect::<Vec<_>>().join("\n");
        self.evidence = text.chars().take(MAX_EVIDENCE).collect();
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Of the machine that judges it.
    #[must_use]
    pub fn on(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }
}

/// Which alarms of a rule were judged: those without a fault are over.
type Covers = Box<dyn Fn(&Alarm) -> bool + Send + Sync>;

/// All that is wrong now, as far as it was judged.
#[derive(Default)]
pub struct Findings {
    faults: Vec<Fault>,
    judged: Vec<(Rule, Covers)>,
}

impl Findings {
    /// Adds what a rule found. `covers`: which of its alarms it judged.
    pub fn add(
        &mut self,
        rule: Rule,
        covers: impl Fn(&Alarm) -> bool + Send + Sync + 'static,
        faults: impl IntoIterator<Item = Fault>,
    ) {
        self.judged.push((rule, Box::new(covers)));
        self.faults.extend(faults);
    }

    /// In the order in which rules found them.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether an alarm was judged.
    pub fn covers(&self, alarm: &Alarm) -> bool {
        self.judged.iter().any(|(rule, covers)| rule.name() == alarm.rule && covers(alarm))
    }
}

/// The first few of many, and how many there are further.
pub(super) fn first_of(lines: Vec<String>, most: usize) -> Vec<String> {
    let further = lines.len().saturating_sub(most);
    let shown = lines.into_iter().take(most);
    shown.chain((further > 0).then(|| format!("and {further} more"))).collect()
}
