//! PostgreSQL: everything that can go together leaves in one network flight, and with one Sync.
//!
//! Three roles (made by the first migration) stand between a fault and the data. A connection is `tenantry_login` from
//! its start, which may do nothing: what is sent behind a `BEGIN` that failed is refused, also where `DATABASE_URL` names
//! a superuser. A transaction becomes `tenantry_tenant`, which owns nothing and sees the rows of `app.tenant_id` alone, or
//! `tenantry_system`.
mod connect;
mod faults;
mod lease;
mod opening;
mod pipeline;
mod together;

pub(super) use self::{
    connect::Server,
    faults::{classified, with_sources},
};

use self::{
    connect::Conn,
    faults::{Silent, failed, within},
    lease::Leased,
    opening::Opener,
    together::{Progress, Together},
};
use super::{LOCK_TIMEOUT, Mode, Opening, Param, SET_ASIDE, STATEMENT_TIMEOUT, TURN, UNDO};
use crate::error::{Error, Result};
use futures_util::{
    FutureExt, TryStreamExt,
    future::{BoxFuture, Shared},
    poll,
};
use std::{
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};
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

pub(super) struct PgTx {
    server: Server,
    opening: Opening,
    /// Of a read that is sent at once.
    together: Option<Together>,
    turn: Mutex<Turn>,
}

/// Held by one statement at a time while it is prepared and sent, not while it waits for its answer. The lock is fair,
/// so statements reach the server in the order they were first polled, even when some must be prepared first.
#[derive(Default)]
struct Turn {
    conn: Option<Arc<Leased>>,
    /// What opens the transaction, until it does.
    opener: Option<Opener>,
    opened: Option<Opened>,
    /// Why it could not begin. It is not tried again: each try may wait as long as the first.
    failed: Option<Error>,
}

impl PgTx {
    pub fn new(server: Server, opening: Opening, at_once: bool) -> Self {
        let together = (at_once && server.keeps_flights_together()).then(Together::default);
        Self { server, opening, together, turn: Mutex::default() }
    }

    pub async fn run(
        &self,
        sql: &str,
        tenant: Option<&Uuid>,
        params: &[&dyn Param],
    ) -> Result<(Vec<Row>, u64)> {
        let asked_for = self.together.as_ref().map(Together::ask).transpose()?;
        let (mut turn, conn) = self.take_turn().await?;
        let statement = prepared(&conn, sql).await?;
        if let Some(asked_for) = asked_for {
            drop(turn);
            asked_for.stand_ready(1).await?;
            turn = self.turn_at_once()?;
        }
        let mut answer = pin!(asked(&conn, &statement, tenant, params));
        // The first poll sends and none of these suspends, so what is polled here shares a flight and cannot be cut in two.
        let opened = self.open(&mut turn, &conn);
        let _ = poll!(opened.clone());
        let sent = poll!(answer.as_mut());
        if let (Some(together), false) = (&self.together, matches!(sent, Poll::Ready(Err(_)))) {
            together.sent();
        }
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
        let (mut turn, conn) = self.take_turn().await?;
        let opened = self.open(&mut turn, &conn);
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
        let asked_for = self.together.as_ref().and_then(|together| together.ask().ok());
        let (mut turn, conn) = self.take_turn().await?;
        if let Some(asked_for) = asked_for {
            drop(turn);
            asked_for.stand_ready(0).await?;
            turn = self.turn_at_once()?;
        }
        let opened = self.open(&mut turn, &conn);
        drop(turn);
        let opened = within(ANSWER_TIMEOUT, opened).await;
        self.remembered(opened).await
    }

    /// Sends the statements of a read that is sent at once when it is polled the next time, if all that it has asked for are
    /// ready: whether they are.
    pub fn leave(&self, task: &Waker) -> bool {
        let Some(together) = &self.together else { return false };
        together.expire();
        let Ok(turn) = self.turn.try_lock() else { return false };
        let (Some(conn), Some(opener)) = (&turn.conn, &turn.opener) else { return false };
        let Some(statements) = together.leave(task) else { return false };
        conn.unsent.expect(opener.statements() + statements);
        true
    }

