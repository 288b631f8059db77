//! Deliveries and their attempts, as their tenant sees them.
use super::super::model::{AttemptView, DeliveryStatus, WebhookDelivery};
use crate::{
    data::{FromRow, Row, TenantConn},
    error::Result,
    sql,
    values::Timestamp,
};
use uuid::Uuid;

/// Which deliveries a list shows.
pub struct Filter {
    pub endpoint_id: Option<Uuid>,
    pub status: Option<DeliveryStatus>,
    /// Empty is any.
    pub event_type: String,
    /// Below this identifier.
    pub before: Uuid,
    pub limit: i64,
}

/// What an event tells, as it is stored.
pub struct StoredEvent {
    pub id: Uuid,
    pub r#type: String,
    pub payload: String,
    pub created_at: Timestamp,
}

impl FromRow for StoredEvent {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self { id: row.get(0)?, r#type: row.get(1)?, payload: row.get(2)?, created_at: row.get(3)? })
    }
}

/// One that is due at once.
pub async fn insert_delivery(
    conn: &TenantConn,
    endpoint: Uuid,
    event: Uuid,
    event_type: &str,
) -> Result<WebhookDelivery> {
    let sql = sql!(
        "INSERT INTO webhook_deliveries (tenant_id, id, endpoint_id, event_id, event_type, status, attempt_count, tries, \
         claims, next_attempt_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, 'pending', 0, 0, 0, clock_timestamp(), $6) \
         RETURNING id, endpoint_id, event_id, event_type, status, attempt_count, next_attempt_at, created_at, completed_at"
    );
    conn.fetch_one(sql, &[&conn.new_id(), &endpoint, &event, &event_type, &conn.now()]).await
}

pub async fn find_delivery(conn: &TenantConn, id: Uuid) -> Result<Option<WebhookDelivery>> {
    let sql = sql!(
        "SELECT id, endpoint_id, event_id, event_type, status, attempt_count, next_attempt_at, created_at, completed_at \
         FROM webhook_deliveries WHERE tenant_id = $1 AND id = $2"
    );
    conn.fetch_optional(sql, &[&id]).await
}

pub async fn attempts(conn: &TenantConn, delivery: Uuid) -> Result<Vec<AttemptView>> {
    let sql = sql!(
        "SELECT number, started_at, duration_ms, outcome, response_status, response_body, error \
         FROM webhook_attempts WHERE tenant_id = $1 AND delivery_id = $2 ORDER BY number"
    );
    conn.fetch_all(sql, &[&delivery]).await
}

pub async fn event_of(conn: &TenantConn, delivery: Uuid) -> Result<Option<StoredEvent>> {
    let sql = sql!(
        "SELECT e.id, e.type, e.payload, e.created_at FROM webhook_deliveries d \
         JOIN outbox e ON e.tenant_id = $1 AND e.id = d.event_id WHERE d.tenant_id = $1 AND d.id = $2"
    );
    conn.fetch_optional(sql, &[&delivery]).await
}

/// A statement a combination of filters, so that each finds its index. The words stand in the text: an index of some rows
/// is not used where a parameter decides.
macro_rules! page {
    ($filter:literal) => {
        sql!(concat!(
            "SELECT id, endpoint_id, event_id, event_type, status, attempt_count, next_attempt_at, created_at, completed_at \
             FROM webhook_deliveries WHERE tenant_id = $1 AND id < $2 AND ($3 = '' OR event_type = $3) ",
            $filter,
            " ORDER BY id DESC LIMIT $4"
        ))
    };
}

/// A page, newest first.
pub async fn list_deliveries(conn: &TenantConn, filter: &Filter) -> Result<Vec<WebhookDelivery>> {
    use DeliveryStatus::{Failed, Pending, Succeeded};
    let Filter { before, event_type, limit, .. } = filter;
    let Some(endpoint) = filter.endpoint_id else {
        let sql = match filter.status {
            None => page!(""),
            Some(Pending) => page!("AND status = 'pending'"),
            Some(Succeeded) => page!("AND status = 'succeeded'"),
            Some(Failed) => page!("AND status = 'failed'"),
        };
        return conn.fetch_all(sql, &[before, event_type, limit]).await;
    };
    let sql = match filter.status {
        None => page!("AND endpoint_id = $5"),
        Some(Pending) => page!("AND endpoint_id = $5 AND status = 'pending'"),
        Some(Succeeded) => page!("AND endpoint_id = $5 AND status = 'succeeded'"),
        Some(Failed) => page!("AND endpoint_id = $5 AND status = 'failed'"),
    };
    conn.fetch_all(sql, &[before, event_type, limit, &endpoint]).await
}

/// Due at once, with the whole schedule before it. Whoever holds it is overtaken.
pub async fn send_again(conn: &TenantConn, id: Uuid) -> Result<()> {
    let sql = sql!(
        "UPDATE webhook_deliveries SET status = 'pending', tries = 0, claims = claims + 1, leased_until = NULL, \
         next_attempt_at = clock_timestamp(), completed_at = NULL WHERE tenant_id = $1 AND id = $2"
    );
    conn.execute(sql, &[&id]).await.map(drop)
}

/// The same for some that failed between these times, in the order of their identifiers; answers which.
pub async fn send_failed_again(
    conn: &TenantConn,
    endpoint: Uuid,
    (since, until): (Timestamp, Timestamp),
    above: Uuid,
) -> Result<Vec<Uuid>> {
    let sql = sql!(
        "UPDATE webhook_deliveries SET status = 'pending', tries = 0, claims = claims + 1, leased_until = NULL, \
         next_attempt_at = clock_timestamp(), completed_at = NULL WHERE tenant_id = $1 AND id IN \
         (SELECT d.id FROM webhook_deliveries d WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.status = 'failed' \
          AND d.completed_at >= $3 AND d.completed_at <= $4 AND d.id > $5 ORDER BY d.id LIMIT 500) RETURNING id"
    );
    conn.fetch_all(sql, &[&endpoint, &since, &until, &above]).await
}
