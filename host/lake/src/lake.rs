//! The lake itself: where it is, whether it can be written, and what is in it.

mod exclusive;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::Utc;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use sluice_model::Step;
use url::Url;
use uuid::Uuid;

use crate::error::Error;

/// The folder of tables.
const TABLES: &str = "tables";

/// A lake. Cheap to clone.
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
    /// The folder of its tables.
    tables: Arc<str>,
    /// What is known of it so far, by its type.
    known: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    /// Endpoint and bucket; none on a disk of this machine.
    store_name: Option<String>,
}

impl Inner {
    fn new(url: Url, store: Arc<dyn ObjectStore>, root: Arc<dyn ObjectStore>, store_name: Option<String>) -> Self {
        Self { url, store, root, tables: TABLES.into(), known: Mutex::default(), store_name }
    }

    /// The same place, of which nothing is known yet.
    fn alike(&self) -> Self {
        let (url, store, root) = (self.url.clone(), self.store.clone(), self.root.clone());
        Self { tables: self.tables.clone(), ..Self::new(url, store, root, self.store_name.clone()) }
    }
}

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
    /// Its name in the schema.
    pub name: String,
    /// Where it is, ending in `/`.
    pub url: Url,
}

impl Lake {
    /// Opens a lake to read it. It writes nothing, so that whoever may read the store can; a lake that isn't there yet is
    /// empty.
    ///
    /// `file:./lake` (from the working directory), `file:///abs` or a plain path; `s3://bucket/prefix` takes its
    /// credentials and endpoint from the `AWS_*` environment.
    pub async fn open(url: &str) -> Result<Self, Error> {
        if url.starts_with("s3://") || url.starts_with("s3a://") {
            return open_s3(url);
        }
        let path = local_path(url)?;
        match path.canonicalize() {
            Ok(path) => open_folder(&path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => open_absent(&path),
            Err(source) => Err(Error::OpenFolder { path: path.display().to_string(), source }),
        }
    }

    /// Opens a lake to write it: a folder is made, and a store is tried, see `Lake::require_exclusive_put`.
    ///
    /// # Errors
    /// A lake that can't be written; [`Error::LosesCommits`].
    pub async fn open_writable(url: &str) -> Result<Self, Error> {
        if !url.starts_with("s3://") && !url.starts_with("s3a://") {
            let path = local_path(url)?;
            let failed = |source| Error::Create { path: path.display().to_string(), source };
            std::fs::create_dir_all(&path).map_err(failed)?;
        }
        let lake = Self::open(url).await?;
        let probe = Path::from(format!("_probe/{}", Uuid::now_v7()));
        let written = lake.store().put(&probe, PutPayload::from_static(b"sluice")).await;
        written.map_err(|source| Error::store("write", lake.display(&probe), source))?;
        lake.delete(&probe).await?;
        if let Some(name) = &lake.inner.store_name {
            lake.require_exclusive_put(name, Utc::now()).await?;
        }
        Ok(lake)
    }

    fn of(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), passed: |_| {} }
    }

    /// What all handles of this lake know of it together: one of each type, which whoever asks for it defines.
    pub(crate) fn known<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut known = self.inner.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_type = known.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // Never another type: it is kept under this one's id.
        of_type.clone().downcast().unwrap_or_default()
    }

    /// Calls `passed` at every step of a run that is passed in the lake.
    #[must_use]
    pub fn watched(self, passed: fn(Step)) -> Self {
        Self { passed, ..self }
    }

    /// The observer of steps.
    pub(crate) fn watcher(&self) -> fn(Step) {
        self.passed
    }

    /// Says that a step is passed.
    pub(crate) fn passed(&self, step: Step) {
        (self.passed)(step);
    }

    /// The same lake through other stores.
    #[cfg(test)]
    pub(crate) fn through(&self, wrap: impl Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        let (store, root) = (wrap(self.inner.store.clone()), wrap(self.inner.root.clone()));
        Self { inner: Arc::new(Inner { store, root, ..self.inner.alike() }), ..self.clone() }
    }

    /// Where the lake is, ending in `/`.
    pub fn url(&self) -> &Url {
        &self.inner.url
    }

    /// Whether it is on a disk of this machine, whose file system creates a file only once.
    pub(crate) fn is_local(&self) -> bool {
        self.inner.store_name.is_none()
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

    /// Keeps a connector's component, so that a replay or a rollback can name it by its digest. Returns whether it is
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
    pub(crate) fn with_tables(&self, tables: &str) -> Self {
        Self { inner: Arc::new(Inner { tables: tables.into(), ..self.inner.alike() }), passed: self.passed }
    }

    pub(crate) fn tables_folder(&self) -> Path {
        Path::from(&*self.inner.tables)
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

    /// The folders right below a folder; none if it isn't there.
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

/// The path of a lake on a disk of this machine.
fn local_path(text: &str) -> Result<PathBuf, Error> {
    let bad = |reason: &str| Error::Url { url: text.to_owned(), reason: reason.to_owned() };
    let path = match text.strip_prefix("file:") {
        Some(rest) if rest.starts_with("//") => Url::parse(text)
            .map_err(|error| bad(&error.to_string()))?
            .to_file_path()
            .map_err(|()| bad("it isn't a path of this machine"))?,
        Some(rest) => PathBuf::from(rest),
        None if text.contains("://") => return Err(bad("its scheme is neither `file` nor `s3`")),
        None => PathBuf::from(text),
    };
    if path.as_os_str().is_empty() {
        return Err(bad("it has no path"));
    }
    Ok(path)
}

/// A lake in a folder, by its canonical path.
fn open_folder(path: &FilePath) -> Result<Lake, Error> {
    if !path.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(Error::OpenFolder { path: path.display().to_string(), source });
    }
    let url = folder_url(path)?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|source| Error::store("open", url.as_str(), source))?;
    Ok(Lake::of(Inner::new(url, Arc::new(store), Arc::new(LocalFileSystem::new()), None)))
}

