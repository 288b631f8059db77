//! The transactional outbox: an event is a row, written with the change that causes it, so neither is there without
//! the other. Who reads the rows delivers at least once.
use super::events::Event;
use crate::{
    data::{TenantConn, Topic},
    error::{Error, Result},
    sql,
};
use uuid::Uuid;

/// Writes an event into this transaction.
pub(crate) async fn emit<E: Event>(conn: &TenantConn, event: &E) -> Result<()> {
    let sql =
        sql!("INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, $2, $3, $4, $5)");
    conn.execute(sql, &[&conn.new_id(), &E::TYPE, &payload(event)?, &conn.now()]).await?;
    conn.ring_after_commit(Topic::Events);
    Ok(())
}

/// Writes one that goes to nobody but whom this transaction sends it to; answers its identifier.
pub(crate) async fn emit_dispatched<E: Event>(conn: &TenantConn, event: &E) -> Result<Uuid> {
    let sql = sql!(
        "INSERT INTO outbox (tenant_id, id, type, payload, created_at, dispatched_at, wanted) \
         VALUES ($1, $2, $3, $4, $5, $5, true)"
    );
    let id = conn.new_id();
    conn.execute(sql, &[&id, &E::TYPE, &payload(event)?, &conn.now()]).await?;
    Ok(id)
}

fn payload<E: Event>(event: &E) -> Result<String> {
    serde_json::to_string(event).map_err(Error::internal)
}
