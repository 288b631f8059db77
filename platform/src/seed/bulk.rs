//! Tenants and rows by the million, for load tests: `load-00001`, `load-00002` and so on, each with an owner whose password
//! is that of the demo. A run that was broken off is gone on with by the next, and one that asks for more adds what is
//! missing: a tenant is made with its first rows in one transaction, and the rows of each are counted.
use super::{DEMO_PASSWORD_HASH, SystemReason, new_id, service};
use crate::{
    access::Role,
    data::{Db, Mode},
    domain::{BulkSeed, BulkTenant},
    error::{Code, Error, Result},
    infra::{clock::Clock, plans::Plan},
    values::Slug,
};
use futures_util::stream::{self, TryStreamExt};
use uuid::Uuid;

/// How much is wanted.
pub struct BulkPlan {
    /// Tenants.
    pub tenants: u64,
    /// Rows in all, by domain; shared out evenly.
    pub rows: Vec<(BulkSeed, u64)>,
}

/// The most rows in a transaction: far from any time limit of a statement.
const BATCH: u64 = 1000;
/// Tenants that are filled at a time.
const AT_ONCE: usize = 4;

impl BulkPlan {
    /// What `done` counts up to: one for each tenant and one for each row.
    pub fn steps(&self) -> u64 {
        self.rows.iter().fold(self.tenants, |sum, (_, rows)| sum.saturating_add(*rows))
    }

    /// What the tenant of this number, from 0, has of so many rows.
    fn share(&self, rows: u64, number: u64) -> u64 {
        rows / self.tenants + u64::from(number < rows % self.tenants)
    }
}

/// Makes what is missing. `done` is told of each tenant and of all rows that are there then, also those of an earlier run.
pub async fn bulk(db: &Db, clock: &Clock, plan: &BulkPlan, done: &dyn Fn(u64)) -> Result<()> {
    let tenants = stream::iter((0..plan.tenants).map(Ok));
    tenants.try_for_each_concurrent(AT_ONCE, |number| fill(db, clock, plan, number, done)).await
}

async fn fill(db: &Db, clock: &Clock, plan: &BulkPlan, number: u64, done: &dyn Fn(u64)) -> Result<()> {
    let shares: Vec<_> = plan.rows.iter().map(|(domain, rows)| (domain, plan.share(*rows, number))).collect();
    let name = format!("load-{:05}", number + 1);
    let slug = Slug::new(&name).map_err(Error::internal)?;
    let owner_of = format!("owner@{name}.test");
    let people = [(owner_of.clone(), "Olive Owner".to_owned(), Role::Owner)];
    let now = clock.now();
    let tenant = new_id(now);
    let made = db.as_tenant(SystemReason::BulkSeed, tenant, now, async |conn| {
        let plan = Plan::Enterprise.as_str();
        let made = service::seed_tenant(conn, &name, &slug, plan, &people, DEMO_PASSWORD_HASH).await?;
        let Some(&(owner, _)) = made.as_deref().and_then(<[_]>::first) else { return Ok(None) };
        for (domain, share) in &shares {
            (domain.insert)(conn, &BulkTenant { owner, rows: 0..BATCH.min(*share) }).await?;
        }
        Ok(Some(owner))
    });
    let made = made.await?;
    let (tenant, owner) = match made {
        Some(owner) => (tenant, owner),
        None => known(db, clock, &slug, &owner_of).await?,
    };
    done(1);
    for (domain, share) in shares {
        let mut there = match made {
            Some(_) => BATCH.min(share),
            None => count(db, clock, tenant, domain).await?,
        };
        done(there.min(share));
        while there < share {
            let rows = there..(there + BATCH).min(share);
            let added = BulkTenant { owner, rows };
            db.as_tenant(SystemReason::BulkSeed, tenant, clock.now(), async |conn| {
                (domain.insert)(conn, &added).await
            })
            .await?;
            done(added.rows.end - there);
            there = added.rows.end;
        }
    }
    Ok(())
}

/// The tenant of an earlier run, and its owner.
async fn known(db: &Db, clock: &Clock, slug: &Slug, owner_of: &str) -> Result<(Uuid, Uuid)> {
    let slug = slug.as_str();
    let tenant =
        db.system(SystemReason::BulkSeed, Mode::Read, async |conn| service::tenant_by_slug(conn, slug).await);
    let foreign = || Error::new(Code::Conflict, format!("the tenant '{slug}' is none of a load test"));
    let tenant = tenant.await?.ok_or_else(foreign)?;
    let owner = db.as_tenant(SystemReason::BulkSeed, tenant, clock.now(), async |conn| {
        service::lock_user_by_email(conn, owner_of).await
    });
    Ok((tenant, owner.await?.ok_or_else(foreign)?.id))
}

async fn count(db: &Db, clock: &Clock, tenant: Uuid, domain: &BulkSeed) -> Result<u64> {
    db.as_tenant(SystemReason::BulkSeed, tenant, clock.now(), async |conn| (domain.count)(conn).await).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_out_evenly_and_none_is_lost() {
        for (tenants, rows) in [(1, 0), (3, 2), (3, 10), (7, 7), (10_000, 1_000_000)] {
            let plan = BulkPlan { tenants, rows: Vec::new() };
            let shares: Vec<_> = (0..tenants).map(|number| plan.share(rows, number)).collect();
            assert_eq!(shares.iter().sum::<u64>(), rows);
            assert!(shares[0] - shares[shares.len() - 1] <= 1, "{tenants} tenants, {rows} rows");
        }
    }
}
