//! Subscriptions as they are stored, what each status grants, and what is sent to subscribe.
mod event;
mod redirect;
mod view;

pub use event::SubscriptionUpdated;
pub use redirect::Redirects;
pub use view::{CheckoutView, PlansView, PortalView, ReceivedView, SubscriptionView};

use crate::{
    data::{FromRow, Row},
    error::Result,
    infra::{
        plans::{Feature, Plan},
        stripe::{self, Prices},
    },
    values::{Text, Timestamp},
};
use std::time::Duration;

crate::choice! {
    /// A plan that is for sale.
    pub enum PaidPlan {
        /// The least.
        Starter = "starter",
        /// More.
        Pro = "pro",
        /// The most.
        Enterprise = "enterprise",
    }
}

impl From<PaidPlan> for Plan {
    fn from(paid: PaidPlan) -> Self {
        match paid {
            PaidPlan::Starter => Self::Starter,
            PaidPlan::Pro => Self::Pro,
            PaidPlan::Enterprise => Self::Enterprise,
        }
    }
}

crate::body! {
    /// What to subscribe to.
    pub struct StartCheckout {
        /// The plan.
        plan: PaidPlan,
        /// Where Stripe sends who has paid, on an allowed origin; `{CHECKOUT_SESSION_ID}` in it is filled in.
        success_url: Option<Text<1, 2000>> = "http://localhost:3000/billing?session={CHECKOUT_SESSION_ID}",
        /// Where Stripe sends who has not, on an allowed origin.
        cancel_url: Option<Text<1, 2000>> = "http://localhost:3000/billing",
    }
}

crate::body! {
    /// Where to come back to.
    pub struct OpenPortal {
        /// Where the page leads back to, on an allowed origin.
        return_url: Option<Text<1, 2000>> = "http://localhost:3000/billing",
    }
}

/// The status of a tenant without a subscription; no word of Stripe's.
const NONE: &str = "none";
const PAST_DUE: &str = "past_due";

/// A tenant's subscription, as Stripe told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// `sub_…`.
    pub id: Option<String>,
    /// Stripe's word, or `none`.
    pub status: String,
    /// The plan of its price, whatever its status grants.
    pub plan: Plan,
    pub current_period_end: Option<Timestamp>,
    pub cancel_at_period_end: bool,
    pub trial_end: Option<Timestamp>,
    /// When it was first seen that a payment has failed.
    pub past_due_since: Option<Timestamp>,
}

impl Subscription {
    /// None at all.
    pub fn none() -> Self {
        Self {
            id: None,
            status: NONE.to_owned(),
            plan: Plan::Free,
            current_period_end: None,
            cancel_at_period_end: false,
            trial_end: None,
            past_due_since: None,
        }
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.status == NONE
    }

    /// What one that was fetched is, if this is what was known before. `plan` is that of its price.
    pub fn fetched(&self, found: &stripe::Subscription, plan: Plan, now: Timestamp) -> Self {
        let id = Some(found.id.clone());
        let still = self.id == id && self.status == PAST_DUE;
        let since = if still { self.past_due_since } else { None }.unwrap_or(now);
        Self {
            id,
            status: found.status.clone(),
            plan,
            current_period_end: found.current_period_end,
            cancel_at_period_end: found.cancel_at_period_end,
            trial_end: found.trial_end,
            past_due_since: (found.status == PAST_DUE).then_some(since),
        }
    }

    /// Until when the plan is kept though a payment has failed.
    pub fn grace_period_end(&self, grace: Duration) -> Option<Timestamp> {
        self.past_due_since.map(|since| since.plus(grace))
    }

    /// The plan that holds. `given` is that of a tenant without a subscription: free, unless an operator has given it
    /// another.
    pub fn granted(&self, given: Plan, now: Timestamp, grace: Duration) -> Plan {
        match self.status.as_str() {
            NONE => given,
            "active" | "trialing" => self.plan,
            PAST_DUE if self.grace_period_end(grace).is_some_and(|end| now < end) => self.plan,
            _ => Plan::Free,
        }
    }

    /// Whether another would be paid for beside it. One whose first payment has not come is none yet.
    pub fn is_live(&self) -> bool {
        matches!(self.status.as_str(), "active" | "trialing" | PAST_DUE | "unpaid" | "paused")
    }
}

/// The one of a customer's subscriptions that counts, and the plan of its price: one that grants before one that does
/// not, then the larger plan, then the newer. So it does not matter which of them an event was about.
pub fn foremost<'a>(
    all: &'a [stripe::Subscription],
    prices: &Prices,
) -> Option<(&'a stripe::Subscription, Option<Plan>)> {
    let plan_of =
        |one: &stripe::Subscription| one.prices.iter().filter_map(|price| prices.plan_of(price)).max();
    let rank = |one: &stripe::Subscription| match one.status.as_str() {
        "active" | "trialing" => 3,
        PAST_DUE => 2,
        "unpaid" | "paused" | "incomplete" => 1,
        _ => 0,
    };
    all.iter().map(|one| (one, plan_of(one))).max_by_key(|(one, plan)| {
        let rank = rank(one);
        (rank, plan.filter(|_| rank >= 2), one.created, one.id.as_str())
    })
}

/// `stripe_subscription_id, status, plan, current_period_end, cancel_at_period_end, trial_end, past_due_since,
/// fetched_at`: the subscription, and when the fetch of it began, by the database's clock.
pub struct Stored {
    pub subscription: Subscription,
    pub fetched_at: Option<Timestamp>,
}

impl FromRow for Stored {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let subscription = Subscription {
            id: row.get(0)?,
            status: row.get(1)?,
            plan: row.word(2, |word| Some(Plan::of_word(word)))?,
            current_period_end: row.get(3)?,
            cancel_at_period_end: row.get(4)?,
            trial_end: row.get(5)?,
            past_due_since: row.get(6)?,
        };
        Ok(Self { subscription, fetched_at: row.get(7)? })
    }
}

/// A tenant without a row has never had a customer.
impl Default for Stored {
    fn default() -> Self {
        Self { subscription: Subscription::none(), fetched_at: None }
    }
}

/// `plan, slug, stripe_customer_id`: the tenant, as far as billing knows it.
pub struct Account {
    /// What holds, as far as it is written down.
    pub plan: Plan,
    pub slug: String,
    pub customer: Option<String>,
}

impl FromRow for Account {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let plan = row.word(0, |word| Some(Plan::of_word(word)))?;
        Ok(Self { plan, slug: row.get(1)?, customer: row.get(2)? })
    }
}

/// The seats of a tenant, held against others who take one.
pub struct Seats {
    pub plan: Plan,
    /// Active and invited users.
    pub used: i64,
}

impl Seats {
    /// Whether one more may be taken; 422 where all are.
    pub fn require_one_more(&self) -> Result<()> {
        self.plan.require(Feature::Seats, self.used)
    }
}
