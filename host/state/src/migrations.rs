//! The state store's tables, version by version: `migrations/both`, and `sqlite` and `postgres` where their SQL differs.
//!
//! All that is missing is applied in one transaction, so a process that dies leaves the version of before, and of
//! several processes one does it.

use sqlx::AnyConnection;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Connection, Row, SqlSafeStr};

use crate::database::{Kind, begin};
use crate::error::Error;

/// Version, description, and the SQL for SQLite and PostgreSQL.
type Entry = (i64, &'static str, &'static str, &'static str);

macro_rules! migrations {
    ($($version:literal $name:literal in $sqlite:literal $postgres:literal,)+) => {
        &[$((
            $version,
            $name,
            include_str!(concat!("../migrations/", $sqlite, "/", $name, ".sql")),
            include_str!(concat!("../migrations/", $postgres, "/", $name, ".sql")),
        ),)+]
    };
}

/// In their order. One that was released never changes: its checksum is in the stores that it was applied to.
const MIGRATIONS: &[Entry] = migrations! {
    1 "0001_first_release" in "both" "both",
    2 "0002_leases" in "sqlite" "postgres",
    3 "0003_schedule_times" in "both" "both",
    4 "0004_cursors_by_rule" in "both" "both",
    5 "0005_identity" in "sqlite" "postgres",
    6 "0006_profiles" in "both" "both",
    7 "0007_widths" in "both" "both",
    8 "0008_pauses" in "both" "both",
    9 "0009_api" in "both" "both",
    10 "0010_alarms" in "both" "both",
    11 "0011_many_hosts" in "both" "both",
    12 "0012_budgets" in "both" "both",
    13 "0013_jobs" in "both" "both",
    14 "0014_outlets" in "both" "both",
    15 "0015_rule_reads" in "both" "both",
    16 "0016_erasures" in "both" "both",
    17 "0017_wire" in "both" "both",
};

/// What processes that migrate at once wait for in PostgreSQL: "sluice" in ASCII. It is held by the transaction.
const LOCK: &str = "SELECT pg_advisory_xact_lock(126909663503205)";
/// sqlx gives its statements names here, which a pooler's next client would stumble over.
const FORGET_STATEMENTS: &str = "DEALLOCATE ALL";

/// Brings the tables to this version.
///
/// # Errors
/// A settings failure; if a newer version of sluice has migrated it, one that names this.
pub(crate) async fn run(connection: &mut AnyConnection, kind: Kind) -> Result<(), Error> {
    if is_current(connection, kind).await {
        return Ok(());
    }
    let migrated = apply(connection, kind).await;
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(version) => Error::Schema {
            message: format!(
                "the state store was made by a newer sluice: its version is {version}, and this one knows {}",
                MIGRATIONS.len()
            ),
            hint: "run the newer sluice; or name another store in state.url, so that networks are read anew",
        },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Error::Migrate(error),
        other => Error::Schema {
            message: format!("cannot make the state store's tables: {other}"),
            hint: "restore the state store from a backup; or name another one in state.url, so that networks are read anew",
        },
    })
}

/// Whether nothing is to be done, found out without waiting for those who write.
async fn is_current(connection: &mut AnyConnection, kind: Kind) -> bool {
    let newest = async {
        let mut transaction = connection.begin().await?;
        let query = sqlx::query("SELECT count(*), max(version) FROM _sqlx_migrations");
        let row = query.persistent(kind == Kind::Sqlite).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>((row.try_get::<i64, _>(0)?, row.try_get::<Option<i64>, _>(1)?))
    };
    // Without the table there is all to be done; whatever else fails here fails again where it is reported.
    let count = MIGRATIONS.len() as i64;
    newest.await.is_ok_and(|found| found == (count, MIGRATIONS.last().map(|(version, ..)| *version)))
}

