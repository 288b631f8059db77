//! Work to be done after a transaction, written in it: if it commits the work will be done, at least once.
use crate::{
    data::TenantConn,
    error::{Error, Result},
    sql,
};
use serde::Serialize;

/// A kind of work, with what it needs to know.
pub trait Job: Serialize + Sync {
    /// `mail.invitation`: what it belongs to, a full stop, what it is.
    const KIND: &'static str;
}

/// Writes a job into this transaction, due at once.
pub(crate) async fn enqueue<J: Job>(conn: &TenantConn, job: &J) -> Result<()> {
    let sql = sql!(
        "INSERT INTO jobs (tenant_id, id, kind, payload, state, run_at, attempt, created_at) \
         VALUES ($1, $2, $3, $4, 'waiting', clock_timestamp(), 0, clock_timestamp())"
    );
    let payload = serde_json::to_string(job).map_err(Error::internal)?;
    conn.execute(sql, &[&conn.new_id(), &J::KIND, &payload]).await.map(drop)
}
