//! Pages at Stripe where a tenant subscribes and manages what it has.
use super::{
    super::{
        Manage,
        model::{
            Account, CheckoutView, OpenPortal, PortalView, Redirects, StartCheckout, Stored, Subscription,
        },
        store,
    },
    configured,
};
use crate::{
    access::{Scope, Tx},
    core::Core,
    error::{Error, Result},
    http::{Data, OnceKey, Replayable},
    infra::{
        audit::Entry,
        plans::Plan,
        secret,
        stripe::{
            CheckoutSession, CreateCheckoutSession, CreateCustomer, CreatePortalSession, Deadline, LineItem,
            Metadata, Stripe, SubscriptionData,
        },
    },
};
use futures_util::try_join;
use serde_json::json;
use uuid::Uuid;

/// A page where the tenant subscribes to a plan, once for each key.
pub async fn checkout(
    core: &Core,
    scope: &Scope<Manage>,
    key: &OnceKey,
    body: &StartCheckout,
) -> Result<Replayable<Data<CheckoutView>>> {
    let (success_url, cancel_url) = redirects(core).of_checkout(body)?;
    let plan = Plan::from(body.plan);
    let prepare = async |tx: &Tx<Manage>| {
        let (account, Stored { subscription, .. }) = try_join!(store::account(tx), store::subscription(tx))?;
        let stripe = configured(core)?;
        let price = stripe.prices().of(plan);
        let price = price.ok_or_else(|| Error::field("plan", format!("{plan} is not for sale here")))?;
        may_subscribe(&subscription)?;
        Ok((stripe, account, price))
    };
    let call = async |(stripe, account, price): (&Stripe, Account, &str), upstream: &str| {
        let deadline = stripe.deadline();
        let tenant_id = scope.tenant_id().to_string();
        let metadata = Metadata { tenant_id: &tenant_id };
        let customer = customer(scope, stripe, account, deadline).await?;
        let new = CreateCheckoutSession {
            mode: "subscription",
            customer: &customer,
            line_items: [LineItem { price, quantity: 1 }],
            success_url: &success_url,
            cancel_url: &cancel_url,
            client_reference_id: &tenant_id,
            metadata,
            subscription_data: SubscriptionData { metadata },
        };
        let key = format!("tenantry-checkout-{upstream}");
        Ok(stripe.create_checkout_session(&new, &key, deadline).await?)
    };
    let finish = async |tx: &Tx<Manage>, CheckoutSession { id, url }: CheckoutSession| {
        let details = json!({ "plan": plan, "session_id": id });
        tx.audit(Entry::new("billing.checkout_started").on("tenant", tx.tenant_id()).with(details)).await?;
        Ok(Data(CheckoutView { checkout_url: url, session_id: id }))
    };
    scope.reserve_once(key, prepare, call, finish).await
}

fn redirects(core: &Core) -> Redirects<'_> {
    Redirects::new(&core.settings.allowed_origins, &core.public_url)
}

/// A second subscription would be paid for beside the first.
fn may_subscribe(subscription: &Subscription) -> Result<()> {
    if subscription.is_live() {
        return Err(Error::business_rule(format!(
            "There is a subscription already ({}): change or end it in the portal (POST /billing/portal)",
            subscription.status
        )));
    }
    Ok(())
}

/// The tenant's one customer. Whoever makes it at the same time, or after a crash, makes the same: Stripe's key is
/// derived from the tenant, and so are all parameters, which Stripe compares.
async fn customer(
    scope: &Scope<Manage>,
    stripe: &Stripe,
    account: Account,
    deadline: Deadline,
) -> Result<String> {
    if let Some(customer) = account.customer {
        return Ok(customer);
    }
    let tenant: Uuid = scope.tenant_id();
    let new =
        CreateCustomer { description: &account.slug, metadata: Metadata { tenant_id: &tenant.to_string() } };
    let made = stripe.create_customer(&new, &format!("tenantry-customer-{tenant}"), deadline).await?;
    scope
        .write(async |tx| {
            store::claim_customer(tx, &made).await?;
            store::open(tx).await?;
            let customer = store::account(tx).await?.customer;
            customer.ok_or_else(|| Error::internal("a customer was stored and is not there"))
        })
        .await
}

/// A page where the tenant changes, pays and ends what it has subscribed to.
pub async fn portal(core: &Core, scope: &Scope<Manage>, body: &OpenPortal) -> Result<PortalView> {
    let return_url = redirects(core).of_portal(body)?;
    let account = scope.read(async |tx| store::account(tx).await).await?;
    let stripe = configured(core)?;
    let customer = account.customer.ok_or_else(|| {
        Error::business_rule("There is nothing to manage yet: subscribe first (POST /billing/checkout)")
    })?;
    let new = CreatePortalSession { customer: &customer, return_url: &return_url };
    let key = format!("tenantry-portal-{}", secret::encode(&secret::random()?));
    let portal_url = stripe.create_portal_session(&new, &key, stripe.deadline()).await?;
    Ok(PortalView { portal_url })
}
