//! What is not through, counted for the metrics. Each count goes by an index of such rows alone.
use crate::{
    data::{FromRow, Row, SystemConn, SystemSql},
    error::{Error, Result},
    values::Timestamp,
};

/// Deliveries of all tenants.
pub struct Open {
    pub pending: i64,
    pub failed: i64,
    /// Since when the one has been due that has waited longest; in the future where none is.
    pub due_since: Option<Timestamp>,
}

impl FromRow for Open {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self { pending: row.get(0)?, failed: row.get(1)?, due_since: row.get(2)? })
    }
}

pub async fn open(conn: &SystemConn) -> Result<Open> {
    let sql = SystemSql::new(
        "SELECT (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'), \
         (SELECT count(*) FROM webhook_deliveries WHERE status = 'failed'), \
         (SELECT min(next_attempt_at) FROM webhook_deliveries WHERE status = 'pending')",
    );
    let open = conn.fetch_optional(sql, &[]).await?;
    open.ok_or_else(|| Error::internal("deliveries were not counted"))
}
