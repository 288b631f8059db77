//! Storing what Stripe says. A fetch began at some instant of the database's clock, and what it found is stored only if
//! no fetch that began later has been: so the last word is that of the last fetch, whoever made it, and whenever it
//! came back. Tenant by tenant one transaction does so at a time.
use super::super::{
    model::{Stored, Subscription, SubscriptionUpdated, SubscriptionView, foremost},
    store,
};
use crate::{
    core::Core,
    data::TenantConn,
    domains::auth::service as auth,
    error::Result,
    infra::{
        audit::{self, Entry, Origin},
        outbox,
        plans::Plan,
        stripe::{self, Deadline, Failure, Prices, Stripe},
    },
    values::Timestamp,
};
use serde_json::json;
use std::time::Duration;

/// How long until what was fetched is compared with Stripe's again.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// All that Stripe knows of a customer's subscriptions, and when it was asked.
pub struct Fetched {
    all: Vec<stripe::Subscription>,
    /// By the database's clock, read before Stripe was asked.
    began: Timestamp,
}

/// Asks Stripe. All of the customer's subscriptions are asked for, so what counts does not depend on the one that an
/// event is about; that one (`hint`) is asked for by itself where the list does not have it.
pub async fn fetch(
    stripe: &Stripe,
    customer: &str,
    hint: Option<&str>,
    began: Timestamp,
    deadline: Deadline,
) -> std::result::Result<Fetched, Failure> {
    let (mut all, missing) = match stripe.subscriptions(customer, deadline).await {
        Ok(all) => (all, None),
        Err(missing @ Failure::Missing(_)) => (Vec::new(), Some(missing)),
        Err(failure) => return Err(failure),
    };
    if let Some(hint) = hint.filter(|hint| all.iter().all(|one| one.id != *hint)) {
        match stripe.subscription(hint, deadline).await {
            Ok(one) => all.push(one),
            Err(Failure::Missing(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    all.retain(|one| one.customer.as_deref() == Some(customer));
    match missing {
        // this says nothing of what the customer had: the key may be another account's
        Some(missing) if all.is_empty() => Err(missing),
        _ => Ok(Fetched { all, began }),
    }
}

/// Stores what was fetched, if it is the latest.
pub async fn store(
    core: &Core,
    conn: &TenantConn,
    prices: &Prices,
    fetched: &Fetched,
    origin: &Origin,
) -> Result<()> {
    let account = store::lock_account(conn).await?;
    let Stored { subscription: before, fetched_at } = store::subscription(conn).await?;
    if fetched_at.is_some_and(|at| at >= fetched.began) {
        return Ok(());
    }
    let after = match foremost(&fetched.all, prices) {
        Some((found, plan)) => {
            if plan.is_none() {
                tracing::warn!(
                    tenant = %conn.tenant_id(),
                    subscription = found.id,
                    prices = ?found.prices,
                    "a subscription is to no STRIPE_PRICE_… of ours: the tenant is on the free plan"
                );
            }
            before.fetched(found, plan.unwrap_or(Plan::Free), conn.now())
        }
        None => Subscription::none(),
    };
    let check_at = fetched.began.plus(FRESH);
    store::put_subscription(conn, &after, fetched.began, check_at).await?;
    // a plan that was given without a subscription stays until there is one
    let given = if before.is_none() { account.plan } else { Plan::Free };
    settle(core, conn, origin, (account.plan, &before), (given, &after)).await
}

/// Writes down that a grace period has ended, if it has.
pub async fn lapse(core: &Core, conn: &TenantConn) -> Result<()> {
    let account = store::lock_account(conn).await?;
    let Stored { subscription, .. } = store::subscription(conn).await?;
    let known = (account.plan, &subscription);
    settle(core, conn, &Origin::default(), known, known).await
}

/// Lets what has changed take effect: the plan, from the next request on, and whoever wants to know is told.
async fn settle(
    core: &Core,
    conn: &TenantConn,
    origin: &Origin,
    (was, before): (Plan, &Subscription),
    (given, after): (Plan, &Subscription),
) -> Result<()> {
    let plan = after.granted(given, conn.now(), core.billing_grace);
    if was == plan && before == after {
        return Ok(());
    }
    if was != plan {
        store::set_plan(conn, plan).await?;
    }
    let used = auth::count_seats(conn).await?;
    let view = SubscriptionView::of(after, plan, used, core.billing_grace);
    outbox::emit(conn, &SubscriptionUpdated(view)).await?;
    let details = json!({
        "from": { "plan": was, "status": before.status },
        "to": { "plan": plan, "status": after.status },
    });
    let entry = Entry::new("billing.subscription_changed").on("tenant", conn.tenant_id()).with(details);
    audit::record(conn, origin, &entry).await
}
