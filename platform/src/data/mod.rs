//! The tenant-scoped data layer: one SQL text and one row mapping over PostgreSQL and SQLite.
//!
//! [`TenantConn`] runs statements for one tenant and binds that tenant to `$1` itself; whoever holds one has been
//! let in. [`SystemConn`] is for the little that has no tenant yet, under a named [`SystemReason`]. What differs
//! between the two databases stays in here.
mod bell;
mod bulk;
mod id;
mod migrate;
mod postgres;
mod row;
mod settings;
mod sql;
mod sqlite;
mod system;
mod tenant;
pub(crate) mod tls;
mod waiting;

pub use bell::Topic;
pub use bulk::{Bulk, BulkColumn};
pub use id::{first_at, id_at, made_at, new_id};
pub use migrate::{MigrationState, Migrations, is_superuser, migrate, states};
pub use row::{Column, FromRow, Param, Row};
pub(crate) use settings::is_loopback;
pub use settings::{DatabaseSettings, DatabaseTarget};
pub(crate) use sql::SharedInsert;
pub use sql::Sql;
pub use system::{SystemConn, SystemReason, SystemSql};
pub use tenant::{Gate, TenantConn};

use crate::{error::Result, values::Timestamp};
use bell::Bells;
use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};
use tenant::Backend;
use uuid::Uuid;

/// How long a statement may run.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may wait for what another holds.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Where the work of a transaction begins that may be taken back while the transaction goes on.
const SAVEPOINT: &str = "SAVEPOINT work";
/// Takes it back.
const UNDO: &str = "ROLLBACK TO SAVEPOINT work";
/// How long a statement waits for those before it to be sent. Only one that was polled and set aside takes this long.
const TURN: Duration = Duration::from_secs(5);
/// What is wrong then.
const SET_ASIDE: &str = "a statement waited for one before it that was polled and set aside";

/// The cause of an error: what another holds was waited for, and not given up in time.
#[derive(Debug)]
pub(crate) struct Contended(Box<dyn StdError + Send + Sync>);

impl Contended {
    fn new(why: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Contended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Contended {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Whether a transaction may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The database refuses changes; all statements see one state.
    Read,
    /// Changes, committed together.
    Write,
}

/// What a transaction is opened with.
#[derive(Clone)]
struct Opening {
    mode: Mode,
    /// `None` for the system, which sees all tenants.
    tenant: Option<Uuid>,
    gate: Option<Arc<dyn Gate>>,
}

/// The database.
#[derive(Clone)]
pub struct Db {
    pools: Pools,
    /// Rung by commits that leave work behind.
    bells: Arc<Bells>,
}

/// How the connections are used just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// How many there may be.
    pub most: usize,
    /// How many there are.
    pub open: usize,
    /// How many of them nobody uses.
    pub idle: usize,
    /// How many transactions wait for one.
    pub waiting: usize,
}

#[derive(Clone)]
enum Pools {
    Postgres(postgres::Server),
    Sqlite(Arc<sqlite::Files>),
}

impl Db {
    /// Opens the database. PostgreSQL is first spoken to by the first statement or by [`ping`](Self::ping).
    pub fn open(settings: &DatabaseSettings) -> Result<Self> {
        let pools = match &settings.target {
            DatabaseTarget::Postgres(config) => {
                Pools::Postgres(postgres::Server::new(config.as_ref().clone(), settings)?)
            }
            DatabaseTarget::Sqlite(path) => Pools::Sqlite(Arc::new(sqlite::Files::open(path, settings)?)),
        };
        Ok(Self { pools, bells: Arc::default() })
    }

    fn begin(&self, opening: Opening, at_once: bool) -> Backend {
        match &self.pools {
            Pools::Postgres(server) => {
                Backend::Postgres(postgres::PgTx::new(server.clone(), opening, at_once))
            }
            Pools::Sqlite(files) => Backend::Sqlite(sqlite::LiteTx::new(files.clone(), opening)),
        }
    }

    /// A transaction of this tenant, behind a gate that is asked in the flight that opens it.
    pub(crate) fn tenant(&self, tenant: Uuid, mode: Mode, now: Timestamp, gate: Arc<dyn Gate>) -> TenantConn {
        let opening = Opening { mode, tenant: Some(tenant), gate: Some(gate) };
        TenantConn::new(self.begin(opening, false), tenant, now, self.bells.clone())
    }

    /// The same for a read whose statements leave together, once they are told to: see [`TenantConn::leave`].
    pub(crate) fn tenant_at_once(&self, tenant: Uuid, now: Timestamp, gate: Arc<dyn Gate>) -> TenantConn {
        let opening = Opening { mode: Mode::Read, tenant: Some(tenant), gate: Some(gate) };
        TenantConn::new(self.begin(opening, true), tenant, now, self.bells.clone())
    }

    /// Runs a use case for a tenant without anybody signed in: what happens before a session is there.
    pub(crate) async fn as_tenant<T>(
        &self,
        reason: SystemReason,
        tenant: Uuid,
        now: Timestamp,
        work: impl AsyncFnOnce(&TenantConn) -> Result<T>,
    ) -> Result<T> {
        reason.count();
        let opening = Opening { mode: Mode::Write, tenant: Some(tenant), gate: None };
        let conn = TenantConn::new(self.begin(opening, false), tenant, now, self.bells.clone());
        let value = work(&conn).await?;
        conn.commit().await?;
        Ok(value)
    }

    /// Runs statements that see all tenants.
    pub(crate) async fn system<T>(
        &self,
        reason: SystemReason,
        mode: Mode,
        work: impl AsyncFnOnce(&SystemConn) -> Result<T>,
    ) -> Result<T> {
        reason.count();
        let conn = SystemConn::new(self.begin(Opening { mode, tenant: None, gate: None }, false));
        let value = work(&conn).await?;
        conn.commit().await?;
        Ok(value)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.system(SystemReason::Health, Mode::Read, async |conn| conn.alive().await).await
    }

    /// Which of the two it is, for the log and for readiness.
    pub fn kind(&self) -> &'static str {
        match self.pools {
            Pools::Postgres(_) => "postgresql",
            Pools::Sqlite(_) => "sqlite",
        }
    }

    /// How its connections are used.
    pub fn pool(&self) -> PoolState {
        match &self.pools {
            Pools::Postgres(server) => server.pool(),
            Pools::Sqlite(files) => files.pool(),
        }
    }

    /// Closes what is idle; what is in use closes when it comes back.
    pub fn close(&self) {
        if let Pools::Postgres(server) = &self.pools {
            server.close();
        }
    }
}
