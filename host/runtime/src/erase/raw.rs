//! Raw without the values: which responses hold them, and what they become.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use sluice_engine::{Connector, TwiceCheck};
use sluice_fetch::{Erased, replaced_headers, unpack_body};
use sluice_lake::{EnvelopePath, ErasedRows, NativeSubstitutes, Prepared, WireBody};
use sluice_model::{Digest, Fact, Mapped, RawObject, Step};

use super::compare::{Difference, difference, holds};
use super::texts::{Texts, replaced};
use crate::app::{App, open_session};
use crate::failure::Failure;
use crate::guests::in_guest;
use crate::meter::Unit;
use crate::network::connector_ref;
use crate::step;

/// Places in one body that are tried one by one: whether a number is an amount there.
const MAX_PLACES: usize = 2_000;

/// What raw holds of the values.
#[derive(Default)]
pub(super) struct RawErasure {
    /// The envelopes that change.
    pub(super) envelopes: Vec<EnvelopePath>,
    /// Bodies that hold values, and those in their place.
    pub(super) bodies: HashMap<Digest, Digest>,
    /// Texts that were derived from bodies, and what they become.
    pub(super) names: HashMap<String, String>,
    /// By table, what its rows become.
    pub(super) native: HashMap<String, NativeSubstitutes>,
    /// Places at which a number is an amount.
    pub(super) amounts: u64,
    /// Digests of the values that were found in bodies.
    pub(super) seen: BTreeSet<String>,
    /// Bodies that hold values, in which network, account and stream.
    parts: HashSet<(Digest, String, String, String)>,
    /// Bodies that hold no value, or only as amounts.
    clean: HashSet<Digest>,
    /// Bodies that envelopes name, before.
    named: HashSet<Digest>,
}

/// Searches raw for values.
struct Search<'a> {
    app: &'a Arc<App>,
    erased: &'a Arc<Erased>,
    /// Those of the values that can be no amount, and those that can.
    words: Erased,
    numbers: Erased,
    /// By network, all versions by which its rows were mapped.
    connectors: HashMap<String, Vec<Connector>>,
    is_dry: bool,
}

impl RawErasure {
    /// Reads all of raw. Bodies without the values are written beside those with them.
    pub(super) async fn of(app: &Arc<App>, erased: &Arc<Erased>, is_dry: bool) -> Result<Self, Failure> {
        let (words, numbers) = (erased.without_numbers(), erased.numbers());
        let search = Search { app, erased, words, numbers, connectors: versions(app).await?, is_dry };
        let mut found = Self::default();
        let runs = app.lake.raw_runs().await?;
        app.meter.begin("search raw", Unit::Runs, runs.len() as u64);
        for run in runs {
            let mut envelopes = app.lake.run_envelopes(&run).await?;
            while let Some((path, object)) = envelopes.try_next().await? {
                found.named.insert(object.body);
                if search.body(&object, &mut found).await? || rewritten(erased, &object)?.is_some() {
                    found.envelopes.push(path);
                }
            }
            app.meter.done(Unit::Runs);
        }
        for (old, new) in &found.bodies {
            found.names.insert(old.to_hex(), new.to_hex());
        }
        Ok(found)
    }

