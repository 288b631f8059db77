//! The SQL of API keys, and only that. How one is recognised stands in `access/gate.rs`.
use super::model::ApiKey;
use crate::{
    data::{Param, TenantConn},
    error::Result,
    sql,
};
use futures_util::try_join;
use uuid::Uuid;

pub async fn insert(conn: &TenantConn, key: &ApiKey, hash: &[u8]) -> Result<()> {
    let sql = sql!(
        "INSERT INTO api_keys (tenant_id, id, name, prefix, hash, role, created_by, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    );
    let ApiKey { id, name, prefix, created_by, created_at, expires_at, .. } = key;
    conn.execute(sql, &[id, name, prefix, &hash, &key.role.as_str(), created_by, created_at, expires_at])
        .await
        .map(drop)
}

/// A page of the keys that were not revoked, oldest first, and how many there are.
pub async fn list(conn: &TenantConn, limit: i64, offset: i64) -> Result<(Vec<ApiKey>, i64)> {
    let page = sql!(
        "SELECT id, name, prefix, role, created_by, created_at, last_used_at, expires_at FROM api_keys \
         WHERE tenant_id = $1 AND revoked_at IS NULL ORDER BY id LIMIT $2 OFFSET $3"
    );
    let count = sql!("SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL");
    let params: [&dyn Param; 2] = [&limit, &offset];
    try_join!(conn.fetch_all(page, &params), conn.fetch_one(count, &[]))
}

/// The key, if this is what revoked it.
pub async fn revoke(conn: &TenantConn, id: Uuid) -> Result<Option<ApiKey>> {
    let sql = sql!(
        "UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL \
         RETURNING id, name, prefix, role, created_by, created_at, last_used_at, expires_at"
    );
    conn.fetch_optional(sql, &[&id, &conn.now()]).await
}

/// The keys of this maker that this revoked.
pub async fn revoke_all_of(conn: &TenantConn, user: Uuid) -> Result<Vec<ApiKey>> {
    let sql = sql!(
        "UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND created_by = $2 AND revoked_at IS NULL \
         RETURNING id, name, prefix, role, created_by, created_at, last_used_at, expires_at"
    );
    conn.fetch_all(sql, &[&user, &conn.now()]).await
}
