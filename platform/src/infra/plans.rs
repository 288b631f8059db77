//! The plans and what they entitle to, as one table, and what this node remembers of who is on which.
use super::{
    rate_limit::{Quota, RateLimit},
    recent::Recent,
};
use crate::error::{Error, Result};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};
use uuid::Uuid;

crate::choice! {
    /// What a tenant pays for.
    pub enum Plan {
        /// Nothing.
        Free = "free",
        /// The least.
        Starter = "starter",
        /// More.
        Pro = "pro",
        /// The most.
        Enterprise = "enterprise",
    }
}

/// What a plan entitles to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entitlements {
    /// Active and invited users; `None` for no limit.
    pub seats: Option<u32>,
    /// Requests in a minute, of the whole tenant.
    pub requests_per_minute: u32,
    /// Webhook endpoints.
    pub webhook_endpoints: u32,
}

impl Plan {
    /// The table of the contract's section 5.
    pub const fn entitlements(self) -> Entitlements {
        let (seats, requests_per_minute, webhook_endpoints) = match self {
            Self::Free => (Some(5), 600, 1),
            Self::Starter => (Some(15), 3_000, 5),
            Self::Pro => (Some(50), 12_000, 25),
            Self::Enterprise => (None, 60_000, 100),
        };
        Entitlements { seats, requests_per_minute, webhook_endpoints }
    }

    /// The plan of a stored word. One that is unknown, of a newer version perhaps, grants what is free.
    pub fn of_word(word: &str) -> Self {
        Self::from_word(word).unwrap_or(Self::Free)
    }
}

crate::choice! {
    /// What a plan limits the number of.
    pub enum Feature {
        /// Active and invited users.
        Seats = "seats",
        /// Where webhooks go.
        WebhookEndpoints = "webhook endpoints",
    }
}

impl Plan {
    /// How many of them it allows; `None` for any number.
    pub const fn limit(self, feature: Feature) -> Option<u32> {
        let Entitlements { seats, webhook_endpoints, .. } = self.entitlements();
        match feature {
            Feature::Seats => seats,
            Feature::WebhookEndpoints => Some(webhook_endpoints),
        }
    }

    /// Whether it allows one more where so many are taken; 422 where it does not. Whoever counts sees to it that nobody
    /// takes another meanwhile.
    pub fn require(self, feature: Feature, taken: i64) -> Result<()> {
        match self.limit(feature) {
            Some(limit) if taken >= i64::from(limit) => Err(Error::business_rule(format!(
                "The {self} plan has {limit} {feature}, and {taken} are taken: a larger plan has more"
            ))),
            _ => Ok(()),
        }
    }
}

/// `TENANT_RATE_LIMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantLimit {
    /// Each tenant by its plan.
    ByPlan,
    /// All alike, or none.
    Fixed(RateLimit),
}

impl TenantLimit {
    /// How much a tenant on this plan may ask; while its plan is not known, as much as on the largest.
    pub const fn quota(self, plan: Option<Plan>) -> Option<Quota> {
        match (self, plan) {
            (Self::Fixed(limit), _) => limit.0,
            (Self::ByPlan, Some(plan)) => Some(Quota::per_minute(plan.entitlements().requests_per_minute)),
            (Self::ByPlan, None) => {
                Some(Quota::per_minute(Plan::Enterprise.entitlements().requests_per_minute))
            }
        }
    }
}

impl fmt::Display for TenantLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPlan => f.write_str("by plan"),
            Self::Fixed(limit) => limit.fmt(f),
        }
    }
}

/// Tenants in each of two generations; a tenant that is forgotten is asked for again.
const MOST_TENANTS: usize = 50_000;

/// Each tenant's plan as this node last read it, so that a limit can be checked before the database is asked.
pub struct KnownPlans(Mutex<Recent<Uuid, Plan>>);

impl Default for KnownPlans {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(MOST_TENANTS)))
    }
}

impl KnownPlans {
    /// The plan of this tenant at its last request; `None` where this node has not met it lately.
    pub fn of(&self, tenant: Uuid) -> Option<Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant)
    }

    /// What the database says now. The next request is limited by it.
    pub fn learn(&self, tenant: Uuid, plan: Plan) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(tenant, plan);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_is_learnt_holds() {
        let known = KnownPlans::default();
        let tenant = Uuid::from_u128(7);
        assert_eq!(known.of(tenant), None);
        known.learn(tenant, Plan::Pro);
        known.learn(tenant, Plan::of_word("starter"));
        assert_eq!(known.of(tenant), Some(Plan::Starter));
        assert_eq!(Plan::of_word("platinum"), Plan::Free);
    }

    #[test]
    fn a_plan_has_room_for_so_many() {
        assert!(Plan::Free.require(Feature::Seats, 4).is_ok());
        for (plan, feature, taken) in [
            (Plan::Free, Feature::Seats, 5),
            (Plan::Free, Feature::Seats, 9),
            (Plan::Pro, Feature::WebhookEndpoints, 25),
        ] {
            let refused = plan.require(feature, taken).unwrap_err();
            assert_eq!(refused.code(), crate::error::Code::BusinessRuleViolation);
        }
        assert!(Plan::Enterprise.require(Feature::Seats, i64::MAX).is_ok());
    }

    #[test]
    fn a_plan_grants_no_less_than_the_one_before_it() {
        for pair in Plan::ALL.windows(2) {
            let (lower, higher) = (pair[0].entitlements(), pair[1].entitlements());
            assert!(higher.requests_per_minute > lower.requests_per_minute);
            assert!(higher.webhook_endpoints > lower.webhook_endpoints);
            assert!(higher.seats.unwrap_or(u32::MAX) > lower.seats.unwrap_or(u32::MAX));
        }
    }
}
