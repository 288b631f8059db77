//! The calls of Stripe's API that billing needs, and the signature of what Stripe sends. Parameters are typed, answers
//! read leniently; how a call is made and made again is in `call`.
mod call;
mod form;
mod objects;
mod settings;
mod signature;

pub use call::Failure;
pub use objects::{CheckoutSession, Event, Subscription};
pub use settings::{BillingSettings, Prices, StripeSettings};

use super::egress::Egress;
use crate::values::Timestamp;
use call::Call;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Stripe, as an operator has set it up.
pub struct Stripe {
    settings: StripeSettings,
    egress: Egress,
}

/// By when whatever is done for one request has to be done, however many calls and attempts that takes.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// What is remembered at Stripe of whose an object is.
#[derive(Clone, Copy, Serialize)]
pub struct Metadata<'a> {
    /// The tenant.
    pub tenant_id: &'a str,
}

/// `POST /v1/customers`.
#[derive(Serialize)]
pub struct CreateCustomer<'a> {
    /// For those who look at it in Stripe's dashboard.
    pub description: &'a str,
    /// Whose it is.
    pub metadata: Metadata<'a>,
}

/// `POST /v1/checkout/sessions`.
#[derive(Serialize)]
pub struct CreateCheckoutSession<'a> {
    /// `subscription`.
    pub mode: &'static str,
    /// `cus_…`.
    pub customer: &'a str,
    /// What is bought.
    pub line_items: [LineItem<'a>; 1],
    /// Where Stripe sends who has paid.
    pub success_url: &'a str,
    /// Where it sends who has not.
    pub cancel_url: &'a str,
    /// The tenant, as Stripe's dashboard shows it.
    pub client_reference_id: &'a str,
    /// Whose it is.
    pub metadata: Metadata<'a>,
    /// What the subscription gets from it.
    pub subscription_data: SubscriptionData<'a>,
}

/// So many of a price.
#[derive(Serialize)]
pub struct LineItem<'a> {
    /// `price_…`.
    pub price: &'a str,
    /// How many.
    pub quantity: u32,
}

/// What a subscription gets from the session that makes it.
#[derive(Serialize)]
pub struct SubscriptionData<'a> {
    /// Whose it is.
    pub metadata: Metadata<'a>,
}

/// `POST /v1/billing_portal/sessions`.
#[derive(Serialize)]
pub struct CreatePortalSession<'a> {
    /// `cus_…`.
    pub customer: &'a str,
    /// Where it leads back to.
    pub return_url: &'a str,
}

/// `GET /v1/subscriptions`.
#[derive(Serialize)]
struct ListSubscriptions<'a> {
    customer: &'a str,
    status: &'static str,
    limit: u32,
    starting_after: Option<&'a str>,
}

/// No parameters.
#[derive(Serialize)]
struct Nothing {}

/// Subscriptions in a page, the most that Stripe gives, and the most pages that are read: those that have ended count.
const PAGE: u32 = 100;
const MOST_PAGES: usize = 10;

impl Stripe {
    /// Stripe by these settings, over this client.
    pub fn new(settings: StripeSettings, egress: Egress) -> Self {
        Self { settings, egress }
    }

    /// Which price is which plan's.
    pub fn prices(&self) -> &Prices {
        &self.settings.prices
    }

    /// Ten seconds from now: whoever waits is told something then.
    pub fn deadline(&self) -> Deadline {
        Deadline(Instant::now() + self.settings.deadline)
    }

    /// Whether these bytes are of Stripe and of now. The reason why not is for the log.
    pub fn verify(&self, header: Option<&str>, body: &[u8], now: Timestamp) -> Result<(), &'static str> {
        signature::verify(header, body, &self.settings.webhook_secrets, now)
    }

    /// A customer: its identifier. Under one key there is one, however often this is called within a day.
    pub async fn create_customer(
        &self,
        new: &CreateCustomer<'_>,
        key: &str,
        deadline: Deadline,
    ) -> Result<String, Failure> {
        let call = Call::post("/v1/customers", new, key)?;
        self.call(&call, deadline, |answer| objects::id_of(&answer["id"])).await
    }

    /// A page where a customer subscribes. Under one key there is one.
    pub async fn create_checkout_session(
        &self,
        new: &CreateCheckoutSession<'_>,
        key: &str,
        deadline: Deadline,
    ) -> Result<CheckoutSession, Failure> {
        let call = Call::post("/v1/checkout/sessions", new, key)?;
        self.call(&call, deadline, CheckoutSession::read).await
    }

    /// A page where a customer manages what it has subscribed to: its address.
    pub async fn create_portal_session(
        &self,
        new: &CreatePortalSession<'_>,
        key: &str,
        deadline: Deadline,
    ) -> Result<String, Failure> {
        let call = Call::post("/v1/billing_portal/sessions", new, key)?;
        self.call(&call, deadline, |answer| answer["url"].as_str().map(str::to_owned)).await
    }

    /// All subscriptions that a customer has or had.
    pub async fn subscriptions(
        &self,
        customer: &str,
        deadline: Deadline,
    ) -> Result<Vec<Subscription>, Failure> {
        let mut all = Vec::<Subscription>::new();
        for _ in 0..MOST_PAGES {
            let starting_after = all.last().map(|last| last.id.as_str());
            let list = ListSubscriptions { customer, status: "all", limit: PAGE, starting_after };
            let call = Call::get("/v1/subscriptions", &list)?;
            let page = |answer: &serde_json::Value| {
                let page: Vec<_> = answer["data"].as_array()?.iter().filter_map(Subscription::read).collect();
                Some((page, answer["has_more"] == true))
            };
            let (page, has_more) = self.call(&call, deadline, page).await?;
            let over = page.is_empty() || !has_more;
            all.extend(page);
            if over {
                break;
            }
        }
        Ok(all)
    }

    /// One subscription.
    pub async fn subscription(&self, id: &str, deadline: Deadline) -> Result<Subscription, Failure> {
        let call = Call::get(&format!("/v1/subscriptions/{}", call::segment(id)), &Nothing {})?;
        self.call(&call, deadline, Subscription::read).await
    }
}
