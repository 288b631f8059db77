//! PostgreSQL: everything that can go together leaves in one network flight.
//!
//! Three roles (made by the first migration) stand between a fault and the data. A connection is `tenantry_login` from
//! its start, which may do nothing: what is sent behind a `BEGIN` that failed is refused, also where `DATABASE_URL` names
//! a superuser. A transaction becomes `tenantry_tenant`, which owns nothing and sees the rows of `app.tenant_id` alone, or
//! `tenantry_system`.
mod faults;

use self::faults::{Silent, failed, out_of_reach, within};
pub(super) use self::faults::{classified, with_sources};
use super::{
    DatabaseSettings, LOCK_TIMEOUT, Mode, Opening, Param, PoolState, Row as AnyRow, SET_ASIDE,
    STATEMENT_TIMEOUT, TURN, UNDO, settings::PostgresTarget, tls,
};
use crate::error::{Error, Result};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared},
    poll,
    stream::{self, BoxStream},
    try_join,
};
use std::{pin::pin, sync::Arc, task::Poll, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Mutex, MutexGuard},
};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls, Row, Statement,
    error::SqlState,
    types::{ToSql, Type},
};
use uuid::Uuid;

/// Set on every connection, so that nothing waits for ever. Generic plans: with `LIMIT $n` PostgreSQL otherwise plans a
/// list anew at every call.
fn session() -> String {
    let [statement, lock, idle] =
        [STATEMENT_TIMEOUT, LOCK_TIMEOUT, IDLE_IN_TRANSACTION_TIMEOUT].map(|limit| limit.as_millis());
    format!(
        "-c role=tenantry_login -c statement_timeout={statement} -c lock_timeout={lock} \
         -c idle_in_transaction_session_timeout={idle} -c plan_cache_mode=force_generic_plan"
    )
}

/// How long a transaction may be open without a statement under way.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take to be here: what the server allows a statement, and the way.
const ANSWER_TIMEOUT: Duration = STATEMENT_TIMEOUT.saturating_add(Duration::from_secs(1));
/// The same for preparing a statement, which takes no time but may wait for a lock. Others wait for their turn longer.
const PREPARE_TIMEOUT: Duration = LOCK_TIMEOUT.saturating_add(Duration::from_secs(1));
/// After that a connection that has not even answered a ROLLBACK is given up.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct Server {
    pool: Pool,
    /// How each connection is begun.
    target: Arc<PostgresTarget>,
}

impl Server {
    pub fn new(mut target: PostgresTarget, settings: &DatabaseSettings) -> Result<Self> {
        let options = [target.config.get_options().unwrap_or_default(), &session()].join(" ");
        limits(&mut target.config).options(options);
        let config = target.config.clone();
        // `Fast` costs no flight: a connection comes back with its ROLLBACK or COMMIT already in the pipeline.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match target.tls_config()? {
            Some(tls) => {
                Manager::from_config(config, tokio_postgres_rustls::MakeRustlsConnect::new(tls), recycling)
            }
            None => Manager::from_config(config, NoTls, recycling),
        };
        let pool = Pool::builder(manager)
            .max_size(settings.connections)
            .wait_timeout(Some(settings.acquire_timeout))
            .create_timeout(Some(settings.acquire_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { pool, target: Arc::new(target) })
    }

    /// A connection beside the pool's, with what the server says on it unasked. It lives while that is read.
    pub async fn listen(&self) -> Result<(Client, BoxStream<'static, Result<AsyncMessage>>)> {
        macro_rules! connected {
            ($tls:expr) => {{
                let (client, mut connection) = self.target.config.connect($tls).await.map_err(classified)?;
                let messages = stream::poll_fn(move |cx| connection.poll_message(cx));
                Ok((client, messages.map_err(classified).boxed()))
            }};
        }
        match self.target.tls_config()? {
            Some(tls) => connected!(tokio_postgres_rustls::MakeRustlsConnect::new(tls)),
            None => connected!(NoTls),
        }
    }

