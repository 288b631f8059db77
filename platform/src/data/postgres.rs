//! PostgreSQL: everything that can go together leaves in one network flight.
//!
//! Three roles (made by the first migration) stand between a fault and the data. A connection is `tenantry_login` from
//! its start, which may do nothing: what is sent behind a `BEGIN` that failed is refused, also where `DATABASE_URL` names
//! a superuser. A transaction becomes `tenantry_tenant`, which owns nothing and sees the rows of `app.tenant_id` alone, or
//! `tenantry_system`.
use super::{
    Contended, DatabaseSettings, LOCK_TIMEOUT, Mode, Opening, Param, Row as AnyRow, SET_ASIDE,
    STATEMENT_TIMEOUT, TURN, UNDO, settings::PostgresTarget, tls,
};
use crate::error::{Error, Result};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
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

        opened.await?; // before any row is handed out
        rest_of(sent, answer).await.map_err(|e| match self.opening.mode {
            // not the server, which may be read-only for a moment, but the use case
            Mode::Read if e.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Error::internal(e),
            _ => failed(&conn, e),
        })
    }

    pub async fn check(&self) -> Result<()> {
        let (mut turn, conn, question) = self.take_turn().await?;
        let opened = self.open(&mut turn, &conn, question);
        drop(turn);
        opened.await
    }

    /// A write waits for its COMMIT; a read has nothing to learn from it.
    pub async fn commit(mut self) -> Result<()> {
        let turn = self.turn.get_mut();
        let (Some(conn), Some(_)) = (turn.conn.take(), turn.opened.take()) else {
            return Ok(());
        };
        let commit = conn.batch_execute("COMMIT"); // the first poll sends
        match self.opening.mode {
            Mode::Write => commit.await.map_err(classified),
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
        let mut undone = pin!(conn.batch_execute(UNDO));
        let undone_at_once = if undo { poll!(undone.as_mut()).map_err(classified)? } else { Poll::Ready(()) };
        // prepared behind it: where the work has failed, nothing else is taken before
        let statement = self.prepared(&conn, sql).await?;
        let mut answer = pin!(asked(&conn, &statement, Some(tenant), params));
        let answered_at_once = poll!(answer.as_mut()).map_err(classified)?; // if it was not sent, the drop rolls back
        let mut commit = pin!(conn.batch_execute("COMMIT"));
        let committed_at_once = poll!(commit.as_mut());
        self.turn.get_mut().conn = None; // there is nothing left to roll back
        rest_of(undone_at_once.map(Ok), undone).await.map_err(classified)?;
        rest_of(answered_at_once.map(Ok), answer).await.map_err(|e| failed(&conn, e))?;
        rest_of(committed_at_once, commit).await.map_err(classified)
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
        conn.prepare_typed_cached(sql, &[] as &[Type]).await.map_err(classified)
    }

    fn open(&self, turn: &mut Turn, conn: &Arc<Object>, question: Option<Statement>) -> Opened {
        let opened = turn
            .opened
            .get_or_insert_with(|| opening(conn.clone(), self.opening.clone(), question).boxed().shared());
        opened.clone()
    }
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
        Mode::Write => "READ WRITE",
    };
    // A `Uuid` cannot carry SQL.
    let begin = match opening.tenant {
        Some(tenant) => format!(
            "BEGIN {access}; SET LOCAL ROLE tenantry_tenant; SELECT set_config('app.tenant_id', '{tenant}', true)"
        ),
        None => format!("BEGIN {access}; SET LOCAL ROLE tenantry_system"),
    };
    let begin = async { conn.batch_execute(&begin).await.map_err(not_begun) };
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
        let Some(conn) = self.turn.get_mut().conn.take() else {
            return;
        };
        let mut rollback = async move { conn.batch_execute("ROLLBACK").await }.boxed();
        let answered = rollback.as_mut().now_or_never().is_some(); // the first poll sends
        if let (false, Ok(runtime)) = (answered, Handle::try_current()) {
            #[expect(clippy::disallowed_methods, reason = "ends with the answer to its ROLLBACK")]
            runtime.spawn(rollback);
        }
    }
}

fn out_of_reach(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => classified(error),
        other => Error::unavailable(other),
    }
}

/// A statement failed. If the schema has changed under it, this connection prepares its statements anew.
fn failed(conn: &Object, error: tokio_postgres::Error) -> Error {
    if stale(&error) {
        conn.statement_cache.clear();
    }
    classified(error)
}

/// A server that is only a copy of another takes no writes, until it is made the first.
fn not_begun(error: tokio_postgres::Error) -> Error {
    if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) {
        Error::unavailable(error)
    } else {
        classified(error)
    }
}

fn stale(error: &tokio_postgres::Error) -> bool {
    let cached_plan = error.as_db_error().is_some_and(|e| e.message().starts_with("cached plan"));
    cached_plan || error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
}

/// What passes by itself is a 503: the server away, a time-out, a deadlock, no room. The rest is a fault of ours.
pub(super) fn classified(error: tokio_postgres::Error) -> Error {
    if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        return Error::unavailable(Contended::new(error));
    }
    let passing = match error.code() {
        None => true, // the connection
        Some(code) => {
            matches!(code.code().get(..2), Some("08" | "53" | "57" | "58"))
                || [
                    &SqlState::T_R_SERIALIZATION_FAILURE,
                    &SqlState::T_R_DEADLOCK_DETECTED,
                    &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                ]
                .contains(&code)
                || stale(&error)
        }
    };
    // conversions of our own values have no code either
    let ours = error.code().is_none()
        && std::error::Error::source(&error)
            .is_some_and(|cause| cause.is::<tokio_postgres::types::WrongType>());
    if passing && !ours { Error::unavailable(error) } else { Error::internal(error) }
}

/// An error and what caused it, in one line: the driver's own text says no more than "db error".
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