    /// Requires that what rows hold was found in the responses that they came from, as far as raw has them.
    pub(super) async fn holds_all_of(&self, app: &App, tables: &[ErasedRows]) -> Result<(), Failure> {
        for ErasedRows { table, bodies, .. } in tables {
            for body in bodies.iter().filter_map(|body| Digest::from_hex(body)) {
                if self.bodies.contains_key(&body) {
                    continue;
                }
                match app.lake.raw_body(body).await {
                    Err(sluice_lake::Error::Gone { .. }) => {}
                    Err(error) => return Err(error.into()),
                    Ok(_) => {
                        return Err(hidden(table, body));
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes envelopes without the values, and with the bodies without them.
    pub(super) async fn rewrite_envelopes(&self, app: &App, texts: &Texts) -> Result<(), Failure> {
        for path in &self.envelopes {
            let object = app.lake.run_response(path).await?;
            let mut object = rewritten(texts.erased(), &object)?.unwrap_or(object);
            if let Some(body) = self.bodies.get(&object.body) {
                let plain = app.lake.raw_body(*body).await?;
                object.headers = replaced_headers(&object.headers, plain.len() as u64);
                object.body = *body;
            }
            app.lake.put_outcome(path, &object).await?;
            step::passed(Step::EnvelopeRewritten);
        }
        Ok(())
    }

    /// The bodies with values that no envelope names once the envelopes are rewritten: those that are replaced, and those that an
    /// interrupted run or erasure left.
    pub(super) async fn old_bodies(&self, app: &App, erased: &Erased) -> Result<Vec<Digest>, Failure> {
        let new: HashSet<&Digest> = self.bodies.values().collect();
        let mut old: Vec<Digest> = self.bodies.keys().copied().collect();
        for digest in app.lake.raw_bodies().await? {
            if new.contains(&digest) || self.named.contains(&digest) {
                continue;
            }
            let wire = app.lake.raw_body(digest).await?;
            let plain = unpack_body(&[], &wire, &app.settings.fetch).await.unwrap_or(wire);
            if erased.count(&plain) > 0 {
                old.push(digest);
            }
        }
        old.sort_unstable();
        old.dedup();
        Ok(old)
    }

    /// Takes what a mapping of a response says of rows.
    fn learn(&mut self, connector: &Connector, object: &RawObject, pair: Pair) -> Result<(), Failure> {
        let Pair { before, after, difference: Difference { paths, ids } } = pair;
        let Some(stream) = connector.manifest().stream(&object.slice.stream) else { return Ok(()) };
        let origin = Arc::new(object.clone());
        let records = |mapped| -> Result<Vec<(u128, u128)>, Failure> {
            let prepared = Prepared::of(origin.clone(), &stream.layout, connector_ref(connector), mapped)?;
            Ok(prepared.records().collect())
        };
        let (before, after) = (records(before)?, records(after)?);
        let table = format!("{}.{}", object.slice.network.replace('-', "_"), object.slice.stream);
        let native = self.native.entry(table).or_default();
        native.key.clone_from(&stream.layout.key);
        native.paths.extend(paths);
        native.rows.extend(before.into_iter().zip(after).filter(|(before, after)| before != after));
        self.names.extend(ids);
        Ok(())
    }
}

/// A response mapped with the values and without them.
struct Pair {
    before: Mapped,
    after: Mapped,
    difference: Difference,
}

impl Search<'_> {
    /// Whether a response's body changes.
    async fn body(&self, object: &RawObject, found: &mut RawErasure) -> Result<bool, Failure> {
        let digest = object.body;
        if found.clean.contains(&digest) {
            return Ok(false);
        }
        // Keys are of a network, an account and a stream.
        let slice = &object.slice;
        let part = (digest, slice.network.clone(), slice.account.clone(), slice.stream.clone());
        if !found.parts.insert(part) {
            return Ok(true);
        }
        let wire = match self.app.lake.raw_body(digest).await {
            Err(sluice_lake::Error::Gone { .. }) => Bytes::new(),
            wire => wire?,
        };
        // What can't be unpacked was kept as it came, and nothing was made of it.
        let plain = unpack_body(&object.headers, &wire, &self.app.settings.fetch).await.unwrap_or(wire);
        let Some(other) = self.replaced(object, &plain, found).await? else {
            found.clean.insert(digest);
            return Ok(false);
        };
        found.seen.extend(self.erased.digests_in(&plain));
        let body = WireBody::of(Bytes::from(other));
        if !self.is_dry {
            self.app.lake.put_raw_body(&body).await?;
        }
        found.bodies.entry(digest).or_insert_with(|| body.digest());
        Ok(true)
    }

    /// A body with stand-ins; none if it stays. Where a number is an amount, it stays.
    async fn replaced(
        &self,
        object: &RawObject,
        plain: &Bytes,
        found: &mut RawErasure,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let Some(all) = self.erased.replaced(plain) else { return Ok(None) };
        let is_mapped = object.outcome == "answered" && object.request.yields_records;
        let connectors = self.connectors.get(&object.slice.network).filter(|_| is_mapped);
        let (Some(connectors), has_numbers) = (connectors, !self.numbers.is_empty()) else { return Ok(Some(all)) };
        let learned = self.learn_all(connectors, object, (plain, all.as_slice()), has_numbers, found).await?;
        let Err(place) = learned else { return Ok(Some(all)) };
        if !has_numbers {
            return Err(misplaced(object, &place));
        }
        // A word is replaced wherever it stands, or refused. Only a number may be an amount.
        let words = self.words.replaced(plain);
        let without = words.clone().map_or_else(|| plain.clone(), Bytes::from);
        if words.is_some()
            && let Err(place) = self.pairs(connectors, object, (plain, &without[..]), false).await?
        {
            return Err(misplaced(object, &place));
        }
        let places = self.numbers.count(&without);
        if places > MAX_PLACES {
            return Err(misplaced(object, &place));
        }
        let mut wanted = HashSet::new();
        for at in 0..places {
            let Some(one) = self.numbers.replaced_where(&without, |other| other == at) else { continue };
            if self.pairs(connectors, object, (&without, one.as_slice()), true).await?.is_ok() {
                wanted.insert(at);
            }
        }
        found.amounts += (places - wanted.len()) as u64;
        let some = self.numbers.replaced_where(&without, |at| wanted.contains(&at)).or(words);
        let Some(some) = some else { return Ok(None) };
        match self.learn_all(connectors, object, (plain, some.as_slice()), false, found).await? {
            Ok(()) => Ok(Some(some)),
            Err(place) => Err(misplaced(object, &place)),
        }
    }

    /// Maps a response by all versions, and takes what they say of rows; what differs that may not, if anything does.
    async fn learn_all(
        &self,
        connectors: &[Connector],
        object: &RawObject,
        bodies: (&Bytes, &[u8]),
        is_number: bool,
        found: &mut RawErasure,
    ) -> Result<Result<(), String>, Failure> {
        match self.pairs(connectors, object, bodies, is_number).await? {
            Err(place) => Ok(Err(place)),
            Ok(pairs) => {
                for (connector, pair) in connectors.iter().zip(pairs) {
                    let Some(pair) = pair else { continue };
                    if holds(&self.words, &pair.after) {
                        let slice = &object.slice;
                        return Err(hidden(&format!("{}.{}", slice.network, slice.stream), object.body));
                    }
                    found.learn(connector, object, pair)?;
                }
                Ok(Ok(()))
            }
        }
    }

    /// A response by each version with the values and without them, by both bodies; none by one that can't map it. `is_number`:
    /// what differs may be an amount.
    async fn pairs(
        &self,
        connectors: &[Connector],
        object: &RawObject,
        (before, after): (&Bytes, &[u8]),
        is_number: bool,
    ) -> Result<Result<Vec<Option<Pair>>, String>, Failure> {
        let mut pairs = Vec::new();
        let other = rewritten(self.erased, object)?.unwrap_or_else(|| object.clone());
        for connector in connectors {
            let map = |object: RawObject, body: Bytes| {
                let (connector, network) = (connector.clone(), connector.network().to_owned());
                let work = move || connector.map_raw(&object, body, TwiceCheck::Sampled);
                async move { in_guest(&self.app.guests, &network, work).await }
            };
            let Ok(before) = map(object.clone(), before.clone()).await else {
                pairs.push(None);
                continue;
            };
            let Ok(after) = map(other.clone(), Bytes::copy_from_slice(after)).await else {
                return Ok(Err("what can't be mapped without it".to_owned()));
            };
            match difference(&before, &after, is_number) {
                Ok(difference) => pairs.push(Some(Pair { before, after, difference })),
                Err(place) => return Ok(Err(place)),
            }
        }
        Ok(Ok(pairs))
    }
}

/// The failure of a value that a body holds and that isn't found there.
fn hidden(table: &str, body: Digest) -> Failure {
    Failure::failed(anyhow::anyhow!(
        "{table} holds a value that isn't found in the response {} that it came from",
        body.short()
    ))
    .hint("its body writes values in a way that erasure doesn't know; no table was changed")
}

fn misplaced(object: &RawObject, place: &str) -> Failure {
    let slice = &object.slice;
    Failure::failed(anyhow::anyhow!(
        "a value stands for {place} in the response {} of {}/{}/{}",
        object.body.short(),
        slice.network,
        slice.account,
        slice.stream
    ))
    .hint("only ids, sub-ids and vouchers can be erased: name the value as the network writes it; no table was changed")
}

/// An envelope with stand-ins; none if it holds no value. Its slice stays: it names an account.
fn rewritten(erased: &Erased, object: &RawObject) -> Result<Option<RawObject>, Failure> {
    let parts = (&object.request, &object.sent, &object.headers);
    let text = serde_json::to_string(&parts).map_err(Failure::failed)?;
    let Some(text) = replaced(erased, &text) else { return Ok(None) };
    let (request, sent, headers) = serde_json::from_str(&text).map_err(Failure::failed)?;
    Ok(Some(RawObject { request, sent, headers, ..object.clone() }))
}

/// By network, the versions of its connector by which rows may have been mapped.
async fn versions(app: &App) -> Result<HashMap<String, Vec<Connector>>, Failure> {
    let mut digests: HashSet<(String, Digest)> = HashSet::new();
    let session = open_session(app.lake.clone()).await?;
    let tables: Vec<String> =
        app.lake.tables().await?.into_iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
    let has = |table: &str| tables.iter().any(|name| name == table);
    let noted = ("meta.connectors".to_owned(), "digest");
    let facts = Fact::ALL.map(|fact| (format!("unified.{}", fact.versions()), "connector_digest"));
    for (table, column) in std::iter::once(noted).chain(facts).filter(|(table, _)| has(table)) {
        let query = format!("SELECT DISTINCT network, {column} FROM {table}");
        for rows in session.query(&query).await?.collect().await? {
            let text = |place: usize| {
                arrow::compute::cast(rows.column(place), &arrow::datatypes::DataType::Utf8).map_err(Failure::failed)
            };
            let [networks, found] = [text(0)?, text(1)?];
            let texts = |column| arrow::array::AsArray::as_string::<i32>(column).iter().flatten();
            for (network, digest) in texts(&networks).zip(texts(&found)) {
                digests.extend(Digest::from_hex(digest).map(|digest| (network.to_owned(), digest)));
            }
        }
    }
    let mut connectors: HashMap<String, Vec<Connector>> = HashMap::new();
    for (network, digest) in digests {
        let component = app.lake.connector(digest).await?;
        let connector = app.registry.engine().load(&component, &format!("{digest}.wasm"))?;
        connectors.entry(network).or_default().push(connector);
    }
    Ok(connectors)
}
