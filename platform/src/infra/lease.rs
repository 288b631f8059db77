//! Work that one node does at a time and that takes longer than a transaction may: whoever does it holds a lease, by the
//! database's clock. If its holder dies, the lease ends by itself.
use crate::{
    data::{Db, Mode, SystemReason, SystemSql, new_id},
    error::Result,
};
use std::time::Duration;
use uuid::Uuid;

/// A lease that is ours.
pub struct Lease {
    name: &'static str,
    holder: Uuid,
}

impl Lease {
    /// Takes the lease of this name for so long; `None` where another has it.
    pub async fn take(db: &Db, name: &'static str, length: Duration) -> Result<Option<Self>> {
        let sql = SystemSql::new(
            "INSERT INTO leases (name, holder, held_until) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE \
             SET holder = excluded.holder, held_until = excluded.held_until WHERE leases.held_until <= $4",
        );
        db.system(SystemReason::Lease, Mode::Write, async |conn| {
            let now = conn.clock().await?;
            let holder = new_id(now);
            let taken = conn.execute(sql, &[&name, &holder, &now.plus(length), &now]).await?;
            Ok((taken == 1).then_some(Self { name, holder }))
        })
        .await
    }

    /// Gives it back before its end. One that has ended meanwhile is left to whoever has it now.
    pub async fn release(self, db: &Db) -> Result<()> {
        let sql = SystemSql::new("UPDATE leases SET held_until = $3 WHERE name = $1 AND holder = $2");
        db.system(SystemReason::Lease, Mode::Write, async |conn| {
            let now = conn.clock().await?;
            conn.execute(sql, &[&self.name, &self.holder, &now]).await.map(drop)
        })
        .await
    }
}
