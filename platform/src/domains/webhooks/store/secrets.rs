//! The secrets of endpoints, sealed.
use crate::{
    data::{FromRow, Row, TenantConn},
    error::Result,
    sql,
    values::Timestamp,
};
use uuid::Uuid;

/// A secret as it is stored.
pub struct Sealed(pub Vec<u8>);

impl FromRow for Sealed {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        row.get(0).map(Self)
    }
}

pub async fn insert_secret(conn: &TenantConn, endpoint: Uuid, sealed: &[u8]) -> Result<()> {
    let sql = sql!(
        "INSERT INTO webhook_secrets (tenant_id, endpoint_id, id, secret, created_at) VALUES ($1, $2, $3, $4, $5)"
    );
    conn.execute(sql, &[&endpoint, &conn.new_id(), &sealed, &conn.now()]).await.map(drop)
}

/// The one that holds until it is replaced.
pub async fn current_secret(conn: &TenantConn, endpoint: Uuid) -> Result<Option<Sealed>> {
    let sql = sql!(
        "SELECT secret FROM webhook_secrets WHERE tenant_id = $1 AND endpoint_id = $2 AND expires_at IS NULL"
    );
    conn.fetch_optional(sql, &[&endpoint]).await
}

/// How many sign besides the current one.
pub async fn count_previous_secrets(conn: &TenantConn, endpoint: Uuid) -> Result<i64> {
    let sql = sql!(
        "SELECT count(*) FROM webhook_secrets WHERE tenant_id = $1 AND endpoint_id = $2 AND expires_at > $3"
    );
    conn.fetch_one(sql, &[&endpoint, &conn.now()]).await
}

/// The current one signs until then, beside one that is to come.
pub async fn expire_secret(conn: &TenantConn, endpoint: Uuid, at: Timestamp) -> Result<()> {
    let sql = sql!(
        "UPDATE webhook_secrets SET expires_at = $3 WHERE tenant_id = $1 AND endpoint_id = $2 AND expires_at IS NULL"
    );
    conn.execute(sql, &[&endpoint, &at]).await.map(drop)
}

pub async fn delete_secrets(conn: &TenantConn, endpoint: Uuid) -> Result<()> {
    let sql = sql!("DELETE FROM webhook_secrets WHERE tenant_id = $1 AND endpoint_id = $2");
    conn.execute(sql, &[&endpoint]).await.map(drop)
}
