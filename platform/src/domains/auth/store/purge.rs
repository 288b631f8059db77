//! What is over and taken out, of all tenants.
use crate::{
    data::{SystemConn, SystemSql},
    error::Result,
    values::Timestamp,
};

/// Rows that are over.
pub struct Over {
    sql: SystemSql,
    /// As soon as they are; else after a while.
    pub at_once: bool,
}

/// In the order of their foreign keys. `$1`: over before this; `$2`: at most so many.
pub const OVER: &[Over] = &[
    Over {
        sql: SystemSql::new(
            "DELETE FROM user_tokens WHERE (tenant_id, user_id, kind) IN \
             (SELECT tenant_id, user_id, kind FROM user_tokens WHERE expires_at <= $1 LIMIT $2)",
        ),
        at_once: true,
    },
    Over {
        sql: SystemSql::new(
            "DELETE FROM refresh_tokens WHERE (tenant_id, hash) IN \
             (SELECT tenant_id, hash FROM refresh_tokens WHERE expires_at <= $1 LIMIT $2)",
        ),
        at_once: false,
    },
    Over {
        sql: SystemSql::new(
            "DELETE FROM refresh_tokens WHERE (tenant_id, hash) IN \
             (SELECT t.tenant_id, t.hash FROM sessions s \
              JOIN refresh_tokens t ON t.tenant_id = s.tenant_id AND t.session_id = s.id \
              WHERE s.ended_at <= $1 OR s.expires_at <= $1 LIMIT $2)",
        ),
        at_once: false,
    },
    Over {
        sql: SystemSql::new(
            "DELETE FROM sessions WHERE (tenant_id, id) IN \
             (SELECT s.tenant_id, s.id FROM sessions s WHERE (s.ended_at <= $1 OR s.expires_at <= $1) \
              AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.tenant_id = s.tenant_id AND t.session_id = s.id) \
              LIMIT $2)",
        ),
        at_once: false,
    },
];

/// Takes out at most so many of them; answers how many.
pub async fn purge_some(conn: &SystemConn, over: &Over, before: Timestamp, most: i64) -> Result<u64> {
    conn.execute(over.sql, &[&before, &most]).await
}
