//! Taking out rows that are over, of all tenants: in small transactions, by one node at a time.
use crate::{
    data::{Db, Mode, SystemReason, SystemSql},
    error::Result,
    values::Timestamp,
};
use std::time::Duration;

/// Rows that are over.
pub struct Over {
    /// Takes out some hundreds of those that were over before `$1`. How many is a number in the text, so that PostgreSQL
    /// plans for so few; and what makes a row one of them is asked of the row that is deleted too: it may have been made
    /// new since it was found.
    pub sql: SystemSql,
    /// How long they are kept after that.
    pub kept: Duration,
}

/// Takes out what is over, in the order of the list; answers how many rows. `lock` is a number of this list's own: where
/// another node has it, that node does the rest. Errs where the database does.
pub async fn purge(db: &Db, lock: i64, now: Timestamp, over: &[Over]) -> Result<u64> {
    let mut purged = 0;
    for Over { sql, kept } in over {
        let before = now.minus(*kept);
        loop {
            let some = db.system(SystemReason::Purge, Mode::Write, async |conn| {
                if !conn.try_lock(lock).await? {
                    return Ok(0);
                }
                conn.execute(*sql, &[&before]).await
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
