//! PostgreSQL: everything that can go together leaves in one network flight, and with one Sync.
//!
//! Three roles (made by the first migration) stand between a fault and the data. A connection is `tenantry_login` from
//! its start, which may do nothing: what is sent behind a `BEGIN` that failed is refused, also where `DATABASE_URL` names
//! a superuser. A transaction becomes `tenantry_tenant`, which owns nothing and sees the rows of `app.tenant_id` alone, or
//! `tenantry_system`.
mod connect;
mod faults;
mod lease;
mod pipeline;

pub(super) use self::{
    connect::Server,
    faults::{classified, with_sources},
};

use self::{
    faults::{Silent, failed, within},
    lease::Leased,
};
use super::{LOCK_TIMEOUT, Mode, Opening, Param, Row as AnyRow, SET_ASIDE, STATEMENT_TIMEOUT, TURN, UNDO};
use crate::error::{Error, Result};
use deadpool_postgres::Object;
use futures_util::{
    FutureExt, TryStreamExt,
    future::{BoxFuture, Shared},
    join, poll,
};
use std::{pin::pin, sync::Arc, task::Poll, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Mutex, MutexGuard},
};
use tokio_postgres::{
    Row, Statement,
    error::SqlState,
    types::{ToSql, Type},
};
use uuid::Uuid;

/// How long an answer may take to be here: what the server allows a statement, and the way.
const ANSWER_TIMEOUT: Duration = STATEMENT_TIMEOUT.saturating_add(Duration::from_secs(1));
/// The same for preparing a statement, which takes no time but may wait for a lock. Others wait for their turn longer.
const PREPARE_TIMEOUT: Duration = LOCK_TIMEOUT.saturating_add(Duration::from_secs(1));
/// After that a connection that has not even answered a ROLLBACK is given up.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(10);

/// The outcome of BEGIN and the gate's question, for every statement that was sent behind them.
type Opened = Shared<BoxFuture<'static, Result<()>>>;

/// How a transaction begins. REPEATABLE READ: the statements of a read see one state, so a page and what belongs to it fit
/// together.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// And not READ WRITE: a server that takes no writes for now, such as a standby or one whose disk fills up, says so.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const COMMIT: &str = "COMMIT";
/// What it then becomes: SET LOCAL of both in one statement. Where `BEGIN` has failed and the rest of the flight has a Sync of
/// its own, that rest is a transaction by itself, which would be committed; it has the isolation of the session, which no
/// `BEGIN` asks for, and stays who may do nothing.
const TENANT: &str = "SELECT set_config('role', CASE current_setting('transaction_isolation') \
     WHEN 'read uncommitted' THEN 'tenantry_login' ELSE 'tenantry_tenant' END, true), \
     set_config('app.tenant_id', $1::uuid::text, true)";
const SYSTEM: &str = "SELECT set_config('role', CASE current_setting('transaction_isolation') \
     WHEN 'read uncommitted' THEN 'tenantry_login' ELSE 'tenantry_system' END, true)";

/// The statements that open a transaction, prepared like all others: as a text they would be parsed anew each time.
#[derive(Clone)]
struct Opener {
    begin: Statement,
    become_role: Statement,
    question: Option<Statement>,
    commit: Statement,
}

pub(super) struct PgTx {
    server: Server,
    opening: Opening,
    turn: Mutex<Turn>,
}

/// Held by one statement at a time while it is prepared and sent, not while it waits for its answer. The lock is fair,
/// so statements reach the server in the order they were first polled, even when some must be prepared first.
#[derive(Default)]
struct Turn {
    conn: Option<Arc<Leased>>,
    opened: Option<Opened>,
    /// To end a read with.
    commit: Option<Statement>,
    /// Whether the COMMIT that has left with the statements of a read was done: not where one of them has failed.
    ended: Option<BoxFuture<'static, bool>>,
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
        let (mut turn, conn, opener) = self.take_turn().await?;
        if turn.ended.is_some() {
            return Err(Error::internal(ENDED));
        }
        let statement = self.prepared(&conn, sql).await?;
        let mut answer = pin!(asked(&conn, &statement, tenant, params));
        // The first poll sends and none of these suspends, so what is polled here shares a flight and cannot be cut in two.
        let opened = self.open(&mut turn, &conn, opener);
        let _ = poll!(opened.clone());
        let sent = poll!(answer.as_mut());
        drop(turn);

