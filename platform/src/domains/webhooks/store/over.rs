//! What is over and taken out, of all tenants.
use crate::{data::SystemSql, infra::purge::Over};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// In the order of their foreign keys. Sorted by what makes them be over, so that PostgreSQL goes by an index and not
/// through the whole table to find that there are none; the attempts at a delivery go with it.
pub fn over(retention: Duration) -> [Over; 5] {
    [
        Over {
            sql: SystemSql::new(
                "DELETE FROM webhook_deliveries WHERE status <> 'pending' AND (tenant_id, id) IN \
                 (SELECT tenant_id, id FROM webhook_deliveries WHERE status <> 'pending' AND created_at <= $1 \
                  ORDER BY created_at LIMIT 500)",
            ),
            kept: retention,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM outbox WHERE (tenant_id, id) IN \
                 (SELECT e.tenant_id, e.id FROM outbox e WHERE e.wanted = true AND e.dispatched_at <= $1 \
                  AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d \
                  WHERE d.tenant_id = e.tenant_id AND d.event_id = e.id) ORDER BY e.dispatched_at LIMIT 500)",
            ),
            kept: retention,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM outbox WHERE (tenant_id, id) IN \
                 (SELECT e.tenant_id, e.id FROM outbox e WHERE e.wanted = false AND e.dispatched_at <= $1 \
                  ORDER BY e.dispatched_at LIMIT 500)",
            ),
            kept: DAY,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM webhook_secrets WHERE expires_at <= $1 AND (tenant_id, endpoint_id, id) IN \
                 (SELECT tenant_id, endpoint_id, id FROM webhook_secrets WHERE expires_at <= $1 \
                  ORDER BY expires_at LIMIT 500)",
            ),
            kept: Duration::ZERO,
        },
        Over {
            sql: SystemSql::new(
                "DELETE FROM webhook_endpoints WHERE (tenant_id, id) IN \
                 (SELECT e.tenant_id, e.id FROM webhook_endpoints e WHERE e.deleted_at <= $1 \
                  AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d \
                  WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.id) ORDER BY e.deleted_at LIMIT 500)",
            ),
            kept: DAY,
        },
    ]
}