async fn apply(connection: &mut AnyConnection, kind: Kind) -> Result<(), MigrateError> {
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().map(|entry| migration(entry, kind)).collect());
    // Its own lock belongs to a session.
    migrator.set_locking(false);
    let mut transaction = connection.begin_with(begin(kind)).await?;
    if kind == Kind::Postgres {
        sqlx::raw_sql(LOCK).execute(&mut *transaction).await?;
        sqlx::raw_sql(FORGET_STATEMENTS).execute(&mut *transaction).await?;
    }
    migrator.run(&mut *transaction).await?;
    if kind == Kind::Postgres {
        sqlx::raw_sql(FORGET_STATEMENTS).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

fn migration((version, name, sqlite, postgres): &Entry, kind: Kind) -> Migration {
    let sql = match kind {
        Kind::Sqlite => *sqlite,
        Kind::Postgres => *postgres,
    };
    Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;
    use std::str::FromStr;

    use sqlx::ConnectOptions;
    use sqlx::any::AnyConnectOptions;

    use super::*;
    use crate::State;

    /// The checksums of all migrations, as `sha384sum` writes and checks them.
    const CHECKSUMS: &str = include_str!("../migrations/SHA384SUMS");

    /// What the release before migrations wrote, into the tables of the first one.
    const EARLIER_STORE: &str = include_str!("earlier_store.sql");

    async fn connect(path: &Path) -> AnyConnection {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite:{}?mode=rwc", path.display());
        AnyConnectOptions::from_str(&url).unwrap().connect().await.unwrap()
    }

    #[test]
    fn every_file_is_a_migration_of_both_databases() {
        let files = |folder: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
            std::fs::read_dir(path).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap())
        };
        let listed: Vec<String> = MIGRATIONS.iter().map(|(_, name, ..)| format!("{name}.sql")).collect();
        for folder in ["sqlite", "postgres"] {
            let mut found: Vec<String> = files("both").chain(files(folder)).collect();
            found.sort();
            assert_eq!(found, listed, "{folder}");
        }
        for (version, name, ..) in MIGRATIONS {
            assert!(name.starts_with(&format!("{version:04}_")), "{name}");
        }
    }

    /// A store refuses a migration that isn't the one that it was migrated by: a change of a table is a further migration, and a
    /// line of `SHA384SUMS`.
    #[test]
    fn no_migration_is_changed_once_it_is_there() {
        for kind in [Kind::Sqlite, Kind::Postgres] {
            let folder = if kind == Kind::Sqlite { "sqlite" } else { "postgres" };
            for entry in MIGRATIONS {
                let sum: String = migration(entry, kind).checksum.iter().map(|byte| format!("{byte:02x}")).collect();
                let lines = ["both", folder].map(|folder| format!("{sum}  {folder}/{}.sql", entry.1));
                let is_listed = CHECKSUMS.lines().any(|line| lines.iter().any(|listed| listed == line));
                assert!(is_listed, "{} was edited, or SHA384SUMS lacks it: {}", entry.1, lines.join(", or "));
            }
        }
        let files = MIGRATIONS.iter().map(|(_, _, sqlite, postgres)| if sqlite == postgres { 1 } else { 2 });
        assert_eq!(CHECKSUMS.lines().count(), files.sum::<usize>());
    }

    #[tokio::test]
    async fn a_store_of_the_release_before_migrations_is_adopted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let mut earlier = connect(&path).await;
        for sql in [MIGRATIONS[0].2, EARLIER_STORE] {
            sqlx::raw_sql(sql).execute(&mut earlier).await.unwrap();
        }
        earlier.close().await.unwrap();

        let state = State::open(&format!("sqlite:{}", path.display())).await.unwrap();
        let runs = state.unfinished_runs("awin").await.unwrap();
        assert_eq!(runs.len(), 1, "a run that was interrupted is resumed by the newer version");
        assert_eq!(runs[0].run_id, "0199f3a0-0000-7000-8000-000000000001");
        assert_eq!(runs[0].slices.len(), 1);
        assert_eq!(runs[0].slices[0].slice.account, "uk");
        assert_eq!(runs[0].selection.rules, Some(Vec::new()), "rules by place are forgotten");
        let times = state.schedule_times("awin").await.unwrap();
        assert_eq!(times.started_at(None), Some("2026-01-05T10:00:00Z".parse().unwrap()));
        assert_eq!(times.read_at("0", None), None, "a rule that is kept by its place is due");
        assert_eq!(state.maintained_at().await.unwrap(), Some("2026-01-05T03:00:00Z".parse().unwrap()));
        let active = state.active("awin.wasm", Some("awin")).await.unwrap().unwrap();
        assert_eq!(active.version, "1.2.0");
        let mut connection = connect(&path).await;
        let tokens =
            sqlx::query("SELECT sealed FROM tokens WHERE version = 3").fetch_all(&mut connection).await.unwrap();
        assert_eq!(tokens[0].try_get::<String, _>(0).unwrap(), "v1.sealed", "a token can't be had again");
        let words = sqlx::query("SELECT word FROM connector_words").fetch_all(&mut connection).await.unwrap();
        assert_eq!(words.len(), 1);
    }

    #[tokio::test]
    async fn migrations_run_once() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("state.db").display());
        let opened = futures::future::join_all((0..8).map(|_| State::open(&url))).await;
        assert!(opened.iter().all(Result::is_ok), "whoever opens it at once waits");
        let mut connection = connect(&folder.path().join("state.db")).await;
        let applied = sqlx::query("SELECT version FROM _sqlx_migrations").fetch_all(&mut connection).await.unwrap();
        assert_eq!(applied.len(), MIGRATIONS.len());
    }

    #[tokio::test]
    async fn a_store_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let url = format!("sqlite:{}", path.display());
        State::open(&url).await.unwrap();
        let mut connection = connect(&path).await;
        let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                     VALUES (9999, 'later', TRUE, x'00', 0)";
        sqlx::raw_sql(later).execute(&mut connection).await.unwrap();
        let failure = State::open(&url).await.err().unwrap();
        assert!(failure.is_settings());
        assert!(failure.to_string().contains("made by a newer sluice"), "{failure:?}");
    }
}
