//! The transactional outbox: an event is a row, written with the change that causes it, so neither is there without
//! the other. Who reads the rows delivers at least once.
use super::events::Event;
use crate::{
    data::{TenantConn, Topic},
    error::{Error, Result},
    sql,
};

/// Writes an event into this transaction.
pub(crate) async fn emit<E: Event>(conn: &TenantConn, event: &E) -> Result<()> {
    let payload = serde_json::to_string(event).map_err(Error::internal)?;
    let insert =
        sql!("INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, $2, $3, $4, $5)");
    conn.execute(insert, &[&conn.new_id(), &E::TYPE, &payload, &conn.now()]).await?;
    conn.ring_after_commit(Topic::Events);
    Ok(())
}
