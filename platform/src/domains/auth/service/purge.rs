//! Taking out what is over.
use super::super::store::OVER;
use crate::{core::Core, error::Result, infra::purge};

/// Held by the node that purges; a number of ours alone.
const LOCK: i64 = 0x7465_6e61_6e74_0001;

/// Takes out expired tokens of people, and sessions and refresh tokens 30 days after their end; answers how many rows.
/// Errs where the database does.
pub async fn purge(core: Core) -> Result<u64> {
    purge::purge(&core.db, LOCK, core.clock.now(), OVER).await
}
