//! SQLite: the same transactions over one writer and several readers of a file in WAL mode.
mod statement;

pub(super) use statement::{blocking, classified};

use self::statement::{control, look, query};
use super::{
    Contended, DatabaseSettings, FromRow, LOCK_TIMEOUT, Mode, Opening, Param, PoolState, Row, SET_ASIDE,
    STATEMENT_TIMEOUT, TURN, UNDO, waiting::Waiting,
};
use crate::{
    error::{Error, Result},
    values::Timestamp,
};
use rusqlite::{Connection, functions::FunctionFlags};
use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::{self, Arc},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// One writer behind an async mutex, so that nobody spins on SQLITE_BUSY, and at most as many readers as a pool would have.
pub(super) struct Files {
    path: PathBuf,
    durable: bool,
    acquire_timeout: Duration,
    writer: Arc<Mutex<Connection>>,
    readers: sync::Mutex<Vec<Connection>>,
    reading: Arc<Semaphore>,
    most_readers: usize,
    waiting: Waiting,
}

impl Files {
    pub fn open(path: &Path, settings: &DatabaseSettings) -> Result<Self> {
        let writer = connect(path, settings.durable)?;
        Ok(Self {
            path: path.into(),
            durable: settings.durable,
            acquire_timeout: settings.acquire_timeout,
            writer: Arc::new(Mutex::new(writer)),
            readers: sync::Mutex::default(),
            reading: Arc::new(Semaphore::new(settings.connections)),
            most_readers: settings.connections,
            waiting: Waiting::default(),
        })
    }

    /// One that cannot write, from its beginning: to say so expires all prepared statements.
    fn reader(&self) -> Result<Connection> {
        let conn = connect(&self.path, self.durable)?;
        conn.execute_batch("PRAGMA query_only = ON").map_err(classified)?;
        Ok(conn)
    }

    /// Readers and the writer.
    pub fn pool(&self) -> PoolState {
        let readers = lock(&self.readers).len();
        let reading = self.most_readers.saturating_sub(self.reading.available_permits());
        let writing = usize::from(self.writer.try_lock().is_err());
        PoolState {
            most: self.most_readers + 1,
            open: readers + reading + 1,
            idle: readers + 1 - writing,
            waiting: self.waiting.count(),
        }
    }

    async fn hold(&self, mode: Mode) -> Result<Held> {
        let _waits = self.waiting.one_more();
        let full = |_| Error::unavailable(Contended::new("waited too long for the database"));
        match mode {
            Mode::Write => {
                let writer = tokio::time::timeout(self.acquire_timeout, self.writer.clone().lock_owned());
                Ok(Held::Writer(writer.await.map_err(full)?))
            }
            Mode::Read => {
                let permit = tokio::time::timeout(self.acquire_timeout, self.reading.clone().acquire_owned());
                let permit = permit.await.map_err(full)?.map_err(Error::unavailable)?;
                let idle = lock(&self.readers).pop();
                let conn = idle.map_or_else(|| self.reader(), Ok)?;
                Ok(Held::Reader(conn, permit))
            }
        }
    }
}

/// Nothing panics under this lock; if something did, a list of idle connections is still sound.
fn lock(readers: &sync::Mutex<Vec<Connection>>) -> sync::MutexGuard<'_, Vec<Connection>> {
    readers.lock().unwrap_or_else(sync::PoisonError::into_inner)
}

/// A new file is its owner's alone: there are password hashes in it. What SQLite puts beside it has the same rights.
fn create(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// Opens the file as every connection has it.
pub(super) fn connect(path: &Path, durable: bool) -> Result<Connection> {
    create(path).map_err(|e| Error::unavailable(format!("{}: {e}", path.display())))?;
    let conn = Connection::open(path).map_err(|e| Error::unavailable(format!("{}: {e}", path.display())))?;
    let synchronous = if durable { "FULL" } else { "NORMAL" };
    conn.busy_timeout(LOCK_TIMEOUT).map_err(classified)?;
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON; \
         PRAGMA trusted_schema = OFF; PRAGMA cache_size = -2000"
    ))
    .map_err(classified)?;
    conn.set_prepared_statement_cache_capacity(256);
    // the one function of PostgreSQL that statements use: the clock that all nodes share, and here there is one node
    conn.create_scalar_function("clock_timestamp", 0, FunctionFlags::SQLITE_UTF8, |_| {
        #[expect(clippy::disallowed_methods, reason = "this is the database's clock")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Timestamp::from_micros(0).plus(since))
    })
    .map_err(classified)?;
    Ok(conn)
}

enum Held {
    Reader(Connection, OwnedSemaphorePermit),
    Writer(OwnedMutexGuard<Connection>),
}

impl Deref for Held {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        match self {
            Self::Reader(conn, _) => conn,
            Self::Writer(conn) => conn,
        }
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Connection {
        match self {
            Self::Reader(conn, _) => conn,
            Self::Writer(conn) => conn,
        }
    }
}

