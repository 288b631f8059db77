//! The connection that stores take.
use super::{
    Bulk, BulkColumn, FromRow, Param, Row, SAVEPOINT, SharedInsert, Sql, Topic, UNDO, bell::Bells,
    bulk::Array, postgres::PgTx, sqlite::LiteTx,
};
use crate::{
    error::{Error, Result},
    values::Timestamp,
};
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::Waker,
};
use tokio::sync::Notify;
use tracing::{Instrument, Span};
use uuid::Uuid;

/// Asked in the flight that opens a transaction, before any row is handed out: may this caller come in?
pub trait Gate: Send + Sync {
    /// The question, and its parameters from `$2` on.
    fn question(&self) -> (Sql, Vec<&dyn Param>);
    /// Judges the answer: the row, if there was one.
    fn admit(&self, row: Option<Row<'_>>) -> Result<()>;
}

pub(super) enum Backend {
    Postgres(PgTx),
    Sqlite(LiteTx),
}

/// Runs statements for one tenant, which it binds to `$1` itself; `params` begin at `$2`.
///
/// Nothing is sent before the first statement. Statements that are polled together (`try_join!`) leave together, in the
/// order of their first poll, and the first of them takes along the transaction's opening and the question of the
/// gate. Await a statement or join it with others; one that was polled and then set aside holds up those after it, and
/// they fail after five seconds.
///
/// A statement that failed or was dropped unfinished forbids the commit, also where its error was swallowed.
pub struct TenantConn {
    backend: Backend,
    tenant: Uuid,
    now: Timestamp,
    unsettled: AtomicUsize,
    bells: Arc<Bells>,
    rings: [AtomicBool; 2],
    held: Held,
}

impl TenantConn {
    pub(super) fn new(backend: Backend, tenant: Uuid, now: Timestamp, bells: Arc<Bells>) -> Self {
        Self {
            backend,
            tenant,
            now,
            unsettled: AtomicUsize::new(0),
            bells,
            rings: Default::default(),
            held: Held::default(),
        }
    }

    /// Whose rows these are.
    pub fn tenant_id(&self) -> Uuid {
        self.tenant
    }

    /// The instant of this transaction: taken once, so all that it writes has one time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// An identifier for something that this transaction makes.
    pub fn new_id(&self) -> Uuid {
        super::new_id(self.now)
    }

    /// The one row of the answer; none is a fault of the caller.
    pub async fn fetch_one<T: FromRow>(&self, sql: Sql, params: &[&dyn Param]) -> Result<T> {
        self.fetch_optional(sql, params).await?.ok_or_else(|| Error::internal("a statement answered no row"))
    }

    /// The first row of the answer, if any.
    pub async fn fetch_optional<T: FromRow>(&self, sql: Sql, params: &[&dyn Param]) -> Result<Option<T>> {
        Ok(self.fetch_all(sql, params).await?.into_iter().next())
    }

    /// All rows of the answer.
    pub async fn fetch_all<T: FromRow>(&self, sql: Sql, params: &[&dyn Param]) -> Result<Vec<T>> {
        Ok(self.run(sql, params).await?.0)
    }

    /// The number of rows changed.
    pub async fn execute(&self, sql: Sql, params: &[&dyn Param]) -> Result<u64> {
        Ok(self.run::<()>(sql, params).await?.1)
    }

    /// Inserts many rows, a column at a time: in one statement on PostgreSQL, one by one on SQLite, where that is as fast.
    pub async fn insert_all(&self, bulk: Bulk, columns: &[&dyn BulkColumn]) -> Result<()> {
        let rows = bulk.rows(columns);
        let rows = rows.ok_or_else(|| Error::internal("columns are missing, or of different lengths"))?;
        let inserted = async {
            match &self.backend {
                Backend::Postgres(tx) => {
                    let arrays: Vec<_> = columns.iter().map(|column| Array(*column)).collect();
                    let params: Vec<_> = arrays.iter().map(|array| array as &dyn Param).collect();
                    tx.run(&bulk.postgres(), Some(&self.tenant), &params).await?;
                }
                Backend::Sqlite(tx) => {
                    let sql = bulk.sqlite();
                    for row in 0..rows {
                        let params: Vec<_> = columns.iter().filter_map(|column| column.value(row)).collect();
                        tx.run::<()>(&sql, Some(&self.tenant), &params).await?;
                    }
                }
            }
            Ok(())
        };
        self.settle(inserted).await
    }

