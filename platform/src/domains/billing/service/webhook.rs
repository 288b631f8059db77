//! Events of Stripe. One is a hint that something has changed: its signature is verified before anything is made of its
//! bytes, Stripe is asked what holds now, and that is stored together with the event's id.
use super::{
    super::store,
    configured,
    projection::{self, fetch},
};
use crate::{
    core::Core,
    data::{Mode, SystemReason},
    error::{Code, Error, Result},
    infra::{audit::Origin, stripe::Event},
};
use futures_util::try_join;

/// What may have changed a subscription.
const HANDLED: [&str; 9] = [
    "checkout.session.completed",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "invoice.paid",
    "invoice.payment_failed",
];

/// Takes an event. `Ok` is for good, so it is said once all that follows from it is committed: by this request, or by
/// another with the same event, which is waited for. Anything else makes Stripe send it again.
pub async fn receive(core: &Core, signature: Option<&str>, body: &[u8], origin: &Origin) -> Result<()> {
    let stripe = configured(core)?;
    let now = core.clock.now();
    stripe.verify(signature, body, now).map_err(|why| {
        Error::new(Code::BadRequest, "The Stripe-Signature is missing, wrong, or not of now").caused_by(why)
    })?;
    let event = Event::read(body);
    let event = event.ok_or_else(|| Error::new(Code::BadRequest, "The body is no event of Stripe"))?;
    let Event { id, r#type, .. } = &event;
    if !HANDLED.contains(&r#type.as_str()) {
        tracing::debug!(event = id, r#type, "an event of Stripe that changes nothing here");
        return Ok(());
    }
    let nobodys = |why| tracing::info!(event = id, r#type, why, "an event of Stripe is nobody's here");
    let Some(customer) = event.customer.as_deref() else {
        nobodys("it names no customer");
        return Ok(());
    };
    let look = core.db.system(SystemReason::Billing, Mode::Read, async |conn| {
        try_join!(conn.clock(), store::tenant_of(conn, customer), store::was_received(conn, id))
    });
    let (began, tenant, received) = look.await?;
    if received {
        return Ok(());
    }
    let Some(tenant) = tenant else {
        nobodys("its customer is of no tenant");
        return Ok(());
    };
    let hint = event.subscription.as_deref();
    let fetched = fetch(stripe, customer, hint, began, stripe.deadline()).await?;
    core.db
        .as_tenant(SystemReason::Billing, tenant, now, async |conn| {
            if !store::claim_event(conn, id, r#type).await? {
                return Ok(()); // another request was first, and has committed
            }
            projection::store(core, conn, stripe.prices(), &fetched, origin).await
        })
        .await
}
