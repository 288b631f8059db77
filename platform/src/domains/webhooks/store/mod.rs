//! The SQL of webhooks, and only that: of endpoints here, of what is delivered and how beside.
mod deliveries;
mod open;
mod over;
mod queue;
mod secrets;

pub use deliveries::*;
pub use open::open;
pub use over::over;
pub use queue::*;
pub use secrets::*;

use super::model::{DisabledReason, WebhookEndpoint};
use crate::{data::TenantConn, error::Result, sql};
use uuid::Uuid;

/// Holds up others who count or add endpoints until this transaction ends; answers how many there are.
pub async fn lock_and_count(conn: &TenantConn) -> Result<i64> {
    let lock = sql!("SELECT id FROM tenants WHERE id = $1", for no key update);
    let count = sql!("SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1 AND deleted_at IS NULL");
    conn.fetch_all::<Uuid>(lock, &[]).await?; // first: what is counted is what whoever had the lock left
    conn.fetch_one(count, &[]).await
}

pub async fn insert(conn: &TenantConn, endpoint: &WebhookEndpoint) -> Result<()> {
    let sql = sql!(
        "INSERT INTO webhook_endpoints (tenant_id, id, url, description, event_types, enabled, version, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, true, $6, $7, $8)"
    );
    let WebhookEndpoint { id, url, description, version, created_at, updated_at, .. } = endpoint;
    conn.execute(sql, &[id, url, description, &endpoint.patterns()?, version, created_at, updated_at])
        .await
        .map(drop)
}

pub async fn find(conn: &TenantConn, id: Uuid) -> Result<Option<WebhookEndpoint>> {
    let sql = sql!(
        "SELECT id, url, description, event_types, disabled_reason, failing_since, version, created_at, updated_at \
         FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL"
    );
    conn.fetch_optional(sql, &[&id]).await
}

/// Nobody else changes it until this transaction ends.
pub async fn lock(conn: &TenantConn, id: Uuid) -> Result<Option<WebhookEndpoint>> {
    let sql = sql!(
        "SELECT id, url, description, event_types, disabled_reason, failing_since, version, created_at, updated_at \
         FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL",
        for no key update
    );
    conn.fetch_optional(sql, &[&id]).await
}

/// Below this identifier, newest first.
pub async fn list(conn: &TenantConn, before: Uuid, limit: i64) -> Result<Vec<WebhookEndpoint>> {
    let sql = sql!(
        "SELECT id, url, description, event_types, disabled_reason, failing_since, version, created_at, updated_at \
         FROM webhook_endpoints WHERE tenant_id = $1 AND id < $2 AND deleted_at IS NULL ORDER BY id DESC LIMIT $3"
    );
    conn.fetch_all(sql, &[&before, &limit]).await
}

pub async fn update(conn: &TenantConn, endpoint: &WebhookEndpoint) -> Result<()> {
    let sql = sql!(
        "UPDATE webhook_endpoints SET url = $3, description = $4, event_types = $5, enabled = $6, disabled_reason = $7, \
         failing_since = $8, version = $9, updated_at = $10 WHERE tenant_id = $1 AND id = $2"
    );
    let WebhookEndpoint { id, url, description, failing_since, version, updated_at, .. } = endpoint;
    let (enabled, reason) = (endpoint.disabled.is_none(), endpoint.disabled.map(DisabledReason::as_str));
    let patterns = endpoint.patterns()?;
    conn.execute(
        sql,
        &[id, url, description, &patterns, &enabled, &reason, failing_since, version, updated_at],
    )
    .await
    .map(drop)
}

/// The row stays while the log of its deliveries does.
pub async fn delete(conn: &TenantConn, id: Uuid) -> Result<()> {
    let sql = sql!(
        "UPDATE webhook_endpoints SET enabled = false, deleted_at = $3, updated_at = $3 WHERE tenant_id = $1 AND id = $2"
    );
    conn.execute(sql, &[&id, &conn.now()]).await.map(drop)
}
