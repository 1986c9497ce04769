//! Refresh tokens in the state store, sealed: the one thing in it that the lake can't give back.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sluice_fetch::{SealKey, StoredToken, TokenKey, TokenPersistence, TokenStore, TokenStoreError};
use sluice_model::Secret;
use sqlx::Row;

use crate::State;
use crate::database::Database;
use crate::error::Error;

/// The line that makes a place for refresh tokens.
const KEY_HINT: &str = "add to [state] in sluice.toml: key = \"env:SLUICE_STATE_KEY\", with what `openssl rand -hex 32` \
                        prints in that variable of every host";

/// The table's rows.
struct Tokens(Database);

impl TokenStore for Tokens {
    fn load<'a>(&'a self, name: &'a TokenKey) -> BoxFuture<'a, Result<Option<StoredToken>, TokenStoreError>> {
        async move {
            let sql = "SELECT version, sealed FROM tokens WHERE network = $1 AND account = $2 AND sign_in = $3";
            let query = sqlx::query(sql).bind(&name.network).bind(&name.account).bind(&name.sign_in);
            let row = self.0.fetch_optional(query).await?;
            Ok(row
                .map(|row| Ok::<_, sqlx::Error>(StoredToken { version: row.try_get(0)?, sealed: row.try_get(1)? }))
                .transpose()?)
        }
        .boxed()
    }

    fn save<'a>(
        &'a self,
        name: &'a TokenKey,
        seen: i64,
        sealed: &'a str,
    ) -> BoxFuture<'a, Result<bool, TokenStoreError>> {
        let sql = if seen == 0 {
            "INSERT INTO tokens (network, account, sign_in, version, sealed) VALUES ($1, $2, $3, 1, $4)
             ON CONFLICT (network, account, sign_in) DO NOTHING"
        } else {
            "UPDATE tokens SET version = version + 1, sealed = $4
             WHERE network = $1 AND account = $2 AND sign_in = $3 AND version = $5"
        };
        async move {
            let query = sqlx::query(sql).bind(&name.network).bind(&name.account).bind(&name.sign_in).bind(sealed);
            let query = if seen == 0 { query } else { query.bind(seen) };
            Ok(self.0.execute(query).await? == 1)
        }
        .boxed()
    }
}

/// Where refresh tokens are kept: in the state store, sealed by `state.key`; without one by a key file beside a
/// SQLite file, and not at all in a store that several hosts share.
///
/// # Errors
/// A settings failure for a key that can't be read or is none.
pub fn token_persistence(state: &State, url: &str, key: Option<Secret>) -> Result<TokenPersistence, Error> {
    let key = match secret(url, key)? {
        Some(key) => key,
        None if url.starts_with("sqlite:") => return Ok(TokenPersistence::InMemory),
        None => return Ok(TokenPersistence::Refused(KEY_HINT.to_owned())),
    };
    let key = SealKey::new(&key).ok_or_else(too_short)?;
    Ok(TokenPersistence::With(Arc::new(Tokens(state.database.clone())), Arc::new(key)))
}

fn too_short() -> Error {
    Error::Key {
        message: "state.key is shorter than 32 bytes".to_owned(),
        hint: "make one with: openssl rand -hex 32".to_owned(),
    }
}

/// `state.key`; without one the key file beside a SQLite file, and none for a store that several hosts share.
fn secret(url: &str, key: Option<Secret>) -> Result<Option<Secret>, Error> {
    match (key, sqlite_file(url)) {
        (Some(key), _) => Ok(Some(key)),
        (None, Some(database)) => key_file(&database).map(Some),
        (None, None) => Ok(None),
    }
}

