//! The lake itself: where it is, whether it can be written, and what is in it.

use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::future::join_all;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use sluice_model::Step;
use url::Url;
use uuid::Uuid;

use crate::error::Error;
use crate::meta::SmallTable;
use crate::raw::Retired;

/// The folder of tables.
const TABLES: &str = "tables";

/// A lake that can be written. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lake {
    inner: Arc<Inner>,
    passed: fn(Step),
}

struct Inner {
    url: Url,
    /// Rooted at the lake.
    store: Arc<dyn ObjectStore>,
    /// Rooted where URLs are: at the bucket or the file system.
    root: Arc<dyn ObjectStore>,
    /// Small tables to which this process appends: it doesn't race against itself.
    small: SmallTables,
    /// The folder of its tables.
    tables: &'static str,
    retired: Mutex<KnownRetired>,
}

/// Notes of retention, and what they say together.
type KnownRetired = (Vec<Path>, Arc<Retired>);
type SmallTables = Mutex<std::collections::HashMap<String, Arc<SmallTable>>>;

impl std::fmt::Debug for Inner {
    /// Without the stores, which hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// A Delta table of the lake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableRef {
    /// Its SQL schema: `unified`, `meta`, or a network with `-` as `_`.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Where it is, ending in `/`.
    pub url: Url,
}

