//! Rules of manifests.

use std::collections::HashSet;

use chrono_tz::Tz;
use sluice_model::{Axis, Delimited, Format, Grain, Layout, Manifest, Stream, TokenPlace, TokenSource};

use super::requests::request;
use super::{ensure, words};
use crate::call::quoted;
use crate::columns::Checked;
use crate::limits::Limits;

/// Schemas of the lake that no network may take.
const RESERVED: &[&str] = &["unified", "meta", "raw", "information_schema", "public"];
const MAX_NAME: usize = 64;
const MAX_STREAMS: usize = 64;
const MAX_PINS: usize = 2_000;
const MAX_INPUTS: usize = 500;
const MAX_KEY_PATHS: usize = 50;
const MAX_LIST: usize = 500;
/// Each may be sought in every response.
const MAX_TOKENS: usize = 50;
const MAX_STATUSES: usize = 2_000;
const MAX_SKIPPED_LINES: u32 = 10_000;
/// Ten years.
const MAX_LOOK_BACK_DAYS: u32 = 3_660;
const DAY_SECS: u32 = 86_400;

/// The most bytes of a manifest as JSON. Its texts are copied for accounts, streams and look-backs.
const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// The most bytes of all defaults of settings: each slice has them.
const MAX_DEFAULT_BYTES: usize = 64 << 10;

/// Checks a manifest.
pub(crate) fn manifest(manifest: &Manifest) -> Checked<()> {
    is_slug(&manifest.network)?;
    words("title", &manifest.title)?;
    is_version(&manifest.version)?;
    ensure(!manifest.hosts.is_empty(), || "hosts: there are none".to_owned())?;
    at_most("hosts", manifest.hosts.len(), MAX_LIST)?;
    manifest.hosts.iter().try_for_each(|host| is_host(host))?;
    ensure(!manifest.streams.is_empty(), || "streams: there are none".to_owned())?;
    at_most("streams", manifest.streams.len(), MAX_STREAMS)?;
    let bytes = json_bytes(manifest);
    ensure(bytes <= MAX_MANIFEST_BYTES, || format!("it has {bytes} bytes as JSON, {MAX_MANIFEST_BYTES} are allowed"))?;
    unique("streams", manifest.streams.iter().map(|stream| stream.name.as_str()))?;
    for stream in &manifest.streams {
        self::stream(stream).map_err(|what| format!("stream {}: {what}", quoted(&stream.name)))?;
    }
    slots(manifest)?;
    at_most("tokens", manifest.tokens.len(), MAX_TOKENS)?;
    for source in &manifest.tokens {
        token(source, manifest).map_err(|what| format!("token {}: {what}", quoted(&source.name)))?;
    }
    schedule(manifest)?;
    at_most("statuses", manifest.statuses.len(), MAX_STATUSES)?;
    unique("statuses", manifest.statuses.iter().map(|status| status.token.as_str()))?;
    manifest.statuses.iter().try_for_each(|status| words("statuses: a word", &status.token))
}

fn is_slug(network: &str) -> Checked<()> {
    let is_kebab = !network.is_empty()
        && network.len() <= MAX_NAME
        && network.split('-').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
    ensure(is_kebab, || {
        format!("network {} is no slug: a-z, 0-9 and `-` within, at most {MAX_NAME}", quoted(network))
    })?;
    ensure(!RESERVED.contains(&network.replace('-', "_").as_str()), || {
        format!("network {} is reserved", quoted(network))
    })
}

fn is_version(version: &str) -> Checked<()> {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.len() < 10 && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_semver = version.len() <= MAX_NAME
        && numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte));
    ensure(is_semver, || format!("version {} is no semver like `1.2.3`", quoted(version)))
}

fn is_host(host: &str) -> Checked<()> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.strip_prefix("*.").unwrap_or(host);
    let labels: Vec<&str> = name.split('.').collect();
    // An address has a last label of digits.
    let is_name = labels.last().is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
    ensure(host.len() <= 253 && labels.len() >= 2 && is_name && labels.iter().all(|label| is_label(label)), || {
        format!("host {} is no name like `api.example.com` or `*.example.com`", quoted(host))
    })
}

