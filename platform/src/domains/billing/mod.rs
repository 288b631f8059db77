//! What a tenant has subscribed to. Stripe knows, and what is kept here is a projection of what it said last: an event is
//! a hint to ask again, so events that come late, twice, in disorder or not at all end in the same state.
mod api;
mod model;
pub(crate) mod service;
mod store;

use crate::{
    access::{Permission, Role},
    domain::Domain,
    error::Code,
    http::{Routes, Sender},
};
use service::SubscriptionUpdated;
use std::time::Duration;

/// Reads what the tenant has subscribed to.
pub struct Read;
impl Permission for Read {
    const NAME: &'static str = "billing.read";
    const MIN_ROLE: Role = Role::Viewer;
}

/// Subscribes, and manages what is subscribed to.
pub struct Manage;
impl Permission for Manage {
    const NAME: &'static str = "billing.manage";
    const MIN_ROLE: Role = Role::Admin;
    const FOR_API_KEYS: bool = false;
}

/// Stripe, as it sends events.
pub struct StripeEvents;
impl Sender for StripeEvents {
    const SIGNATURE: &'static str = "Stripe-Signature";
    const DESCRIPTION: &'static str = "An event, as Stripe sends it";
    const MOST_BYTES: usize = 1024 * 1024;
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The domain.
pub fn domain() -> Domain {
    Domain::new("billing")
        .routes(routes())
        .event::<SubscriptionUpdated>()
        .chore("comparison of subscriptions with Stripe's", MINUTE, |core| Box::pin(service::reconcile(core)))
        .chore("ends of grace periods", MINUTE, |core| Box::pin(service::end_grace_periods(core)))
        .chore("purge of Stripe's events", HOUR, |core| Box::pin(service::purge(core)))
}

fn routes() -> Routes {
    Routes::new("billing")
        .get("/billing/plans", api::plans, "List the plans and what they entitle to")
        .get("/billing/subscription", api::subscription, "Read what one's tenant has subscribed to")
        .post(
            "/billing/checkout",
            api::checkout,
            "Get a page at Stripe where the tenant subscribes to a plan",
        )
        .refusing(&[Code::BusinessRuleViolation, Code::UpstreamError, Code::BillingNotConfigured])
        .post("/billing/portal", api::portal, "Get a page at Stripe where the subscription is managed")
        .refusing(&[Code::BusinessRuleViolation, Code::UpstreamError, Code::BillingNotConfigured])
        .post("/billing/webhook", api::webhook, "Take an event of Stripe")
        .refusing(&[Code::UpstreamError, Code::BillingNotConfigured])
}
