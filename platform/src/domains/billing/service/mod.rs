//! What can be done with a subscription, by a tenant and by Stripe. Stripe is called between transactions, never within one.
mod checkout;
mod projection;
mod reconcile;
mod seats;
mod webhook;

pub use super::model::SubscriptionUpdated;
pub use checkout::{checkout, portal};
pub use reconcile::{end_grace_periods, purge, reconcile};
pub use seats::lock_seats;
pub use webhook::receive;

use super::{Read, model::SubscriptionView, store};
use crate::{
    access::Tx,
    core::Core,
    domains::auth::service as auth,
    error::{Code, Error, Result},
    infra::stripe::Stripe,
};
use futures_util::try_join;

/// What the tenant has subscribed to, and what it has of that at this moment.
pub async fn read(core: &Core, tx: &Tx<Read>) -> Result<SubscriptionView> {
    let (account, stored, used) =
        try_join!(store::account(tx), store::subscription(tx), auth::count_seats(tx))?;
    let plan = stored.subscription.granted(account.plan, tx.now(), core.billing_grace);
    Ok(SubscriptionView::of(&stored.subscription, plan, used, core.billing_grace))
}

/// Stripe, if it is set up; 503 says what to do where it is not.
fn configured(core: &Core) -> Result<&Stripe> {
    core.stripe.as_ref().ok_or_else(|| {
        Error::new(
            Code::BillingNotConfigured,
            "Billing is not set up: set STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET and a STRIPE_PRICE_… for each plan \
             that is for sale (see docs/operations.md)",
        )
    })
}
