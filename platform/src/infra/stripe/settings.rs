//! What an operator sets of billing.
use crate::infra::plans::Plan;
use secrecy::SecretString;
use std::time::Duration;

/// What is charged, and by whom.
#[derive(Clone, Debug)]
pub struct BillingSettings {
    /// Without it everybody stays on the plan that they have.
    pub stripe: Option<StripeSettings>,
    /// `BILLING_GRACE_DAYS`: how long a plan is kept after a payment has failed.
    pub grace: Duration,
}

/// The account at Stripe.
#[derive(Clone, Debug)]
pub struct StripeSettings {
    /// `STRIPE_SECRET_KEY`.
    pub secret_key: SecretString,
    /// `STRIPE_WEBHOOK_SECRET`: one, or two during a roll.
    pub webhook_secrets: Vec<SecretString>,
    /// `STRIPE_PRICE_…`.
    pub prices: Prices,
    /// `STRIPE_API_BASE`: an origin, without a slash at its end.
    pub api_base: String,
    /// How long whatever is done for one request may take.
    pub deadline: Duration,
    /// How long until a call is made again; twice as long until the next time, and so on.
    pub first_delay: Duration,
}

impl StripeSettings {
    /// How long Stripe may take: 10 s.
    pub const DEADLINE: Duration = Duration::from_secs(10);
    /// The first delay between two attempts: half a second.
    pub const FIRST_DELAY: Duration = Duration::from_millis(500);
}

/// Which price is which plan's. No price is that of two.
#[derive(Clone, Debug, Default)]
pub struct Prices(Vec<(Plan, String)>);

impl Prices {
    /// These.
    pub fn new(prices: Vec<(Plan, String)>) -> Self {
        Self(prices)
    }

    /// The price of a plan, if it is for sale.
    pub fn of(&self, plan: Plan) -> Option<&str> {
        self.0.iter().find(|(priced, _)| *priced == plan).map(|(_, price)| price.as_str())
    }

    /// The plan of a price, if it is one of ours.
    pub fn plan_of(&self, price: &str) -> Option<Plan> {
        self.0.iter().find(|(_, known)| known == price).map(|(plan, _)| *plan)
    }
}