    /// Adds a row to a table without tenants' rows: whether it was added. Nothing is bound; `params` begin at `$1`.
    pub(crate) async fn insert_shared(&self, insert: SharedInsert, params: &[&dyn Param]) -> Result<bool> {
        let (_, added) = self.settle(self.backend.run::<()>(insert.0, insert.0, None, params)).await?;
        Ok(added == 1)
    }

    async fn run<T: FromRow>(&self, sql: Sql, params: &[&dyn Param]) -> Result<(Vec<T>, u64)> {
        self.settle(self.backend.run(sql.postgres, sql.sqlite, Some(&self.tenant), params)).await
    }

    async fn settle<T>(&self, statement: impl Future<Output = Result<T>>) -> Result<T> {
        self.unsettled.fetch_add(1, Relaxed);
        let held = self.held.now.load(SeqCst);
        let answer = statement.await;
        if held {
            self.held.until_released().await;
        }
        let answer = answer?;
        self.unsettled.fetch_sub(1, Relaxed); // not reached by a statement that failed or was dropped
        Ok(answer)
    }

    /// From here on statements are sent, and nobody learns what came of them.
    pub(crate) fn hold_answers(&self) {
        self.held.now.store(true, SeqCst);
    }

    /// Hands out the answers that were held.
    pub(crate) fn release_answers(&self) {
        self.held.now.store(false, SeqCst);
        self.held.released.notify_waiters();
    }

    /// Wakes whoever waits for work of this topic once this has committed, and only then.
    pub(crate) fn ring_after_commit(&self, topic: Topic) {
        self.rings[topic as usize].store(true, Relaxed);
    }

    /// Of a read that is sent at once: sends what it has asked for, when it is polled the next time, if all of that is ready:
    /// whether it is. On SQLite a statement has its answer when it is polled.
    pub(crate) fn leave(&self, task: &Waker) -> bool {
        match &self.backend {
            Backend::Postgres(tx) => tx.leave(task),
            Backend::Sqlite(_) => false,
        }
    }

    /// Behind each poll of a read that is sent at once, until it has ended: see [`leave`](Self::leave).
    pub(crate) fn see_off(&self, task: &Waker) {
        if let Backend::Postgres(tx) = &self.backend {
            tx.see_off(task);
        }
    }

    /// Whether the caller was let in; asks now if no statement has asked yet.
    pub(crate) async fn check(&self) -> Result<()> {
        match &self.backend {
            Backend::Postgres(tx) => tx.check().await,
            Backend::Sqlite(tx) => tx.check().await,
        }
    }

    /// From here on it can be [taken back](Self::undo), while what was before it stays. Once a transaction.
    pub(crate) async fn savepoint(&self) -> Result<()> {
        self.backend.run::<()>(SAVEPOINT, SAVEPOINT, None, &[]).await.map(drop)
    }

    /// Takes back what was done since the savepoint, with the locks that this took. What failed or was abandoned there
    /// does not matter any more to statements that come after it.
    pub(crate) async fn undo(&self) -> Result<()> {
        match &self.backend {
            Backend::Postgres(tx) => tx.undo().await,
            Backend::Sqlite(tx) => tx.run::<()>(UNDO, None, &[]).await.map(drop),
        }
    }

    /// PostgreSQL answers the COMMIT of a failed transaction with a quiet ROLLBACK, hence the count.
    pub(crate) async fn commit(self) -> Result<()> {
        self.check_settled()?;
        let rings = self.rings();
        self.backend.commit().await?;
        rings();
        Ok(())
    }