impl Lake {
    /// Opens a lake, and makes sure that it can be written.
    ///
    /// `file:./lake` (from the working directory), `file:///abs` and plain paths are created;
    /// `s3://bucket/prefix` takes its credentials and endpoint from the `AWS_*` environment.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let lake = if url.starts_with("s3://") || url.starts_with("s3a://") { open_s3(url)? } else { open_local(url)? };
        let probe = Path::from(format!("_probe/{}", Uuid::now_v7()));
        let written = lake.store().put(&probe, PutPayload::from_static(b"sluice")).await;
        written.map_err(|source| Error::store("write", lake.display(&probe), source))?;
        lake.delete(&probe).await?;
        Ok(lake)
    }

    /// A small table that this process appends to.
    pub(crate) fn small_table(&self, table: &str) -> Arc<SmallTable> {
        let mut tables = self.inner.small.lock().unwrap_or_else(PoisonError::into_inner);
        tables.entry(table.to_owned()).or_default().clone()
    }

    /// Has `passed` told of every step of a run that is passed in the lake.
    #[must_use]
    pub fn watched(self, passed: fn(Step)) -> Self {
        Self { passed, ..self }
    }

    /// Who is told of steps.
    pub(crate) fn watcher(&self) -> fn(Step) {
        self.passed
    }

    /// Says that a step is passed.
    pub(crate) fn passed(&self, step: Step) {
        (self.passed)(step);
    }

    /// Whether the store lets exactly one of several writers create an object.
    ///
    /// A store that doesn't loses commits in silence as soon as there are two writers.
    pub async fn probe_exclusive_put(&self) -> Result<bool, Error> {
        for _ in 0..5 {
            let path = Path::from(format!("_probe/{}", Uuid::now_v7()));
            let puts = (0..12_u8).map(|writer| self.put_if_absent(&path, Bytes::from(vec![writer; 64])));
            let mut won = 0;
            for outcome in join_all(puts).await {
                won += u32::from(outcome?);
            }
            self.delete(&path).await?;
            if won != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same lake through other stores.
    #[cfg(test)]
    pub(crate) fn through(&self, wrap: impl Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        let Inner { url, store, root, tables, .. } = self.inner.as_ref();
        let (store, root) = (wrap(store.clone()), wrap(root.clone()));
        let inner =
            Inner { url: url.clone(), store, root, small: SmallTables::default(), tables, retired: Mutex::default() };
        Self { inner: Arc::new(inner), ..self.clone() }
    }

    /// Where the lake is, ending in `/`.
    pub fn url(&self) -> &Url {
        &self.inner.url
    }

    /// Whether it is on a disk of this machine, whose file system creates a file only once.
    pub fn is_local(&self) -> bool {
        self.inner.url.scheme() == "file"
    }

    /// The log of the Delta table at `url`, through this lake's own store and connections.
    ///
    /// # Errors
    /// A URL that names no table of this lake's store.
    pub fn log_store(&self, url: &Url) -> Result<LogStoreRef, Error> {
        let bad = |reason: String| Error::Url { url: url.to_string(), reason };
        if (url.scheme(), url.host_str()) != (self.inner.url.scheme(), self.inner.url.host_str()) {
            return Err(bad(format!("it isn't in the store of {}", self.inner.url)));
        }
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let path = Path::from_url_path(url.path()).map_err(|error| bad(error.to_string()))?;
        let table = Arc::new(PrefixStore::new(self.inner.root.clone(), path));
        Ok(default_logstore(table, self.inner.root.clone(), &url, &StorageConfig::default()))
    }

    /// Where a table is or would be.
    pub fn url_of(&self, schema: &str, table: &str) -> Result<Url, Error> {
        for name in [schema, table] {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || !name.chars().all(fits) {
                return Err(Error::Name { name: name.to_owned() });
            }
        }
        self.inner
            .url
            .join(&format!("{}/{schema}/{table}/", self.inner.tables))
            .map_err(|error| Error::Url { url: self.inner.url.to_string(), reason: error.to_string() })
    }

    /// All tables, sorted by schema and name.
    pub async fn tables(&self) -> Result<Vec<TableRef>, Error> {
        let mut tables = Vec::new();
        for schema in self.folders(&self.tables_folder()).await? {
            for table in self.folders(&schema).await? {
                let log = self.folders(&table).await?.iter().any(|folder| folder.filename() == Some("_delta_log"));
                if let (true, Some(schema), Some(name)) = (log, schema.filename(), table.filename()) {
                    let url = self.url_of(schema, name)?;
                    tables.push(TableRef { schema: schema.to_owned(), name: name.to_owned(), url });
                }
            }
        }
        tables.sort();
        Ok(tables)
    }

    /// Keeps a connector's component, so that a replay or a rollback can name it by its digest. Gives whether it is
    /// new to the lake.
    pub async fn put_connector(&self, component: Bytes) -> Result<bool, Error> {
        let digest = sluice_model::Digest::of(&component);
        self.put_if_absent(&connector_path(digest), component).await
    }

    /// A connector's component, checked against its digest.
    pub async fn connector(&self, digest: sluice_model::Digest) -> Result<Bytes, Error> {
        let path = connector_path(digest);
        let bytes = self.get(&path).await?;
        if sluice_model::Digest::of(&bytes) != digest {
            let reason = "its bytes don't have the digest that names it".to_owned();
            return Err(Error::Damaged { path: self.display(&path), reason });
        }
        Ok(bytes)
    }

    /// The digests of all connectors that the lake keeps, sorted.
    pub async fn connector_digests(&self) -> Result<Vec<sluice_model::Digest>, Error> {
        let folder = Path::from("connectors");
        let listed = self.store().list_with_delimiter(Some(&folder)).await;
        let listed = listed.map_err(|source| Error::store("list", self.display(&folder), source))?;
        let names = listed.objects.iter().filter_map(|object| object.location.filename()?.strip_suffix(".wasm"));
        let mut digests: Vec<_> = names.filter_map(sluice_model::Digest::from_hex).collect();
        digests.sort_unstable();
        Ok(digests)
    }

    /// The same lake with its tables in another folder.
    pub(crate) fn with_tables(&self, tables: &'static str) -> Self {
        let Inner { url, store, root, .. } = self.inner.as_ref();
        let inner = Inner {
            url: url.clone(),
            store: store.clone(),
            root: root.clone(),
            small: SmallTables::default(),
            tables,
            retired: Mutex::default(),
        };
        Self { inner: Arc::new(inner), passed: self.passed }
    }

    /// The folder of its tables.
    pub(crate) fn tables_folder(&self) -> Path {
        Path::from(self.inner.tables)
    }

    /// What notes of retention say together, if they were read.
    pub(crate) fn known_retired(&self, notes: &[Path]) -> Option<Arc<Retired>> {
        let known = self.inner.retired.lock().unwrap_or_else(PoisonError::into_inner);
        (known.0 == notes).then(|| known.1.clone())
    }

    pub(crate) fn know_retired(&self, notes: Vec<Path>, retired: &Arc<Retired>) {
        *self.inner.retired.lock().unwrap_or_else(PoisonError::into_inner) = (notes, retired.clone());
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.inner.store
    }

    /// A path as people find it.
    pub(crate) fn display(&self, path: &Path) -> String {
        format!("{}{path}", self.inner.url)
    }

    pub(crate) async fn get(&self, path: &Path) -> Result<Bytes, Error> {
        let failed = |source| Error::store("read", self.display(path), source);
        self.store().get(path).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    /// Whether this call created the object; one that is there stays as it is.
    pub(crate) async fn put_if_absent(&self, path: &Path, bytes: Bytes) -> Result<bool, Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store().put_opts(path, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(false),
            Err(source) => Err(Error::store("write", self.display(path), source)),
        }
    }

    pub(crate) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.store().delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::store("delete", self.display(path), source)),
        }
    }

    /// The folders in a folder.
    pub(crate) async fn folders(&self, path: &Path) -> Result<Vec<Path>, Error> {
        match self.store().list_with_delimiter(Some(path)).await {
            Ok(listed) => Ok(listed.common_prefixes),
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            Err(source) => Err(Error::store("list", self.display(path), source)),
        }
    }
}