    pub fn pool(&self) -> PoolState {
        let deadpool_postgres::Status { max_size, size, available, waiting } = self.pool.status();
        PoolState { most: max_size, open: size, idle: available, waiting }
    }

    pub fn close(&self) {
        self.pool.close();
    }
}

/// A server that went away without a word is noticed.
fn limits(config: &mut Config) -> &mut Config {
    config
        .application_name("tenantry")
        .connect_timeout(Duration::from_secs(2))
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(30))
}

impl PostgresTarget {
    /// A connection of its own as the role of `DATABASE_URL`, without the limits of the server's: for migrations.
    pub(super) async fn connect(&self) -> Result<Client> {
        let mut config = self.config.clone();
        limits(&mut config);
        macro_rules! connected {
            ($tls:expr) => {{
                let (client, connection) = config.connect($tls).await.map_err(classified)?;
                #[expect(clippy::disallowed_methods, reason = "ends with its client")]
                tokio::spawn(connection);
                Ok(client)
            }};
        }
        match self.tls_config()? {
            Some(tls) => connected!(tokio_postgres_rustls::MakeRustlsConnect::new(tls)),
            None => connected!(NoTls),
        }
    }

    fn tls_config(&self) -> Result<Option<rustls::ClientConfig>> {
        if !self.tls {
            return Ok(None);
        }
        let mut roots = tls::system_roots();
        if let Some(path) = &self.root_certificate {
            use rustls::pki_types::{CertificateDer, pem::PemObject};
            let unreadable = |e| Error::internal(format!("sslrootcert {}: {e}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?).map_err(Error::internal)?;
            }
        }
        tls::client(roots).map(Some)
    }
}

/// The outcome of BEGIN and the gate's question, for every statement that was sent behind them.
type Opened = Shared<BoxFuture<'static, Result<()>>>;

pub(super) struct PgTx {
    server: Server,
    opening: Opening,
    turn: Mutex<Turn>,
}

/// Held by one statement at a time while it is prepared and sent, not while it waits for its answer. The lock is fair,
/// so statements reach the server in the order they were first polled, even when some must be prepared first.
#[derive(Default)]
struct Turn {
    conn: Option<Arc<Object>>,
    opened: Option<Opened>,
    /// Why it could not begin. It is not tried again: each try may wait as long as the first.
    failed: Option<Error>,
}

impl PgTx {
    pub fn new(server: Server, opening: Opening) -> Self {
        Self { server, opening, turn: Mutex::default() }
    }

    pub async fn run(
        &self,
        sql: &str,
        tenant: Option<&Uuid>,
        params: &[&dyn Param],
    ) -> Result<(Vec<Row>, u64)> {
        let (mut turn, conn, question) = self.take_turn().await?;
        let statement = self.prepared(&conn, sql).await?;
        let mut answer = pin!(asked(&conn, &statement, tenant, params));
        // The first poll sends and none of these suspends, so what is polled here shares a flight and cannot be cut in two.
        let opened = self.open(&mut turn, &conn, question);
        let _ = poll!(opened.clone());
        let sent = poll!(answer.as_mut());
        drop(turn);

        let answer = async {
            opened.await?; // before any row is handed out
            rest_of(sent, answer).await.map_err(|e| match self.opening.mode {
                // not the server, which may be read-only for a moment, but the use case
                Mode::Read if e.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Error::internal(e),
                _ => failed(&conn, e),
            })
        };
        let answer = within(ANSWER_TIMEOUT, answer).await;
        self.remembered(answer).await
    }

    pub async fn check(&self) -> Result<()> {
        let (mut turn, conn, question) = self.take_turn().await?;
        let opened = self.open(&mut turn, &conn, question);
        drop(turn);
        let opened = within(ANSWER_TIMEOUT, opened).await;
        self.remembered(opened).await
    }

    /// One wait for a server that says nothing is enough for a transaction.
    async fn remembered<T>(&self, answer: Result<T>) -> Result<T> {
        if let Err(error) = &answer
            && error.is_caused_by::<Silent>()
        {
            self.turn.lock().await.failed = Some(error.clone());
        }
        answer
    }

