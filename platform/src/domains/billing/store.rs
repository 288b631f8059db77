//! The SQL of billing.
use super::model::{Account, Stored, Subscription};
use crate::{
    data::{SharedInsert, SystemConn, SystemSql, TenantConn},
    error::Result,
    infra::{plans::Plan, purge::Over},
    sql,
    values::Timestamp,
};
use std::time::Duration;
use uuid::Uuid;

/// What billing knows of the tenant.
pub async fn account(conn: &TenantConn) -> Result<Account> {
    conn.fetch_one(sql!("SELECT plan, slug, stripe_customer_id FROM tenants WHERE id = $1"), &[]).await
}

/// The same; nobody else changes it, or counts seats, until this transaction ends. What refers to the tenant may be
/// added meanwhile, so nothing else waits.
pub async fn lock_account(conn: &TenantConn) -> Result<Account> {
    let sql = sql!("SELECT plan, slug, stripe_customer_id FROM tenants WHERE id = $1", for no key update);
    conn.fetch_one(sql, &[]).await
}

pub async fn set_plan(conn: &TenantConn, plan: Plan) -> Result<()> {
    let sql = sql!("UPDATE tenants SET plan = $2, updated_at = $3 WHERE id = $1");
    conn.execute(sql, &[&plan.as_str(), &conn.now()]).await.map(drop)
}

/// Makes this the tenant's customer, unless it has one.
pub async fn claim_customer(conn: &TenantConn, customer: &str) -> Result<()> {
    let sql = sql!("UPDATE tenants SET stripe_customer_id = $2 WHERE id = $1 AND stripe_customer_id IS NULL");
    conn.execute(sql, &[&customer]).await.map(drop)
}

/// The row of a tenant that has a customer and no subscription yet, if there is none.
pub async fn open(conn: &TenantConn) -> Result<()> {
    let sql = sql!(
        "INSERT INTO subscriptions (tenant_id, status, plan, cancel_at_period_end, check_at, updated_at) \
         VALUES ($1, $2, $3, $4, clock_timestamp(), $5) ON CONFLICT (tenant_id) DO NOTHING"
    );
    let Subscription { status, plan, cancel_at_period_end, .. } = Subscription::none();
    conn.execute(sql, &[&status, &plan.as_str(), &cancel_at_period_end, &conn.now()]).await.map(drop)
}

/// What Stripe said last.
pub async fn subscription(conn: &TenantConn) -> Result<Stored> {
    let sql = sql!(
        "SELECT stripe_subscription_id, status, plan, current_period_end, cancel_at_period_end, trial_end, past_due_since, \
         fetched_at FROM subscriptions WHERE tenant_id = $1"
    );
    Ok(conn.fetch_optional(sql, &[]).await?.unwrap_or_default())
}

/// What Stripe says now; `began` is when the fetch of it did, and `check_at` when it is fetched again at the latest.
pub async fn put_subscription(
    conn: &TenantConn,
    subscription: &Subscription,
    began: Timestamp,
    check_at: Timestamp,
) -> Result<()> {
    let sql = sql!(
        "INSERT INTO subscriptions (tenant_id, stripe_subscription_id, status, plan, current_period_end, \
         cancel_at_period_end, trial_end, past_due_since, fetched_at, check_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (tenant_id) DO UPDATE SET \
         stripe_subscription_id = excluded.stripe_subscription_id, status = excluded.status, plan = excluded.plan, \
         current_period_end = excluded.current_period_end, cancel_at_period_end = excluded.cancel_at_period_end, \
         trial_end = excluded.trial_end, past_due_since = excluded.past_due_since, fetched_at = excluded.fetched_at, \
         check_at = excluded.check_at, updated_at = excluded.updated_at"
    );
    let Subscription {
        id, status, current_period_end, cancel_at_period_end, trial_end, past_due_since, ..
    } = subscription;
    let plan = subscription.plan.as_str();
    let params: [&dyn crate::data::Param; 10] = [
        id,
        status,
        &plan,
        current_period_end,
        cancel_at_period_end,
        trial_end,
        past_due_since,
        &began,
        &check_at,
        &conn.now(),
    ];
    conn.execute(sql, &params).await.map(drop)
}

/// Whether this event has not taken effect yet; waits for whoever is about to let it.
pub async fn claim_event(conn: &TenantConn, id: &str, r#type: &str) -> Result<bool> {
    const INSERT: SharedInsert = SharedInsert::new(
        "INSERT INTO stripe_events (id, type, received_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    );
    conn.insert_shared(INSERT, &[&id, &r#type, &conn.now()]).await
}

/// Whether this event has taken effect.
pub async fn was_received(conn: &SystemConn, id: &str) -> Result<bool> {
    let sql = SystemSql::new("SELECT id FROM stripe_events WHERE id = $1");
    Ok(conn.fetch_optional::<String>(sql, &[&id]).await?.is_some())
}

pub async fn tenant_of(conn: &SystemConn, customer: &str) -> Result<Option<Uuid>> {
    let sql = SystemSql::new("SELECT id FROM tenants WHERE stripe_customer_id = $1");
    conn.fetch_optional(sql, &[&customer]).await
}

macro_rules! claim_due {
    ($lock:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT tenant_id AS due_tenant FROM subscriptions WHERE check_at <= $1 \
             ORDER BY check_at LIMIT $3",
            $lock,
            ") UPDATE subscriptions SET check_at = $2 FROM due WHERE tenant_id = due_tenant RETURNING tenant_id"
        )
    };
}

/// Tenants whose subscription is to be compared with Stripe's, those that wait longest first, at most so many. Until
/// `until` they are nobody else's.
pub async fn claim_due(conn: &SystemConn, now: Timestamp, until: Timestamp, most: i64) -> Result<Vec<Uuid>> {
    let sql = SystemSql::of(claim_due!(" FOR UPDATE SKIP LOCKED"), claim_due!(""));
    conn.fetch_all(sql, &[&now, &until, &most]).await
}

/// Tenants that have kept their plan since before this though a payment has failed, at most so many.
pub async fn past_grace(conn: &SystemConn, before: Timestamp, most: i64) -> Result<Vec<Uuid>> {
    let sql = SystemSql::new(
        "SELECT s.tenant_id FROM subscriptions s JOIN tenants t ON t.id = s.tenant_id \
         WHERE s.past_due_since <= $1 AND s.status = 'past_due' AND t.plan <> 'free' \
         ORDER BY s.past_due_since LIMIT $2",
    );
    conn.fetch_all(sql, &[&before, &most]).await
}

/// Stripe sends an event again for three days, and by hand for thirty. One that is sent even later is a hint like others.
pub const OVER: &[Over] = &[Over {
    sql: SystemSql::new(
        "DELETE FROM stripe_events WHERE received_at <= $1 AND id IN \
         (SELECT id FROM stripe_events WHERE received_at <= $1 LIMIT 500)",
    ),
    kept: Duration::from_secs(30 * 24 * 60 * 60),
}];