fn connector_path(digest: sluice_model::Digest) -> Path {
    Path::from(format!("connectors/{digest}.wasm"))
}

fn open_local(text: &str) -> Result<Lake, Error> {
    let bad = |reason: &str| Error::Url { url: text.to_owned(), reason: reason.to_owned() };
    let path = match text.strip_prefix("file:") {
        Some(rest) if rest.starts_with("//") => Url::parse(text)
            .map_err(|error| bad(&error.to_string()))?
            .to_file_path()
            .map_err(|()| bad("it isn't a path of this machine"))?,
        Some(rest) => FilePath::new(rest).to_path_buf(),
        None if text.contains("://") => return Err(bad("its scheme is neither `file` nor `s3`")),
        None => FilePath::new(text).to_path_buf(),
    };
    if path.as_os_str().is_empty() {
        return Err(bad("it has no path"));
    }
    let failed = |source| Error::Create { path: path.display().to_string(), source };
    std::fs::create_dir_all(&path).map_err(failed)?;
    let path = path.canonicalize().map_err(failed)?;
    let url = Url::from_directory_path(&path).map_err(|()| bad("its path can't be a URL"))?;
    let store = LocalFileSystem::new_with_prefix(&path).map_err(|source| Error::store("open", url.as_str(), source))?;
    let inner = Inner {
        url,
        store: Arc::new(store),
        root: Arc::new(LocalFileSystem::new()),
        small: SmallTables::default(),
        tables: TABLES,
        retired: Mutex::default(),
    };
    Ok(Lake { inner: Arc::new(inner), passed: |_| {} })
}

fn open_s3(text: &str) -> Result<Lake, Error> {
    let bad = |reason: String| Error::Url { url: text.to_owned(), reason };
    let slashed = format!("{}/", text.trim_end_matches('/'));
    let url = Url::parse(&slashed).map_err(|error| bad(error.to_string()))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("it has no bucket".to_owned()));
    }
    let store = AmazonS3Builder::from_env()
        .with_url(url.as_str())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()
        .map_err(|source| Error::store("open", text, source))?;
    let prefix = Path::from_url_path(url.path()).map_err(|error| bad(error.to_string()))?;
    let root: Arc<dyn ObjectStore> = Arc::new(store);
    let inner = Inner {
        url,
        store: Arc::new(PrefixStore::new(root.clone(), prefix)),
        root,
        small: SmallTables::default(),
        tables: TABLES,
        retired: Mutex::default(),
    };
    Ok(Lake { inner: Arc::new(inner), passed: |_| {} })
}
