//! The SQL of a tenant.
use crate::{data::TenantConn, error::Result, sql};

pub async fn rename(conn: &TenantConn, name: &str) -> Result<()> {
    let sql = sql!("UPDATE tenants SET name = $2, updated_at = $3 WHERE id = $1");
    conn.execute(sql, &[&name, &conn.now()]).await.map(drop)
}