fn stream(stream: &Stream) -> Checked<()> {
    let name = &stream.name;
    let is_snake = name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    ensure(is_snake, || format!("its name is no snake_case of at most {MAX_NAME}"))?;
    ensure(!RESERVED.contains(&name.as_str()), || "its name is reserved".to_owned())?;
    ensure(!stream.axes.is_empty(), || "axes: there are none".to_owned())?;
    unique("axes", stream.axes.iter().map(|axis| axis.name()))?;
    ensure(stream.axes.len() == 1 || !stream.axes.contains(&Axis::None), || {
        "axes: `none` stands beside others".to_owned()
    })?;
    unique("complete-windows", stream.complete_windows.iter().map(|axis| axis.name()))?;
    let strange = stream.complete_windows.iter().find(|axis| !stream.axes.contains(axis));
    strange.map_or(Ok(()), |axis| Err(format!("complete-windows: `{}` is none of its axes", axis.name())))?;
    let shortest = match stream.grain {
        Grain::Second => 1,
        Grain::Day => DAY_SECS,
    };
    ensure(stream.max_window_secs.is_none_or(|secs| secs >= shortest), || {
        "max-window-secs is shorter than the grain".to_owned()
    })?;
    ensure(stream.history_days != Some(0), || "history-days: 0 leaves nothing to ask".to_owned())?;
    ensure(stream.timezone.parse::<Tz>().is_ok(), || format!("timezone {} is no IANA zone", quoted(&stream.timezone)))?;
    layout(&stream.layout)
}

fn layout(layout: &Layout) -> Checked<()> {
    match &layout.format {
        Format::Json(place) => {
            ensure(place.is_empty() || place.starts_with('/'), || {
                format!("place {} is no JSON Pointer", quoted(place))
            })?;
            words("place", place)?;
        }
        Format::Xml(place) => {
            words("place", place)?;
            ensure(!place.split('.').any(str::is_empty), || format!("place {} is no path of elements", quoted(place)))?;
        }
        Format::Delimited(delimited) => self::delimited(delimited)?,
        Format::Ndjson | Format::Opaque => {}
    }
    at_most("pins", layout.pins.len(), MAX_PINS)?;
    paths("pins", layout.pins.iter().map(|pin| pin.path.as_str()))?;
    at_most("inputs", layout.inputs.len(), MAX_INPUTS)?;
    paths("inputs", layout.inputs.iter().map(String::as_str))?;
    at_most("key", layout.key.len(), MAX_KEY_PATHS)?;
    paths("key", layout.key.iter().map(String::as_str))
}

fn delimited(delimited: &Delimited) -> Checked<()> {
    let separates = |byte: u8| byte == b'\t' || byte.is_ascii_punctuation() || byte == b' ';
    ensure(separates(delimited.delimiter), || "its delimiter can't separate".to_owned())?;
    ensure(delimited.quote.is_none_or(|quote| quote.is_ascii_punctuation() && quote != delimited.delimiter), || {
        "its quote can't quote".to_owned()
    })?;
    ensure(delimited.skip_lines <= MAX_SKIPPED_LINES, || format!("skip-lines is over {MAX_SKIPPED_LINES}"))?;
    at_most("header", delimited.header.len(), MAX_PINS)?;
    delimited.header.iter().try_for_each(|name| words("header", name))?;
    unique("header", delimited.header.iter().map(String::as_str))?;
    at_most("optional", delimited.optional.len(), MAX_INPUTS)?;
    paths("optional", delimited.optional.iter().map(String::as_str))?;
    ensure(sluice_decode::is_charset(&delimited.charset), || {
        format!("charset {} is no WHATWG label", quoted(&delimited.charset))
    })
}

/// Settings, secrets and tokens: what templates name.
fn slots(manifest: &Manifest) -> Checked<()> {
    let settings = manifest.settings.iter().map(|setting| (&setting.name, &setting.meaning));
    let secrets = manifest.secrets.iter().map(|slot| (&slot.name, &slot.meaning));
    at_most("settings", manifest.settings.len(), MAX_LIST)?;
    at_most("secrets", manifest.secrets.len(), MAX_LIST)?;
    unique("settings", manifest.settings.iter().map(|setting| setting.name.as_str()))?;
    unique("secrets", manifest.secrets.iter().map(|slot| slot.name.as_str()))?;
    unique("tokens", manifest.tokens.iter().map(|source| source.name.as_str()))?;
    for (name, meaning) in settings.chain(secrets) {
        is_identifier(name)?;
        words(name, meaning)?;
    }
    let defaults = manifest.settings.iter().filter_map(|setting| setting.default.as_ref());
    let bytes: usize = defaults.map(String::len).sum();
    ensure(bytes <= MAX_DEFAULT_BYTES, || {
        format!("defaults of settings: {bytes} bytes, {MAX_DEFAULT_BYTES} are allowed")
    })?;
    manifest
        .settings
        .iter()
        .filter_map(|setting| setting.default.as_deref())
        .try_for_each(|text| words("default", text))
}

