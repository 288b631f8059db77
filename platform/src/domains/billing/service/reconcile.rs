//! What no event brings about: subscriptions are compared with Stripe's every hour, so that events that were lost are
//! made good; grace periods end; and ids of events that are no longer sent are forgotten.
use super::{
    super::store::{self, OVER},
    projection::{self, fetch},
};
use crate::{
    core::Core,
    data::{Mode, SystemReason},
    error::Result,
    infra::{
        audit::Origin,
        lease::Lease,
        purge,
        stripe::{Failure, Stripe},
    },
    values::Timestamp,
};
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a round lasts at most; the rest is left to the next.
const ROUND: Duration = Duration::from_secs(45);
/// How long its node has the lease: longer than a round and the calls that it ends with.
const LEASE: Duration = Duration::from_secs(2 * 60);
/// When a tenant is due again whose comparison did not come to an end.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// Calls to Stripe at a time, of all nodes together: some 20 a second, of the 100 that Stripe takes (25 in test mode).
const AT_ONCE: i64 = 4;
/// Tenants whose grace period has ended, in one go.
const BATCH: i64 = 100;
/// Held by the node that purges; a number of ours alone.
const LOCK: i64 = 0x7465_6e61_6e74_0005;

/// Compares the subscriptions that are due with Stripe's, a few at a time and at one node; answers how many. Where Stripe
/// is away the rest waits for the next round.
pub async fn reconcile(core: Core) -> Result<u64> {
    let Some(stripe) = &core.stripe else { return Ok(0) };
    let Some(lease) = Lease::take(&core.db, "billing.reconcile", LEASE).await? else { return Ok(0) };
    let outcome = round(&core, stripe).await;
    lease.release(&core.db).await?;
    outcome
}

async fn round(core: &Core, stripe: &Stripe) -> Result<u64> {
    let began = Instant::now();
    let mut compared = 0;
    while began.elapsed() < ROUND {
        let due = core.db.system(SystemReason::Billing, Mode::Write, async |conn| {
            let now = conn.clock().await?;
            Ok((now, store::claim_due(conn, now, now.plus(AGAIN), AT_ONCE).await?))
        });
        let (now, tenants) = due.await?;
        if tenants.is_empty() {
            break;
        }
        let outcomes = join_all(tenants.iter().map(|tenant| compare(core, stripe, *tenant, now))).await;
        for outcome in outcomes {
            if !outcome? {
                return Ok(compared);
            }
            compared += 1;
        }
    }
    Ok(compared)
}

/// False where Stripe cannot be asked now, by nobody.
async fn compare(core: &Core, stripe: &Stripe, tenant: Uuid, began: Timestamp) -> Result<bool> {
    let now = core.clock.now();
    let known = core.db.as_tenant(SystemReason::Billing, tenant, now, async |conn| {
        Ok((store::account(conn).await?.customer, store::subscription(conn).await?.subscription.id))
    });
    let (customer, subscription) = known.await?;
    let Some(customer) = customer else { return Ok(true) };
    let fetched = match fetch(stripe, &customer, subscription.as_deref(), began, stripe.deadline()).await {
        Ok(fetched) => fetched,
        Err(Failure::Unavailable(why)) => {
            tracing::warn!(why, "subscriptions cannot be compared with Stripe's; trying on");
            return Ok(false);
        }
        Err(Failure::Missing(why) | Failure::Refused(why)) => {
            tracing::warn!(%tenant, customer, why, "a tenant's subscription cannot be compared with Stripe's");
            return Ok(true);
        }
    };
    let origin = Origin::default();
    core.db
        .as_tenant(SystemReason::Billing, tenant, now, async |conn| {
            projection::store(core, conn, stripe.prices(), &fetched, &origin).await
        })
        .await?;
    Ok(true)
}

/// Tenants that have not paid for longer than they may are on the free plan from now on; answers how many.
pub async fn end_grace_periods(core: Core) -> Result<u64> {
    let now = core.clock.now();
    let before = now.minus(core.billing_grace);
    let mut ended = 0;
    loop {
        let tenants = core.db.system(SystemReason::Billing, Mode::Read, async |conn| {
            store::past_grace(conn, before, BATCH).await
        });
        let tenants = tenants.await?;
        for tenant in &tenants {
            let lapse = async |conn: &_| projection::lapse(&core, conn).await;
            core.db.as_tenant(SystemReason::Billing, *tenant, now, lapse).await?;
            ended += 1;
        }
        if tenants.is_empty() {
            return Ok(ended);
        }
    }
}

/// Forgets events that Stripe no longer sends; answers how many.
pub async fn purge(core: Core) -> Result<u64> {
    purge::purge(&core.db, LOCK, core.clock.now(), OVER).await
}