/// What only the hosts of an installation know: `state.key`, or the key file beside a SQLite file.
///
/// # Errors
/// A settings failure for a key that can't be read, is shorter than 32 bytes, or is missing.
pub fn installation_secret(url: &str, key: Option<Secret>) -> Result<Secret, Error> {
    let key = secret(url, key)?.ok_or_else(|| Error::Key {
        message: "hosts share queries only with a state.key".to_owned(),
        hint: KEY_HINT.to_owned(),
    })?;
    SealKey::new(&key).ok_or_else(too_short)?;
    Ok(key)
}

/// The file of a `sqlite:` URL; none for one in memory and for other databases.
fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (path != ":memory:").then(|| PathBuf::from(path.split('?').next().unwrap_or(path)))
}

/// The key beside a database, made if there is none. It protects tokens from readers of the database alone, as from a
/// backup, and from no one who reads the folder.
fn key_file(database: &Path) -> Result<Secret, Error> {
    let path = database.with_extension("key");
    let failed = |error: std::io::Error| Error::Key {
        message: format!("cannot use the key file {}: {error}", path.display()),
        hint: format!("let sluice write {}, or {KEY_HINT}", path.display()),
    };
    match std::fs::metadata(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => make_key(&path).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(Error::Key {
                message: format!("others may read the key file {}", path.display()),
                hint: format!("chmod 600 {}", path.display()),
            });
        }
    }
    // Opening a FIFO would wait for its writer.
    if !std::fs::metadata(&path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::new(ErrorKind::InvalidInput, "it is no regular file")));
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    Ok(Secret::new(text.trim().to_owned()))
}

/// Writes a fresh key, whole or not at all, and never over another one.
fn make_key(path: &Path) -> std::io::Result<()> {
    let part = path.with_extension(format!("key.{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(SealKey::random_text().expose().as_bytes())?;
    file.sync_all()?;
    // A link, unlike a renaming, fails if another process was faster.
    let linked = std::fs::hard_link(&part, path);
    std::fs::remove_file(&part)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn name(account: &str) -> TokenKey {
        TokenKey { network: "shop".into(), account: account.into(), sign_in: "session".into() }
    }

    #[tokio::test]
    async fn a_record_is_replaced_by_who_has_seen_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("state.db").display());
        let tokens = Tokens(State::open(&url).await.unwrap().database.clone());
        assert_eq!(tokens.load(&name("a")).await.unwrap(), None);
        assert!(tokens.save(&name("a"), 0, "v1.one").await.unwrap());
        assert!(!tokens.save(&name("a"), 0, "v1.other").await.unwrap());
        assert!(tokens.save(&name("a"), 1, "v1.two").await.unwrap());
        assert!(!tokens.save(&name("a"), 1, "v1.late").await.unwrap());
        assert!(!tokens.save(&name("b"), 7, "v1.none").await.unwrap());
        let again = Tokens(State::open(&url).await.unwrap().database.clone());
        assert_eq!(again.load(&name("a")).await.unwrap(), Some(StoredToken { version: 2, sealed: "v1.two".into() }));
    }

    #[cfg(unix)]
    #[test]
    fn the_key_beside_a_database_is_made_once_and_for_one_user() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("state.db");
        let key = key_file(&database).unwrap();
        assert!(SealKey::new(&key).is_some());
        assert!(key_file(&database).unwrap() == key);
        make_key(&dir.path().join("state.key")).unwrap();
        assert!(key_file(&database).unwrap() == key, "a key is never replaced");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::set_permissions(dir.path().join("state.key"), PermissionsExt::from_mode(0o640)).unwrap();
        assert!(key_file(&database).unwrap_err().hint().unwrap().starts_with("chmod 600 /"));
    }

    #[test]
    fn a_store_in_memory_has_no_file() {
        assert_eq!(sqlite_file("sqlite:/srv/state.db"), Some("/srv/state.db".into()));
        assert_eq!(sqlite_file("sqlite:///srv/state.db?mode=rwc"), Some("/srv/state.db".into()));
        assert_eq!(sqlite_file("sqlite::memory:"), None);
        assert_eq!(sqlite_file("postgres://host/db"), None);
    }
}
