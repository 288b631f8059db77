//! What billing tells others. The data is the subscription.
use super::SubscriptionView;
use crate::infra::events::Event;
use serde::Serialize;
use serde_json::{Value, json};

/// What the tenant has subscribed to, or what that grants, has changed.
#[derive(Serialize)]
#[serde(transparent)]
pub struct SubscriptionUpdated(pub SubscriptionView);

impl Event for SubscriptionUpdated {
    const TYPE: &'static str = "subscription.updated";
    const DESCRIPTION: &'static str = "What the tenant has subscribed to, or what that grants, has changed";
    fn example() -> Value {
        json!({
            "plan": "pro",
            "status": "active",
            "seats": { "used": 7, "limit": 50 },
            "current_period_end": "2026-02-28T09:30:00.000Z",
            "cancel_at_period_end": false,
            "trial_end": null,
            "grace_period_end": null
        })
    }
}