    /// A write waits for its COMMIT; a read has nothing to learn from it.
    pub async fn commit(mut self) -> Result<()> {
        let turn = self.turn.get_mut();
        let (Some(conn), Some(_)) = (turn.conn.take(), turn.opened.take()) else {
            return Ok(());
        };
        let commit = conn.batch_execute("COMMIT"); // the first poll sends
        match self.opening.mode {
            Mode::Write => {
                let committed = within(ANSWER_TIMEOUT, async { commit.await.map_err(classified) }).await;
                given_up_if_silent(conn, committed)
            }
            Mode::Read => {
                let _ = commit.now_or_never();
                Ok(())
            }
        }
    }

    /// Sends, if so asked, the way back to the savepoint, then a last statement and the COMMIT. COMMIT is sent only once
    /// the statement was; that of a statement which fails then is a ROLLBACK.
    pub async fn commit_with(
        mut self,
        undo: bool,
        sql: &str,
        tenant: &Uuid,
        params: &[&dyn Param],
    ) -> Result<()> {
        let conn = self.turn.get_mut().conn.clone();
        let conn = conn.ok_or_else(|| Error::internal("there is nothing to commit"))?;
        let committed = self.commit_behind(&conn, undo, sql, tenant, params).await;
        given_up_if_silent(conn, committed)
    }

    async fn commit_behind(
        &mut self,
        conn: &Object,
        undo: bool,
        sql: &str,
        tenant: &Uuid,
        params: &[&dyn Param],
    ) -> Result<()> {
        let mut undone = pin!(conn.batch_execute(UNDO));
        let undone_at_once = if undo { poll!(undone.as_mut()).map_err(classified)? } else { Poll::Ready(()) };
        // prepared behind it: where the work has failed, nothing else is taken before
        let statement = self.prepared(conn, sql).await?;
        let mut answer = pin!(asked(conn, &statement, Some(tenant), params));
        let answered_at_once = poll!(answer.as_mut()).map_err(classified)?; // if it was not sent, the drop rolls back
        let mut commit = pin!(conn.batch_execute("COMMIT"));
        let committed_at_once = poll!(commit.as_mut());
        *self.turn.get_mut() = Turn::default(); // there is nothing left to roll back
        let answers = async {
            rest_of(undone_at_once.map(Ok), undone).await.map_err(classified)?;
            rest_of(answered_at_once.map(Ok), answer).await.map_err(|e| failed(conn, e))?;
            rest_of(committed_at_once, commit).await.map_err(classified)
        };
        within(ANSWER_TIMEOUT, answers).await
    }