/// A lake in a folder that isn't there.
fn open_absent(path: &FilePath) -> Result<Lake, Error> {
    let absolute =
        std::path::absolute(path).map_err(|source| Error::OpenFolder { path: path.display().to_string(), source })?;
    let url = folder_url(&absolute)?;
    let prefix = Path::from_url_path(url.path())
        .map_err(|error| Error::Url { url: url.to_string(), reason: error.to_string() })?;
    let root: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    Ok(Lake::of(Inner::new(url, Arc::new(PrefixStore::new(root.clone(), prefix)), root, None)))
}

fn folder_url(path: &FilePath) -> Result<Url, Error> {
    let reason = || "its path can't be a URL".to_owned();
    Url::from_directory_path(path).map_err(|()| Error::Url { url: path.display().to_string(), reason: reason() })
}

/// Whether the environment names who asks: with anything less the client would ask a cloud's metadata address, which no
/// setting names.
fn names_identity(builder: &AmazonS3Builder) -> bool {
    let has = |key| builder.get_config_value(&key).is_some_and(|value| !value.is_empty());
    let is_public = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature).is_some_and(|value| value == "true");
    is_public
        || has(AmazonS3ConfigKey::AccessKeyId)
        || (has(AmazonS3ConfigKey::WebIdentityTokenFile) && has(AmazonS3ConfigKey::RoleArn))
        || has(AmazonS3ConfigKey::ContainerCredentialsRelativeUri)
        || (has(AmazonS3ConfigKey::ContainerCredentialsFullUri)
            && has(AmazonS3ConfigKey::ContainerAuthorizationTokenFile))
        || has(AmazonS3ConfigKey::MetadataEndpoint)
}

fn open_s3(text: &str) -> Result<Lake, Error> {
    let bad = |reason: String| Error::Url { url: text.to_owned(), reason };
    let slashed = format!("{}/", text.trim_end_matches('/'));
    let url = Url::parse(&slashed).map_err(|error| bad(error.to_string()))?;
    let bucket =
        url.host_str().filter(|bucket| !bucket.is_empty()).ok_or_else(|| bad("it has no bucket".to_owned()))?;
    let builder = AmazonS3Builder::from_env().with_url(url.as_str()).with_conditional_put(S3ConditionalPut::ETagMatch);
    let setting = |key| builder.get_config_value(&key).filter(|value| !value.is_empty());
    let endpoint = setting(AmazonS3ConfigKey::Endpoint)
        .unwrap_or_else(|| format!("aws {}", setting(AmazonS3ConfigKey::Region).unwrap_or_default()));
    let store_name = format!("{} {bucket}", endpoint.trim_end_matches('/'));
    if !names_identity(&builder) {
        return Err(Error::NoStoreKeys { url: text.to_owned() });
    }
    let store = builder.build().map_err(|source| Error::store("open", text, source))?;
    let prefix = Path::from_url_path(url.path()).map_err(|error| bad(error.to_string()))?;
    let root: Arc<dyn ObjectStore> = Arc::new(store);
    let store = Arc::new(PrefixStore::new(root.clone(), prefix));
    Ok(Lake::of(Inner::new(url, store, root, Some(store_name))))
}
