//! Taking out what is over.
use super::super::store::{OVER, purge_some};
use crate::{
    core::Core,
    data::{Mode, SystemReason},
    error::Result,
};
use std::time::Duration;

/// How long sessions and refresh tokens are kept after their end.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Rows in one transaction.
const BATCH: i64 = 500;
/// Held by the node that purges; a number of ours alone.
const LOCK: i64 = 0x7465_6e61_6e74_0001;

/// Takes out expired tokens of people, and sessions and refresh tokens 30 days after their end; answers how many rows.
/// Where another node is at it, that node does the rest. Errs where the database does.
pub async fn purge(core: Core) -> Result<u64> {
    let now = core.clock.now();
    let mut purged = 0;
    for over in OVER {
        let before = if over.at_once { now } else { now.minus(KEPT) };
        loop {
            let some = core.db.system(SystemReason::Purge, Mode::Write, async |conn| {
                if !conn.try_lock(LOCK).await? {
                    return Ok(0);
                }
                purge_some(conn, over, before, BATCH).await
            });
            let some = some.await?;
            purged += some;
            if some == 0 {
                break;
            }
        }
    }
    Ok(purged)
}