    async fn take_turn(&self) -> Result<(MutexGuard<'_, Turn>, Arc<Object>, Option<Statement>)> {
        let turn = tokio::time::timeout(TURN, self.turn.lock()).await;
        let mut turn = turn.map_err(|_| Error::internal(SET_ASIDE))?;
        if let Some(error) = &turn.failed {
            return Err(error.clone());
        }
        match self.ready(&mut turn).await {
            Ok((conn, question)) => Ok((turn, conn, question)),
            Err(error) => {
                turn.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// A connection and, for the first statement on it, the question of the gate.
    async fn ready(&self, turn: &mut Turn) -> Result<(Arc<Object>, Option<Statement>)> {
        let conn = match &turn.conn {
            Some(conn) => conn.clone(),
            None => turn.conn.insert(Arc::new(self.server.pool.get().await.map_err(out_of_reach)?)).clone(),
        };
        let question = match &self.opening.gate {
            Some(gate) if turn.opened.is_none() => {
                Some(self.prepared(&conn, gate.question().0.postgres).await?)
            }
            _ => None,
        };
        Ok((conn, question))
    }

    async fn prepared(&self, conn: &Object, sql: &str) -> Result<Statement> {
        let preparing = async { conn.prepare_typed_cached(sql, &[] as &[Type]).await.map_err(classified) };
        within(PREPARE_TIMEOUT, preparing).await
    }

    fn open(&self, turn: &mut Turn, conn: &Arc<Object>, question: Option<Statement>) -> Opened {
        let opened = turn
            .opened
            .get_or_insert_with(|| opening(conn.clone(), self.opening.clone(), question).boxed().shared());
        opened.clone()
    }
}

/// Whether it has committed is not known; a connection with a COMMIT that is not answered is for nobody else.
fn given_up_if_silent(conn: Arc<Object>, committed: Result<()>) -> Result<()> {
    if committed.as_ref().is_err_and(Error::is_caused_by::<Silent>) {
        give_up(conn);
    }
    committed
}

/// Closes it: the pool makes another in its place, which may find another server.
fn give_up(conn: Arc<Object>) {
    drop(Arc::into_inner(conn).map(Object::take));
}

/// The outcome of what was polled once.
async fn rest_of<T>(first: Poll<T>, future: impl Future<Output = T>) -> T {
    match first {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => future.await,
    }
}

/// Sent at the first poll, without suspending before it.
async fn asked(
    conn: &Object,
    statement: &Statement,
    tenant: Option<&Uuid>,
    params: &[&dyn Param],
) -> std::result::Result<(Vec<Row>, u64), tokio_postgres::Error> {
    let tenant = tenant.map(|tenant| tenant as &(dyn ToSql + Sync));
    let bound: Vec<_> = tenant.into_iter().chain(params.iter().map(|p| *p as &(dyn ToSql + Sync))).collect();
    let mut rows = pin!(conn.query_raw(statement, bound).await?);
    let mut all = Vec::new();
    while let Some(row) = rows.try_next().await? {
        all.push(row);
    }
    Ok((all, rows.rows_affected().unwrap_or(0)))
}

async fn opening(conn: Arc<Object>, opening: Opening, question: Option<Statement>) -> Result<()> {
    // REPEATABLE READ: the statements of a read see one state, so a page and what belongs to it fit together.
    let access = match opening.mode {
        Mode::Read => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
        // and not READ WRITE: a server that takes no writes for now, such as a standby or one whose disk fills up, says so
        Mode::Write => "ISOLATION LEVEL READ COMMITTED",
    };
    // A `Uuid` cannot carry SQL.
    let begin = match opening.tenant {
        Some(tenant) => format!(
            "BEGIN {access}; SET LOCAL ROLE tenantry_tenant; SELECT set_config('app.tenant_id', '{tenant}', true)"
        ),
        None => format!("BEGIN {access}; SET LOCAL ROLE tenantry_system"),
    };
    let begin = async { conn.batch_execute(&begin).await.map_err(classified) };
    let (Some(gate), Some(question), Some(tenant)) = (&opening.gate, question, opening.tenant) else {
        return begin.await;
    };
    let (_, params) = gate.question();
    let tenant: &(dyn ToSql + Sync) = &tenant;
    let params: Vec<_> =
        std::iter::once(tenant).chain(params.into_iter().map(|p| p as &(dyn ToSql + Sync))).collect();
    let answer = async { conn.query_opt(&question, &params).await.map_err(|e| failed(&conn, e)) };
    let ((), row) = try_join!(begin, answer)?;
    gate.admit(row.as_ref().map(AnyRow::Postgres))
}

/// However else a transaction is left - an error, a panic, a client that went away - its ROLLBACK is in the pipeline before
/// anybody can get the connection, and the task keeps it out of the pool until a statement that still runs, or waits
/// for a lock to be prepared, has ended.
impl Drop for PgTx {
    fn drop(&mut self) {
        let turn = self.turn.get_mut();
        turn.opened = None; // which holds the connection, too
        let Some(conn) = turn.conn.take() else {
            return;
        };
        let held = conn.clone();
        let mut rollback = async move { held.batch_execute("ROLLBACK").await }.boxed();
        let answered = rollback.as_mut().now_or_never().is_some(); // the first poll sends
        if let (false, Ok(runtime)) = (answered, Handle::try_current()) {
            let ended = async move {
                if tokio::time::timeout(ROLLBACK_TIMEOUT, rollback).await.is_err() {
                    give_up(conn);
                }
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "ends with the answer to its ROLLBACK, or without"
            )]
            runtime.spawn(ended);
        }
    }
}
