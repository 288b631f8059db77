//! How a transaction begins: its isolation, who it is, and the question of the gate.
use super::{
    super::{Mode, Opening, Row},
    connect::Conn,
    faults::failed,
    lease::Leased,
    prepared,
};
use crate::error::{Error, Result};
use futures_util::{future::OptionFuture, join};
use std::sync::Arc;
use tokio_postgres::{Statement, types::ToSql};

/// REPEATABLE READ: the statements of a read see one state, so a page and what belongs to it fit together.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// And not READ WRITE: a server that takes no writes for now, such as a standby or one whose disk fills up, says so.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// What the transaction then becomes: SET LOCAL of role and tenant in one statement. Where there was no `BEGIN`, or it has
/// failed and the rest of the flight is a transaction by itself, a read is kept from writing by this alone. As conditions,
/// none of which is ever false, and not as columns, which PostgreSQL would put out and nobody read.
const READS_TENANT: &str = "SELECT WHERE set_config('transaction_read_only', 'on', true) IS NOT NULL \
     AND set_config('role', 'tenantry_tenant', true) IS NOT NULL \
     AND set_config('app.tenant_id', $1::uuid::text, true) IS NOT NULL";
const READS_ALL: &str = "SELECT WHERE set_config('transaction_read_only', 'on', true) IS NOT NULL \
     AND set_config('role', 'tenantry_system', true) IS NOT NULL";
/// Behind a `BEGIN` that failed a write would be a transaction by itself, too, which PostgreSQL commits. That has the
/// isolation of the session, for which no `BEGIN` of a write asks, and stays who may do nothing.
const WRITES_TENANT: &str = "SELECT WHERE set_config('role', CASE current_setting('transaction_isolation') \
     WHEN 'read committed' THEN 'tenantry_tenant' ELSE 'tenantry_login' END, true) IS NOT NULL \
     AND set_config('app.tenant_id', $1::uuid::text, true) IS NOT NULL";
const WRITES_ALL: &str = "SELECT WHERE set_config('role', CASE current_setting('transaction_isolation') \
     WHEN 'read committed' THEN 'tenantry_system' ELSE 'tenantry_login' END, true) IS NOT NULL";

const NO_PARAMETERS: [&(dyn ToSql + Sync); 0] = [];

/// The statements that open a transaction, prepared like all others: as a text they would be parsed anew each time.
pub(super) struct Opener {
    /// Not for a read that is sent at once: its flight is one transaction by itself.
    begin: Option<Statement>,
    become_role: Statement,
    question: Option<Statement>,
}

impl Opener {
    pub async fn prepare(conn: &Conn, opening: &Opening, at_once: bool) -> Result<Self> {
        let (begin, role) = match (opening.mode, &opening.tenant) {
            (Mode::Read, Some(_)) => (READ, READS_TENANT),
            (Mode::Read, None) => (READ, READS_ALL),
            (Mode::Write, Some(_)) => (WRITE, WRITES_TENANT),
            (Mode::Write, None) => (WRITE, WRITES_ALL),
        };
        let begin = if at_once { None } else { Some(prepared(conn, begin).await?) };
        let become_role = prepared(conn, role).await?;
        let question = match &opening.gate {
            Some(gate) => Some(prepared(conn, gate.question().0.postgres).await?),
            None => None,
        };
        Ok(Self { begin, become_role, question })
    }

    /// How many statements it is.
    pub fn statements(&self) -> usize {
        1 + usize::from(self.begin.is_some()) + usize::from(self.question.is_some())
    }

    /// Sent at the first poll.
    pub async fn open(self, conn: Arc<Leased>, opening: Opening) -> Result<()> {
        let tenant = opening.tenant.as_ref().map(|tenant| tenant as &(dyn ToSql + Sync));
        let begin = self.begin.as_ref().map(|begin| conn.execute_raw(begin, NO_PARAMETERS));
        let role = conn.execute_raw(&self.become_role, tenant);
        let params: Vec<_> = opening.gate.iter().flat_map(|gate| gate.question().1).collect();
        let params: Vec<_> =
            tenant.into_iter().chain(params.into_iter().map(|p| p as &(dyn ToSql + Sync))).collect();
        let question = self.question.as_ref().map(|question| conn.query_opt(question, &params));
        let (begun, became, row) = join!(OptionFuture::from(begin), role, OptionFuture::from(question));
        // the first that has failed is why the others did
        let became = begun.transpose().and(became).map_err(|e| failed(&conn, e))?;
        // a row says that all conditions were looked at
        if became != 1 {
            return Err(Error::internal("a transaction's role was not set"));
        }
        let row = row.transpose().map_err(|e| failed(&conn, e))?;
        match (&opening.gate, row) {
            (Some(gate), Some(row)) => gate.admit(row.as_ref().map(Row::Postgres)),
            _ => Ok(()),
        }
    }
}