    /// Ends the flight of a read that is sent at once where some of its statements cannot be sent, or are not: the others
    /// have their answers then. To be asked after each poll that has not brought the read to its end.
    pub fn see_off(&self, task: &Waker) {
        match self.together.as_ref().map_or(Progress::Done, Together::progress) {
            Progress::Done => {}
            Progress::Some => task.wake_by_ref(),
            Progress::Stuck => {
                if let Ok(Some(conn)) = self.turn.try_lock().map(|turn| turn.conn.clone()) {
                    conn.unsent.expect(0);
                    let _ = conn.batch_execute("").now_or_never(); // the first poll sends, and with it the Sync
                }
            }
        }
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

    /// A write waits for its COMMIT; a read has nothing to learn from it. One that was sent at once has ended with the last
    /// of its answers.
    pub async fn commit(mut self) -> Result<()> {
        let turn = self.turn.get_mut();
        let (Some(conn), Some(_)) = (turn.conn.take(), turn.opened.take()) else {
            return Ok(());
        };
        if self.together.is_some() {
            return Ok(());
        }
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
        conn: &Conn,
        undo: bool,
        sql: &str,
        tenant: &Uuid,
        params: &[&dyn Param],
    ) -> Result<()> {
        let mut undone = pin!(conn.batch_execute(UNDO));
        let undone_at_once = if undo { poll!(undone.as_mut()).map_err(classified)? } else { Poll::Ready(()) };
        // prepared behind it: where the work has failed, nothing else is taken before
        let statement = prepared(conn, sql).await?;
        let mut answer = pin!(asked(conn, &statement, Some(tenant), params));
        let answered_at_once = poll!(answer.as_mut()).map_err(classified)?; // if it was not sent, the drop rolls back
        let mut commit = pin!(conn.batch_execute("COMMIT"));
        let committed_at_once = poll!(commit.as_mut());
        let answers = async {
            rest_of(undone_at_once.map(Ok), undone).await.map_err(classified)?;
            rest_of(answered_at_once.map(Ok), answer).await.map_err(|e| failed(conn, e))?;
            rest_of(committed_at_once, commit).await.map_err(classified)
        };
        let answers = within(ANSWER_TIMEOUT, answers).await;
        *self.turn.get_mut() = Turn::default(); // there is nothing left to roll back
        answers
    }

    async fn take_turn(&self) -> Result<(MutexGuard<'_, Turn>, Arc<Leased>)> {
        let mut turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                let turn = tokio::time::timeout(TURN, self.turn.lock()).await;
                turn.map_err(|_| Error::internal(SET_ASIDE))?
            }
        };
        if let Some(error) = &turn.failed {
            return Err(error.clone());
        }
        match self.ready(&mut turn).await {
            Ok(conn) => Ok((turn, conn)),
            Err(error) => {
                turn.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Of one that has stood ready with the others: nobody else is let to take a turn before all of them have.
    fn turn_at_once(&self) -> Result<MutexGuard<'_, Turn>> {
        self.turn.try_lock().map_err(|_| Error::internal(SET_ASIDE))
    }

    /// A connection, and what opens the transaction on it.
    async fn ready(&self, turn: &mut Turn) -> Result<Arc<Leased>> {
        let conn = match &turn.conn {
            Some(conn) => conn.clone(),
            None => turn.conn.insert(Arc::new(self.server.take().await?)).clone(),
        };
        if turn.opened.is_none() && turn.opener.is_none() {
            turn.opener = Some(Opener::prepare(&conn, &self.opening, self.together.is_some()).await?);
        }
        Ok(conn)
    }

    /// The opening, which the first statement sends and the others share.
    fn open(&self, turn: &mut Turn, conn: &Arc<Leased>) -> Opened {
        let Turn { opener, opened, .. } = turn;
        let opened = opened.get_or_insert_with(|| match opener.take() {
            Some(opener) => opener.open(conn.clone(), self.opening.clone()).boxed().shared(),
            None => async { Err(Error::internal("a transaction was not opened")) }.boxed().shared(),
        });
        opened.clone()
    }
}

async fn prepared(conn: &Conn, sql: &str) -> Result<Statement> {
    let mut preparing = pin!(conn.prepare_typed_cached(sql, &[] as &[Type]));
    if let Poll::Ready(statement) = poll!(preparing.as_mut()) {
        return statement.map_err(classified); // it was prepared before
    }
    within(PREPARE_TIMEOUT, async { preparing.await.map_err(classified) }).await
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
    conn: &Conn,
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

/// However else a transaction is left - an error, a panic, a client that went away - its ROLLBACK is in the pipeline before
/// anybody can get the connection, and the task keeps it out of the pool until a statement that still runs, or waits
/// for a lock to be prepared, has ended. A read that was sent at once has no ROLLBACK: a query of nothing is waited for.
impl Drop for PgTx {
    fn drop(&mut self) {
        let turn = self.turn.get_mut();
        turn.opened = None; // which holds the connection, too
        let Some(conn) = turn.conn.take() else {
            return;
        };
        conn.unsent.expect(0);
        let end = if self.together.is_some() { "" } else { "ROLLBACK" };
        let held = conn.clone();
        let mut rollback = async move { drop(held.batch_execute(end).await) }.boxed();
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