/// Headers that a kept answer needs to be read again: the place of a token is masked.
const FRAMING_HEADERS: [&str; 9] = [
    "age",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "location",
    "retry-after",
    "transfer-encoding",
];

fn token(source: &TokenSource, manifest: &Manifest) -> Checked<()> {
    is_identifier(&source.name)?;
    ensure(source.lifetime_secs != Some(0), || "lifetime-secs is 0".to_owned())?;
    ensure(source.refresh.is_none() || source.refresh_value.is_some(), || {
        "it has `refresh`, but no `refresh-value` that it could spend".to_owned()
    })?;
    for place in std::iter::once(&source.value).chain(&source.refresh_value) {
        let framing = match place {
            TokenPlace::Header(name) => FRAMING_HEADERS.iter().find(|framing| name.eq_ignore_ascii_case(framing)),
            _ => None,
        };
        ensure(framing.is_none(), || {
            format!("header `{}` says how an answer is to be read, and holds no token", framing.unwrap_or(&""))
        })?;
    }
    let limits = Limits::default();
    let requests = std::iter::once(&source.request).chain(&source.refresh);
    requests.into_iter().try_for_each(|one| request(one, manifest, &limits))
}

/// Windows that all look-backs together cut an account into: a year of hours in ten streams.
const MAX_WINDOWS: u64 = 100_000;

fn schedule(manifest: &Manifest) -> Checked<()> {
    words("schedule", &manifest.schedule)?;
    ensure(manifest.schedule.split_whitespace().count() == 5, || {
        format!("schedule {} has no five fields", quoted(&manifest.schedule))
    })?;
    if let Some(rate) = manifest.rate {
        ensure(rate.requests > 0 && rate.per_secs > 0 && rate.concurrency > 0, || "rate has a 0".to_owned())?;
    }
    at_most("look-back", manifest.look_back.len(), MAX_LIST)?;
    manifest.look_back.iter().try_for_each(|look| {
        ensure(look.every_secs > 0, || "look-back: every-secs is 0".to_owned())?;
        ensure(look.days <= MAX_LOOK_BACK_DAYS, || {
            format!("look-back: {} days, {MAX_LOOK_BACK_DAYS} are allowed", look.days)
        })?;
        let has_axis = manifest.streams.iter().any(|stream| stream.axes.contains(&look.axis));
        ensure(has_axis, || format!("look-back: no stream has the axis `{}`", look.axis.name()))
    })?;
    let windows = manifest.look_back.iter().flat_map(|look| {
        let streams = manifest.streams.iter().filter(|stream| stream.axes.contains(&look.axis));
        streams.map(|stream| stream.windows_in(u64::from(look.days) * u64::from(DAY_SECS)))
    });
    let windows: u64 = windows.sum();
    ensure(windows <= MAX_WINDOWS, || {
        format!("look-back and max-window-secs: {windows} windows of an account, {MAX_WINDOWS} are allowed")
    })
}

/// How long a manifest is as JSON.
fn json_bytes(manifest: &Manifest) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, manifest).map_or(usize::MAX, |()| counter.0)
}

fn is_identifier(name: &str) -> Checked<()> {
    let is_one = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    ensure(is_one, || format!("name {} is no identifier of at most {MAX_NAME}", quoted(name)))
}

fn paths<'a>(what: &str, paths: impl Iterator<Item = &'a str> + Clone) -> Checked<()> {
    paths.clone().try_for_each(|path| {
        ensure(!path.is_empty(), || format!("{what}: a path is empty"))?;
        words(what, path)
    })?;
    unique(what, paths)
}

fn unique<'a>(what: &str, mut names: impl Iterator<Item = &'a str>) -> Checked<()> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name)).map_or(Ok(()), |name| Err(format!("{what}: {} comes twice", quoted(name))))
}

fn at_most(what: &str, count: usize, most: usize) -> Checked<()> {
    ensure(count <= most, || format!("{what}: {count}, {most} are allowed"))
}

#[cfg(test)]
pub(super) mod tests;