        let answer = async {
            opened.await?; // before any row is handed out
            let answer = rest_of(sent, answer).await;
            if answer.as_ref().is_err_and(|e| e.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)) {
                tokio::task::yield_now().await; // so that whoever joins it with the one that failed first hears that one
            }
            answer.map_err(|e| match self.opening.mode {
                // not the server, which may be read-only for a moment, but the use case
                Mode::Read if e.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Error::internal(e),
                _ => failed(&conn, e),
            })
        };
        let answer = within(ANSWER_TIMEOUT, answer).await;
        self.remembered(answer).await
    }

    /// Goes back to the savepoint. As a simple query: what failed before it in this flight does not take it along.
    pub async fn undo(&self) -> Result<()> {
        let (mut turn, conn, opener) = self.take_turn().await?;
        let opened = self.open(&mut turn, &conn, opener);
        let _ = poll!(opened.clone());
        let mut undone = pin!(conn.batch_execute(UNDO));
        let sent = poll!(undone.as_mut());
        drop(turn);
        let undone = async {
            opened.await?;
            rest_of(sent, undone).await.map_err(classified)
        };
        let undone = within(ANSWER_TIMEOUT, undone).await;
        self.remembered(undone).await
    }

    pub async fn check(&self) -> Result<()> {
        let (mut turn, conn, opener) = self.take_turn().await?;
        let opened = self.open(&mut turn, &conn, opener);
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

    /// Sends the COMMIT of a read behind its statements, into the same flight. Not while one of them waits for its turn:
    /// whether it was sent.
    pub fn end(&self) -> bool {
        let Ok(mut turn) = self.turn.try_lock() else { return false };
        let (Some(conn), Some(commit)) = (turn.conn.clone(), turn.commit.take()) else {
            return false;
        };
        let mut ended = async move { conn.execute_raw(&commit, NO_PARAMETERS).await.is_ok() }.boxed();
        if ended.as_mut().now_or_never().is_some() {
            ended = std::future::ready(false).boxed(); // the connection is gone
        }
        turn.ended = Some(ended);
        true
    }

    /// A write waits for its COMMIT; a read has nothing to learn from it. One that has left with the read's statements is
    /// answered with them; the connection goes back after that, so that no flight has statements of two transactions.
    pub async fn commit(mut self) -> Result<()> {
        let turn = self.turn.get_mut();
        if let Some(ended) = turn.ended.take() {
            if within(ANSWER_TIMEOUT, ended.map(Ok)).await.is_ok_and(|done| done) {
                turn.conn = None;
            }
            return Ok(()); // else it is rolled back
        }
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

    async fn take_turn(&self) -> Result<(MutexGuard<'_, Turn>, Arc<Leased>, Option<Opener>)> {
        let turn = tokio::time::timeout(TURN, self.turn.lock()).await;
        let mut turn = turn.map_err(|_| Error::internal(SET_ASIDE))?;
        if let Some(error) = &turn.failed {
            return Err(error.clone());
        }
        match self.ready(&mut turn).await {
            Ok((conn, opener)) => Ok((turn, conn, opener)),
            Err(error) => {
                turn.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// A connection and, for the first statement on it, what opens the transaction.
    async fn ready(&self, turn: &mut Turn) -> Result<(Arc<Leased>, Option<Opener>)> {
        let conn = match &turn.conn {
            Some(conn) => conn.clone(),
            None => turn.conn.insert(Arc::new(self.server.take().await?)).clone(),
        };
        if turn.opened.is_some() {
            return Ok((conn, None));
        }
        let begin = self.prepared(&conn, if self.opening.mode == Mode::Read { READ } else { WRITE }).await?;
        let role = if self.opening.tenant.is_some() { TENANT } else { SYSTEM };
        let become_role = self.prepared(&conn, role).await?;
        let question = match &self.opening.gate {
            Some(gate) => Some(self.prepared(&conn, gate.question().0.postgres).await?),
            None => None,
        };
        let commit = self.prepared(&conn, COMMIT).await?;
        Ok((conn, Some(Opener { begin, become_role, question, commit })))
    }

    async fn prepared(&self, conn: &Object, sql: &str) -> Result<Statement> {
        let preparing = async { conn.prepare_typed_cached(sql, &[] as &[Type]).await.map_err(classified) };
        within(PREPARE_TIMEOUT, preparing).await
    }

    /// The opening, which the first statement has prepared and the others share.
    fn open(&self, turn: &mut Turn, conn: &Arc<Leased>, opener: Option<Opener>) -> Opened {
        if let Some(opener) = &opener {
            turn.commit = Some(opener.commit.clone());
        }
        let opened = turn.opened.get_or_insert_with(|| match opener {
            Some(opener) => opening(conn.clone(), self.opening.clone(), opener).boxed().shared(),
            None => async { Err(Error::internal("a transaction was not opened")) }.boxed().shared(),
        });
        opened.clone()
    }
}

/// Whether it has committed is not known; a connection with a COMMIT that is not answered is for nobody else.
fn given_up_if_silent(conn: Arc<Leased>, committed: Result<()>) -> Result<()> {
    if committed.as_ref().is_err_and(Error::is_caused_by::<Silent>) {
        give_up(conn);
    }
    committed
}

/// If nobody else has it.
fn give_up(conn: Arc<Leased>) {
    if let Some(conn) = Arc::into_inner(conn) {
        conn.give_up();
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

async fn opening(conn: Arc<Leased>, opening: Opening, opener: Opener) -> Result<()> {
    let tenant = opening.tenant.as_ref().map(|tenant| tenant as &(dyn ToSql + Sync));
    let begin = async { conn.execute_raw(&opener.begin, NO_PARAMETERS).await.map_err(|e| failed(&conn, e)) };
    let role = async { conn.execute_raw(&opener.become_role, tenant).await.map_err(|e| failed(&conn, e)) };
    let (Some(gate), Some(question)) = (&opening.gate, &opener.question) else {
        let (begun, become_role) = join!(begin, role);
        return begun.and(become_role).map(drop);
    };
    let (_, params) = gate.question();
    let params: Vec<_> =
        tenant.into_iter().chain(params.into_iter().map(|p| p as &(dyn ToSql + Sync))).collect();
    let answer = async { conn.query_opt(question, &params).await.map_err(|e| failed(&conn, e)) };
    let (begun, become_role, row) = join!(begin, role, answer);
    let row = begun.and(become_role).and(row)?; // the first that has failed is why the others did
    gate.admit(row.as_ref().map(AnyRow::Postgres))
}

/// What is wrong with a statement behind the end of its transaction.
const ENDED: &str = "a read that is sent at once asked for more when its answers had come";

const NO_PARAMETERS: [&(dyn ToSql + Sync); 0] = [];

/// However else a transaction is left - an error, a panic, a client that went away - its ROLLBACK is in the pipeline before
/// anybody can get the connection, and the task keeps it out of the pool until a statement that still runs, or waits
/// for a lock to be prepared, has ended. A read whose COMMIT has left with its statements is over if that was done.
impl Drop for PgTx {
    fn drop(&mut self) {
        let turn = self.turn.get_mut();
        turn.opened = None; // which holds the connection, too
        let Some(conn) = turn.conn.take() else {
            return;
        };
        let (held, ended) = (conn.clone(), turn.ended.take());
        let mut rollback = async move {
            let done = match ended {
                Some(ended) => ended.await,
                None => false,
            };
            if !done {
                let _ = held.batch_execute("ROLLBACK").await;
            }
        }
        .boxed();
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