pub(super) struct LiteTx {
    files: Arc<Files>,
    opening: Opening,
    turn: Mutex<Turn>,
}

/// `held` is `None` until the first statement, and again once the transaction has ended.
#[derive(Default)]
struct Turn {
    held: Option<Held>,
    /// Why it could not begin. It is not tried again: each try may wait as long as the first.
    failed: Option<Error>,
}

impl LiteTx {
    pub fn new(files: Arc<Files>, opening: Opening) -> Self {
        Self { files, opening, turn: Mutex::default() }
    }

    pub async fn run<T: FromRow>(
        &self,
        sql: &str,
        tenant: Option<&Uuid>,
        params: &[&dyn Param],
    ) -> Result<(Vec<T>, u64)> {
        let mut turn = self.take_turn().await?;
        let conn = self.opened(&mut turn).await?;
        match self.opening.mode {
            Mode::Read => look(conn, sql, tenant, params, T::from_row),
            Mode::Write => {
                blocking(|| query(conn, STATEMENT_TIMEOUT, Mode::Write, sql, tenant, params, T::from_row))
            }
        }
    }

    pub async fn check(&self) -> Result<()> {
        self.opened(&mut *self.take_turn().await?).await.map(drop)
    }

    /// Waits for the statements before it, of which one may wait for the writer. See [`TURN`].
    async fn take_turn(&self) -> Result<MutexGuard<'_, Turn>> {
        let turn = tokio::time::timeout(TURN, self.turn.lock()).await;
        turn.map_err(|_| Error::internal(SET_ASIDE))
    }

    pub async fn commit(mut self) -> Result<()> {
        if self.opening.mode == Mode::Read {
            return Ok(());
        }
        let held = &mut self.turn.get_mut().held;
        let Some(conn) = held else {
            return Ok(());
        };
        blocking(|| control(conn, "COMMIT")).map_err(classified)?; // if it fails, the drop rolls back
        *held = None;
        Ok(())
    }

    /// Takes back, if so asked, what was done since the savepoint, runs a last statement, and commits.
    pub async fn commit_with(
        mut self,
        undo: bool,
        sql: &str,
        tenant: &Uuid,
        params: &[&dyn Param],
    ) -> Result<()> {
        let mode = self.opening.mode;
        let held = &mut self.turn.get_mut().held;
        let conn = held.as_mut().ok_or_else(|| Error::internal("there is nothing to commit"))?;
        blocking(|| {
            if undo {
                conn.execute_batch(UNDO).map_err(classified)?;
            }
            query(conn, STATEMENT_TIMEOUT, mode, sql, Some(tenant), params, <()>::from_row)
        })?;
        self.commit().await
    }

    async fn opened<'t>(&self, turn: &'t mut Turn) -> Result<&'t mut Held> {
        if let Some(error) = &turn.failed {
            return Err(error.clone());
        }
        if turn.held.is_none()
            && let Err(error) = self.open(&mut turn.held).await
        {
            self.end(turn.held.take());
            turn.failed = Some(error.clone());
            return Err(error);
        }
        turn.held.as_mut().ok_or_else(|| Error::internal("a transaction was not opened"))
    }

    async fn open(&self, held: &mut Option<Held>) -> Result<()> {
        let conn = held.insert(self.files.hold(self.opening.mode).await?); // so that whatever is next is rolled back
        match self.opening.mode {
            Mode::Read => control(conn, "BEGIN"), // takes no lock
            Mode::Write => blocking(|| control(conn, "BEGIN IMMEDIATE")),
        }
        .map_err(classified)?;
        self.ask(conn)
    }

    fn ask(&self, conn: &mut Connection) -> Result<()> {
        let (Some(gate), tenant) = (&self.opening.gate, self.opening.tenant) else {
            return Ok(());
        };
        let (sql, params) = gate.question();
        let mut outcome = None;
        look(conn, sql.sqlite, tenant.as_ref(), &params, |row| {
            outcome.get_or_insert_with(|| {
                gate.admit(Some(Row::Sqlite(match row {
                    Row::Sqlite(row) => row,
                    Row::Postgres(_) => return Ok(()),
                })))
            });
            Ok(())
        })?;
        outcome.unwrap_or_else(|| gate.admit(None))
    }

    fn end(&self, held: Option<Held>) {
        let Some(held) = held else { return };
        let ended = control(&held, "ROLLBACK").is_ok() || held.is_autocommit();
        if let (Held::Reader(conn, permit), true) = (held, ended) {
            lock(&self.files.readers).push(conn);
            drop(permit);
        }
    }
}

impl Drop for LiteTx {
    fn drop(&mut self) {
        let held = self.turn.get_mut().held.take();
        self.end(held);
    }
}
