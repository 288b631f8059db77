//! What is over and taken out, of all tenants.
use crate::{data::SystemSql, infra::purge::Over};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// In the order of their foreign keys.
pub fn over(retention: Duration) -> [Over; 6] {
    [
        Over {
            sql: SystemSql::new(
                "DELETE FROM webhook_attempts WHERE (tenant_id, delivery_id) IN \
                 (SELECT d.tenant_id, d.id FROM webhook_deliveries d \
                  WHERE d.status <> 'pending' AND d.created_at <= $1 AND EXISTS (SELECT 1 FROM webhook_attempts a \
                  WHERE a.tenant_id = d.tenant_id AND a.delivery_id = d.id) LIMIT 500)",
            ),
            kept: retention,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM webhook_deliveries WHERE status <> 'pending' AND (tenant_id, id) IN \
                 (SELECT d.tenant_id, d.id FROM webhook_deliveries d \
                  WHERE d.status <> 'pending' AND d.created_at <= $1 AND NOT EXISTS (SELECT 1 FROM webhook_attempts a \
                  WHERE a.tenant_id = d.tenant_id AND a.delivery_id = d.id) LIMIT 500)",
            ),
            kept: retention,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM outbox WHERE (tenant_id, id) IN \
                 (SELECT e.tenant_id, e.id FROM outbox e WHERE e.wanted = true AND e.dispatched_at <= $1 \
                  AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d \
                  WHERE d.tenant_id = e.tenant_id AND d.event_id = e.id) LIMIT 500)",
            ),
            kept: retention,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM outbox WHERE (tenant_id, id) IN \
                 (SELECT e.tenant_id, e.id FROM outbox e WHERE e.wanted = false AND e.dispatched_at <= $1 LIMIT 500)",
            ),
            kept: DAY,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM webhook_secrets WHERE expires_at <= $1 AND (tenant_id, endpoint_id, id) IN \
                 (SELECT tenant_id, endpoint_id, id FROM webhook_secrets WHERE expires_at <= $1 LIMIT 500)",
            ),
            kept: Duration::ZERO,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM webhook_endpoints WHERE (tenant_id, id) IN \
                 (SELECT e.tenant_id, e.id FROM webhook_endpoints e WHERE e.deleted_at <= $1 \
                  AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d \
                  WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.id) LIMIT 500)",
            ),
            kept: DAY,
        },
    ]
}
