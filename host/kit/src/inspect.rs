//! A connector's manifest for people, and what its component costs.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use sluice_engine::Connector;
use sluice_model::{Axis, Delimited, Digest, Format, Grain, LookBack, Manifest, Rate, Stream};

/// What is known of a connector without sending a request.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The version of its contract.
    pub contract: &'static str,
    /// The digest of its file.
    pub digest: Digest,
    /// The size of its file.
    pub component_bytes: u64,
    /// How long compiling and loading it takes on this machine, in milliseconds.
    pub compile_ms: u64,
    /// Rows that one core of this machine maps in a second; none without fixtures that have records.
    pub rows_per_second: Option<u64>,
    /// Settings by which an account is identified; without any, secrets do.
    pub identity: Vec<String>,
    /// As the component describes itself.
    pub manifest: Manifest,
}

impl Inspection {
    /// What is known of a connector that took so long to compile, and maps so many rows in a second.
    pub fn of(connector: &Connector, compiled_in: Duration, rows_per_second: Option<u64>) -> Self {
        let manifest = connector.manifest().clone();
        let identity = manifest.settings.iter().filter(|setting| setting.identifies);
        Self {
            contract: connector.contract(),
            digest: connector.digest(),
            component_bytes: connector.component().len() as u64,
            compile_ms: u64::try_from(compiled_in.as_millis()).unwrap_or(u64::MAX),
            rows_per_second,
            identity: identity.map(|setting| setting.name.clone()).collect(),
            manifest,
        }
    }
}

impl std::fmt::Display for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Manifest { network, title, version, rate, schedule, look_back, .. } = &self.manifest;
        writeln!(f, "{title} (`{network}`) {version}")?;
        writeln!(
            f,
            "  contract {}, {}, {} kB, compiled in {} ms",
            self.contract,
            self.digest.short(),
            self.component_bytes.div_ceil(1_000),
            self.compile_ms
        )?;
        if let Some(rows) = self.rows_per_second {
            writeln!(f, "  maps {rows} rows/s of its fixtures on one core")?;
        }
        for stream in &self.manifest.streams {
            writeln!(f, "stream {}{}", stream.name, if stream.unified { "" } else { " (no transactions)" })?;
            for (what, value) in stream_facts(stream) {
                writeln!(f, "  {what:<12}{value}")?;
            }
        }
        writeln!(f, "reads")?;
        writeln!(f, "  {:<12}{schedule} (UTC)", "schedule")?;
        writeln!(f, "  {:<12}{}", "look-back", look_backs(look_back))?;
        writeln!(f, "  {:<12}{}", "limit", rate.map_or_else(|| "none is documented".to_owned(), rate_text))?;
        f.write_str(&self.rights())?;
        let statuses = &self.manifest.statuses;
        if !statuses.is_empty() {
            writeln!(f, "status words")?;
        }
        for status in statuses {
            let locked = match status.locked {
                Some(true) => ", can't change any more",
                Some(false) => ", can still change",
                None => "",
            };
            writeln!(f, "  {:<12}{} {}{locked}", status.token, status.validation.name(), status.payment.name())?;
        }
        Ok(())
    }
}

impl Inspection {
    /// What an operator grants and enters.
    fn rights(&self) -> String {
        let Manifest { hosts, secrets, settings, tokens, .. } = &self.manifest;
        let mut text = String::from("rights\n");
        let mut line = |what: &str, name: &str, rest: String| {
            // Writing to a String doesn't fail.
            let _ = writeln!(text, "  {what:<12}{name}{rest}");
        };
        for host in hosts {
            line("host", host, String::new());
        }
        for secret in secrets {
            let optional = if secret.required { "" } else { ", optional" };
            line("secret", &secret.name, format!(": {}{optional}", secret.meaning));
        }
        for token in tokens {
            line(
                "sign-in",
                &token.name,
                if token.rotates { ": every answer brings a new value".into() } else { String::new() },
            );
        }
        for setting in settings {
            let default =
                setting.default.as_ref().map(|default| format!(", `{default}` without it")).unwrap_or_default();
            let optional = if setting.required || !default.is_empty() { "" } else { ", optional" };
            line("setting", &setting.name, format!(": {}{optional}{default}", setting.meaning));
        }
        let by = if self.identity.is_empty() { "its secrets".to_owned() } else { self.identity.join(", ") };
        line("account", "is identified by ", by);
        text
    }
}

/// What a stream offers, each with its name.
pub(crate) fn stream_facts(stream: &Stream) -> Vec<(&'static str, String)> {
    let axes: Vec<&str> = stream.axes.iter().map(|axis| axis.name()).collect();
    let complete: Vec<&str> = stream.complete_windows.iter().map(|axis| axis.name()).collect();
    let mut facts = vec![
        ("axes", axes.join(", ")),
        ("window", window_text(stream)),
        ("zone", stream.timezone.clone()),
        ("records", format_text(&stream.layout.format)),
        ("key", if stream.layout.key.is_empty() { "the whole record".into() } else { stream.layout.key.join(", ") }),
        ("fields", format!("{} are mapped", stream.layout.inputs.len())),
    ];
    if let Some(days) = stream.history_days {
        facts.insert(2, ("history", format!("{days} days")));
    }
    if !complete.is_empty() {
        facts.insert(1, ("complete", format!("by {}", complete.join(", "))));
    }
    facts
}

/// The longest window, for people.
pub(crate) fn window_text(stream: &Stream) -> String {
    let unit = if stream.grain == Grain::Day { ", whole days" } else { "" };
    match stream.max_window_secs {
        _ if stream.axes == [Axis::None] => "none: a snapshot".to_owned(),
        Some(secs) => format!("at most {}{unit}", duration(secs)),
        None => format!("of any length{unit}"),
    }
}

fn format_text(format: &Format) -> String {
    match format {
        Format::Json(place) if place.is_empty() => "JSON, the body".to_owned(),
        Format::Json(place) => format!("JSON, {place}"),
        Format::Ndjson => "JSON lines".to_owned(),
        Format::Xml(place) => format!("XML, {place}"),
        Format::Delimited(Delimited { delimiter, .. }) => {
            format!("lines of fields by `{}`", char::from(*delimiter).escape_default())
        }
        Format::Opaque => "read by the connector".to_owned(),
    }
}

/// Look-back rules, for people.
pub(crate) fn look_backs(rules: &[LookBack]) -> String {
    let rule =
        |rule: &LookBack| format!("{} days by {} every {}", rule.days, rule.axis.name(), duration(rule.every_secs));
    rules.iter().map(rule).collect::<Vec<_>>().join("; ")
}

/// A rate, for people.
pub(crate) fn rate_text(rate: Rate) -> String {
    let Rate { requests, per_secs, concurrency } = rate;
    format!("{requests} in {}, {concurrency} at once", duration(per_secs))
}

fn duration(secs: u32) -> String {
    for (unit, name) in [(86_400, "day"), (3_600, "hour"), (60, "minute")] {
        if secs >= unit && secs.is_multiple_of(unit) {
            let n = secs / unit;
            return if n == 1 { format!("1 {name}") } else { format!("{n} {name}s") };
        }
    }
    format!("{secs} s")
}
