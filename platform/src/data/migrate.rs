//! Bringing the schema up to date. Each domain has a set of migrations with a history table of its own, so domains
//! number theirs without asking each other. Several nodes may run this at once.
use super::{DatabaseTarget, postgres, settings::PostgresTarget, sqlite};
use crate::error::{Error, Result};
use refinery::{Migration, Runner, Target};
use std::path::Path;

/// A set of migrations: the same file names for both databases. Made by [`migrations!`](crate::migrations).
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// What the history table is called after: `orders` for `orders_migrations`.
    pub set: &'static str,
    /// Name, text for PostgreSQL, text for SQLite, in order.
    pub files: &'static [(&'static str, &'static str, &'static str)],
}

/// `migrations!("orders", ["V1__orders"])` takes `migrations/postgres/V1__orders.sql` and
/// `migrations/sqlite/V1__orders.sql` of the crate into the binary.
#[macro_export]
macro_rules! migrations {
    ($set:literal, [$($file:literal),+ $(,)?]) => {
        $crate::data::Migrations {
            set: $set,
            files: &[$((
                $file,
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/", $file, ".sql")),
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite/", $file, ".sql")),
            )),+],
        }
    };
}

/// One migration, for `tenantry migrate --status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// `orders V1__orders`.
    pub name: String,
    /// Whether this database has it.
    pub applied: bool,
}

enum Dialect {
    Postgres,
    Sqlite,
}

impl Migrations {
    fn table(&self) -> String {
        format!("{}_migrations", self.set)
    }

    fn read(&self, dialect: &Dialect) -> Result<Vec<Migration>> {
        let read = |(name, postgres, sqlite): &(&str, &str, &str)| {
            let text = if matches!(dialect, Dialect::Postgres) { postgres } else { sqlite };
            Migration::unapplied(name, text).map_err(Error::internal)
        };
        self.files.iter().map(read).collect()
    }

    fn runner(&self, files: &[Migration]) -> Runner {
        let mut runner = Runner::new(files);
        runner.set_migration_table_name(self.table());
        // a node may start on a database that a newer one has brought further: while they are replaced, and to go back
        runner.set_abort_missing(false)
    }

    /// What brings a database up to each of the migrations in turn. Grouped: on SQLite refinery otherwise notes in a
    /// transaction of its own that one is applied, so a node that is killed in between leaves a schema that no node can
    /// bring further.
    fn steps(&self, dialect: &Dialect) -> Result<Vec<(String, Runner)>> {
        let files = self.read(dialect)?;
        let step = |file: &Migration| {
            let runner = self.runner(&files).set_grouped(true);
            (format!("{} {file}", self.set), runner.set_target(Target::Version(file.version())))
        };
        Ok(files.iter().map(step).collect())
    }

    fn states(&self, applied: &[Migration]) -> Vec<MigrationState> {
        let applied: Vec<_> =
            applied.iter().map(|m| format!("{}{}__{}", m.prefix(), m.version(), m.name())).collect();
        let state = |name: &str| MigrationState {
            name: format!("{} {name}", self.set),
            applied: applied.iter().any(|a| a == name),
        };
        self.files.iter().map(|(name, ..)| state(name)).collect()
    }
}

/// How often another node may make the same roles at this moment, for another database of the server.
const TRIES: usize = 5;

/// Applies what is missing; safe when several nodes do so at once.
pub async fn migrate(target: &DatabaseTarget, sets: &[Migrations]) -> Result<()> {
    let mut left = TRIES;
    loop {
        let before = states(target, sets).await?;
        let outcome = match target {
            DatabaseTarget::Postgres(target) => migrate_postgres(target, sets).await,
            DatabaseTarget::Sqlite(path) => sqlite::blocking(|| migrate_sqlite(path, sets)),
        };
        let Err(error) = outcome else { return Ok(()) };
        // another node was faster; each time there is one less to apply
        if states(target, sets).await? != before {
            continue;
        }
        if left == 0 || !format!("{error:?}").contains("concurrently updated") {
            return Err(error);
        }
        left -= 1;
    }
}

/// Whether `DATABASE_URL` names a superuser, whom row-level security would not bind but for the roles of the service.
pub async fn is_superuser(target: &DatabaseTarget) -> Result<bool> {
    let DatabaseTarget::Postgres(target) = target else {
        return Ok(false);
    };
    let client = target.connect().await?;
    let asked = client.query_one("SELECT rolsuper FROM pg_roles WHERE rolname = session_user", &[]).await;
    Ok(asked.map_err(Error::unavailable)?.get(0))
}

/// All migrations and whether this database has them.
pub async fn states(target: &DatabaseTarget, sets: &[Migrations]) -> Result<Vec<MigrationState>> {
    let mut states = Vec::new();
    match target {
        DatabaseTarget::Postgres(target) => {
            let mut client = target.connect().await?;
            for set in sets {
                let known =
                    client.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&set.table()]).await;
                let applied = if known.map_err(Error::unavailable)?.get(0) {
                    let runner = set.runner(&set.read(&Dialect::Postgres)?);
                    runner.get_applied_migrations_async(&mut client).await.map_err(Error::unavailable)?
                } else {
                    Vec::new()
                };
                states.extend(set.states(&applied));
            }
        }
        DatabaseTarget::Sqlite(path) => sqlite::blocking(|| {
            if !path.exists() {
                states = sets.iter().flat_map(|set| set.states(&[])).collect(); // asking makes no file
                return Ok(());
            }
            let mut conn = sqlite::connect(path, true)?;
            for set in sets {
                let applied =
                    if conn.table_exists(None::<&str>, set.table().as_str()).map_err(sqlite::classified)? {
                        set.runner(&set.read(&Dialect::Sqlite)?)
                            .get_applied_migrations(&mut conn)
                            .map_err(Error::unavailable)?
                    } else {
                        Vec::new()
                    };
                states.extend(set.states(&applied));
            }
            Ok::<_, Error>(())
        })?,
    }
    Ok(states)
}

async fn migrate_postgres(target: &PostgresTarget, sets: &[Migrations]) -> Result<()> {
    let mut client = target.connect().await?;
    // held until the connection closes; the number is the first bytes of SHA-256("tenantry migrations")
    client.batch_execute("SELECT pg_advisory_lock(5404319552844595557)").await.map_err(Error::unavailable)?;
    for set in sets {
        for (name, step) in set.steps(&Dialect::Postgres)? {
            step.run_async(&mut client).await.map_err(|e| explained(&name, &e))?;
        }
        let grant = format!("GRANT SELECT ON {} TO PUBLIC", set.table());
        client.batch_execute(&grant).await.map_err(Error::internal)?;
    }
    Ok(())
}

fn migrate_sqlite(path: &Path, sets: &[Migrations]) -> Result<()> {
    let mut conn = sqlite::connect(path, true)?;
    for set in sets {
        for (name, step) in set.steps(&Dialect::Sqlite)? {
            step.run(&mut conn).map_err(|e| explained(&name, &e))?;
        }
    }
    Ok(())
}

fn explained(name: &str, error: &refinery::Error) -> Error {
    Error::internal(format!("migration {name}: {}", postgres::with_sources(error)))
}
