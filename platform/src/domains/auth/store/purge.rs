//! What is over and taken out, of all tenants.
use crate::{data::SystemSql, infra::purge::Over};
use std::time::Duration;

/// How long sessions and refresh tokens are kept after their end.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// In the order of their foreign keys.
pub const OVER: &[Over] = &[
    Over {
        sql: SystemSql::new(
            "DELETE FROM user_tokens WHERE expires_at <= $1 AND (tenant_id, user_id, kind) IN \
             (SELECT tenant_id, user_id, kind FROM user_tokens WHERE expires_at <= $1 LIMIT 500)",
        ),
        kept: Duration::ZERO,
    },
    Over {
        sql: SystemSql::new(
            "DELETE FROM refresh_tokens WHERE expires_at <= $1 AND (tenant_id, hash) IN \
             (SELECT tenant_id, hash FROM refresh_tokens WHERE expires_at <= $1 LIMIT 500)",
        ),
        kept: KEPT,
    },
    Over {
        sql: SystemSql::new(
            "DELETE FROM refresh_tokens WHERE (tenant_id, hash) IN \
             (SELECT t.tenant_id, t.hash FROM sessions s \
              JOIN refresh_tokens t ON t.tenant_id = s.tenant_id AND t.session_id = s.id \
              WHERE s.ended_at <= $1 OR s.expires_at <= $1 LIMIT 500)",
        ),
        kept: KEPT,
    },
    Over {
        sql: SystemSql::new(
            "DELETE FROM sessions WHERE (ended_at <= $1 OR expires_at <= $1) AND (tenant_id, id) IN \
             (SELECT s.tenant_id, s.id FROM sessions s WHERE (s.ended_at <= $1 OR s.expires_at <= $1) \
              AND NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.tenant_id = s.tenant_id AND t.session_id = s.id) \
              LIMIT 500)",
        ),
        kept: KEPT,
    },
];
