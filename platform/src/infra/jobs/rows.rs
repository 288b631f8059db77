//! The rows of jobs: claimed for as long as a lease lasts, by the database's clock, with the attempt's number as a fence.
//! Whoever was overtaken changes nothing.
use crate::{
    data::{Db, FromRow, Mode, Row, SystemReason, SystemSql},
    error::{Error, Result},
};
use std::time::Duration;
use uuid::Uuid;

/// A job that is ours until the lease ends.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub tenant: Uuid,
    pub id: Uuid,
    pub kind: String,
    pub payload: String,
    /// From 1; the fence.
    pub attempt: i64,
}

impl FromRow for Claim {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            tenant: row.get(0)?,
            id: row.get(1)?,
            kind: row.get(2)?,
            payload: row.get(3)?,
            attempt: row.get(4)?,
        })
    }
}

/// `kinds` is `,a,b,`. Materialized, or a plan that runs the inner part again would claim more than it may.
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT tenant_id AS due_tenant, id AS due_id FROM jobs \
             WHERE state = 'waiting' AND run_at <= $1 AND (leased_until IS NULL OR leased_until <= $1) \
             AND replace($4, ',' || kind || ',', '') <> $4 ORDER BY run_at LIMIT $3",
            $lock,
            ") UPDATE jobs SET attempt = attempt + 1, leased_until = $2 FROM due \
             WHERE tenant_id = due_tenant AND id = due_id RETURNING tenant_id, id, kind, payload, attempt"
        )
    };
}

/// Jobs that are due and nobody's, oldest first, at most so many.
pub(super) async fn claim(db: &Db, kinds: &str, most: usize, lease: Duration) -> Result<Vec<Claim>> {
    let most = i64::try_from(most).map_err(Error::internal)?;
    let sql = SystemSql::of(claim!(" FOR UPDATE SKIP LOCKED"), claim!(""));
    db.system(SystemReason::Jobs, Mode::Write, async |conn| {
        let now = conn.clock().await?;
        conn.fetch_all(sql, &[&now, &now.plus(lease), &most, &kinds]).await
    })
    .await
}

/// It is done. False where another has taken over.
pub(super) async fn done(db: &Db, claim: &Claim) -> Result<bool> {
    let sql = SystemSql::new(
        "DELETE FROM jobs WHERE tenant_id = $1 AND id = $2 AND attempt = $3 AND leased_until IS NOT NULL",
    );
    db.system(SystemReason::Jobs, Mode::Write, async |conn| {
        Ok(conn.execute(sql, &[&claim.tenant, &claim.id, &claim.attempt]).await? == 1)
    })
    .await
}

/// It was not done: tried again after the delay, or with none given up for dead. False where another has taken over.
pub(super) async fn failed(db: &Db, claim: &Claim, delay: Option<Duration>, why: &str) -> Result<bool> {
    let sql = SystemSql::new(
        "UPDATE jobs SET state = $4, run_at = $5, last_error = $6, leased_until = NULL \
         WHERE tenant_id = $1 AND id = $2 AND attempt = $3 AND leased_until IS NOT NULL",
    );
    let state = if delay.is_some() { "waiting" } else { "dead" };
    db.system(SystemReason::Jobs, Mode::Write, async |conn| {
        let run_at = conn.clock().await?.plus(delay.unwrap_or_default());
        let changed =
            conn.execute(sql, &[&claim.tenant, &claim.id, &claim.attempt, &state, &run_at, &why]).await?;
        Ok(changed == 1)
    })
    .await
}

/// It was begun and not ended: another may take it at once.
pub(super) async fn give_back(db: &Db, claim: &Claim) -> Result<()> {
    let sql = SystemSql::new(
        "UPDATE jobs SET leased_until = NULL WHERE tenant_id = $1 AND id = $2 AND attempt = $3",
    );
    db.system(SystemReason::Jobs, Mode::Write, async |conn| {
        conn.execute(sql, &[&claim.tenant, &claim.id, &claim.attempt]).await.map(drop)
    })
    .await
}

/// Of a job that is not done.
pub(super) const STATES: [&str; 2] = ["waiting", "dead"];

/// How many jobs of a kind are in a state.
pub(super) struct Count {
    pub kind: String,
    pub state: String,
    pub jobs: i64,
}

impl FromRow for Count {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self { kind: row.get(0)?, state: row.get(1)?, jobs: row.get(2)? })
    }
}

/// All jobs, counted.
pub(super) async fn count(db: &Db) -> Result<Vec<Count>> {
    let sql = SystemSql::new("SELECT kind, state, count(*) FROM jobs GROUP BY kind, state");
    db.system(SystemReason::Jobs, Mode::Read, async |conn| conn.fetch_all(sql, &[]).await).await
}