    /// Commits behind a last statement, in one flight: where the statement fails nothing is committed.
    pub(crate) async fn commit_with(self, sql: Sql, params: &[&dyn Param]) -> Result<()> {
        self.check_settled()?;
        let rings = self.rings();
        self.backend.commit_with(false, sql, &self.tenant, params).await?;
        rings();
        Ok(())
    }

    /// What is done once it has committed.
    fn rings(&self) -> impl Fn() + use<> {
        let (bells, rings) = (self.bells.clone(), self.rings.each_ref().map(|rings| rings.load(Relaxed)));
        move || {
            Topic::ALL
                .into_iter()
                .filter(|topic| rings[*topic as usize])
                .for_each(|topic| bells.committed(topic))
        }
    }

    /// The same, once what was done since the savepoint is taken back.
    pub(crate) async fn undo_and_commit_with(self, sql: Sql, params: &[&dyn Param]) -> Result<()> {
        self.backend.commit_with(true, sql, &self.tenant, params).await
    }

    fn check_settled(&self) -> Result<()> {
        if self.unsettled.load(Relaxed) > 0 {
            return Err(Error::internal("a statement failed or was abandoned, and the use case went on"));
        }
        Ok(())
    }
}

/// Whether the answers of statements are held for now.
#[derive(Default)]
struct Held {
    now: AtomicBool,
    released: Notify,
}

impl Held {
    async fn until_released(&self) {
        let mut released = std::pin::pin!(self.released.notified());
        released.as_mut().enable(); // before the look, so that a release between the two is not missed
        if self.now.load(SeqCst) {
            released.await;
        }
    }
}

impl Backend {
    pub(super) async fn run<T: FromRow>(
        &self,
        postgres: &'static str,
        sqlite: &'static str,
        tenant: Option<&Uuid>,
        params: &[&dyn Param],
    ) -> Result<(Vec<T>, u64)> {
        tracing::debug!(target: "tenantry::sql", statement = sqlite, "statement"); // its text, never its parameters
        let span = self.span("statement", sqlite);
        let answer = async {
            match self {
                Self::Postgres(tx) => {
                    let (rows, changed) = tx.run(postgres, tenant, params).await?;
                    let mut all = Vec::with_capacity(rows.len()); // which collecting results would not know
                    for row in &rows {
                        all.push(T::from_row(&Row::Postgres(row))?);
                    }
                    Ok((all, changed))
                }
                Self::Sqlite(tx) => tx.run(sqlite, tenant, params).await,
            }
        };
        answer.instrument(span).await
    }

    pub(super) async fn commit(self) -> Result<()> {
        let span = self.span("commit", "COMMIT");
        let committed = async {
            match self {
                Self::Postgres(tx) => tx.commit().await,
                Self::Sqlite(tx) => tx.commit().await,
            }
        };
        committed.instrument(span).await
    }

    /// For traces: texts, never parameters.
    fn span(&self, name: &'static str, text: &'static str) -> Span {
        let system = match self {
            Self::Postgres(_) => "postgresql",
            Self::Sqlite(_) => "sqlite",
        };
        tracing::info_span!(
            target: "tenantry::trace", "database", otel.name = name, otel.kind = "client", db.system.name = system,
            db.query.text = text
        )
    }

    async fn commit_with(self, undo: bool, sql: Sql, tenant: &Uuid, params: &[&dyn Param]) -> Result<()> {
        tracing::debug!(target: "tenantry::sql", statement = sql.sqlite, undo, "statement and COMMIT");
        let span = self.span("statement and commit", sql.sqlite);
        let committed = async {
            match self {
                Self::Postgres(tx) => tx.commit_with(undo, sql.postgres, tenant, params).await,
                Self::Sqlite(tx) => tx.commit_with(undo, sql.sqlite, tenant, params).await,
            }
        };
        committed.instrument(span).await
    }
}
