//! Plans and subscriptions as the API shows them.
use super::Subscription;
use crate::{
    infra::plans::{Entitlements, Plan},
    values::Timestamp,
};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// How many seats there are.
#[derive(Serialize, ToSchema)]
#[schema(as = Seats)]
pub struct SeatsView {
    /// Active and invited users.
    pub used: i64,
    /// How many there may be; `null` for no limit.
    #[schema(required)]
    pub limit: Option<u32>,
}

/// What a tenant has subscribed to, and what it has of that now.
#[derive(Serialize, ToSchema)]
#[schema(as = Subscription)]
pub struct SubscriptionView {
    /// The plan that holds now, whatever is subscribed to.
    #[schema(inline)]
    pub plan: Plan,
    /// Stripe's word for where the subscription stands; `none` where there is none.
    pub status: String,
    /// How many seats there are.
    pub seats: SeatsView,
    /// The end of what is paid for, or to be paid.
    #[schema(required)]
    pub current_period_end: Option<Timestamp>,
    /// Whether the subscription ends then.
    pub cancel_at_period_end: bool,
    /// The end of the trial, if there is or was one.
    #[schema(required)]
    pub trial_end: Option<Timestamp>,
    /// Until when the plan is kept though a payment has failed; `null` where none has.
    #[schema(required)]
    pub grace_period_end: Option<Timestamp>,
}

impl SubscriptionView {
    /// A subscription, of which this plan holds.
    pub fn of(subscription: &Subscription, plan: Plan, used: i64, grace: Duration) -> Self {
        let Subscription { status, current_period_end, cancel_at_period_end, trial_end, .. } = subscription;
        Self {
            plan,
            status: status.clone(),
            seats: SeatsView { used, limit: plan.entitlements().seats },
            current_period_end: *current_period_end,
            cancel_at_period_end: *cancel_at_period_end,
            trial_end: *trial_end,
            grace_period_end: subscription.grace_period_end(grace),
        }
    }
}

/// A plan and what it entitles to.
#[derive(Serialize, ToSchema)]
#[schema(as = Plan)]
pub struct PlanView {
    /// Its name.
    #[schema(inline)]
    plan: Plan,
    /// Active and invited users; `null` for no limit.
    #[schema(required)]
    seats: Option<u32>,
    /// Requests in a minute, of the whole tenant.
    requests_per_minute: u32,
    /// Webhook endpoints.
    webhook_endpoints: u32,
}

/// All plans.
#[derive(Serialize, ToSchema)]
#[schema(as = Plans)]
pub struct PlansView {
    /// From the least to the most.
    plans: Vec<PlanView>,
}

impl PlansView {
    /// All of them.
    pub fn all() -> Self {
        let view = |plan: &Plan| {
            let Entitlements { seats, requests_per_minute, webhook_endpoints } = plan.entitlements();
            PlanView { plan: *plan, seats, requests_per_minute, webhook_endpoints }
        };
        Self { plans: Plan::ALL.iter().map(view).collect() }
    }
}

/// A page at Stripe where somebody subscribes.
#[derive(Serialize, ToSchema)]
#[schema(as = Checkout)]
pub struct CheckoutView {
    /// Where it is: send the browser there.
    pub checkout_url: String,
    /// Stripe's identifier of it.
    pub session_id: String,
}

/// A page at Stripe where the subscription is managed.
#[derive(Serialize, ToSchema)]
#[schema(as = Portal)]
pub struct PortalView {
    /// Where it is: send the browser there.
    pub portal_url: String,
}

/// What Stripe is answered.
#[derive(Serialize, ToSchema)]
#[schema(as = Received)]
pub struct ReceivedView {
    /// Always true: it need not be sent again.
    pub received: bool,
}
