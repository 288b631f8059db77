//! Taking out what is over.
use super::super::store::over;
use crate::{core::Core, error::Result, infra::purge};

/// Held by the node that purges; a number of ours alone.
const LOCK: i64 = 0x7465_6e61_6e74_0004;

/// Takes out deliveries with their attempts and events after `WEBHOOK_RETENTION_DAYS`, events that nobody wanted after a
/// day, secrets that sign no more, and endpoints that were deleted once nothing of them is left; answers how many rows.
pub async fn purge(core: Core) -> Result<u64> {
    purge::purge(&core.db, LOCK, core.clock.now(), &over(core.webhooks.retention)).await
}
