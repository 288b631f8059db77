//! Billing: section 5 of the contract, against a Stripe that does as badly as it can.
mod bad_input;
mod checkout;
mod convergence;
mod reconciliation;
mod seats;
mod upstream;

use crate::support::{
    Options, Person, TestApp,
    http::Answer,
    stripe::{Event, SECRET, Stripe, signature},
};
use serde_json::{Value, json};

/// A product with a Stripe of its own.
async fn start() -> (TestApp, Stripe) {
    TestApp::with_stripe().await
}

/// Another node on the database of the first.
async fn beside(app: &TestApp, stripe: &Stripe) -> TestApp {
    let options = Options { billing: stripe.settings(), clock: app.clock.clone(), ..Options::default() };
    TestApp::on(app.database.clone(), options).await
}

/// Sends an event as Stripe does.
async fn deliver(app: &TestApp, event: &Event) -> Answer {
    send(app, &event.body, Some(&signature(&event.body, &[SECRET], app.clock.now()))).await
}

async fn send(app: &TestApp, body: &[u8], signature: Option<&str>) -> Answer {
    let mut headers = vec![("content-type", "application/json; charset=utf-8")];
    headers.extend(signature.map(|signature| ("stripe-signature", signature)));
    app.anyone().send("POST", "/billing/webhook", &headers, Some(body.to_vec())).await
}

async fn subscription(person: &Person) -> Value {
    person.get("/billing/subscription").await.ok()["data"].take()
}

/// The customer of a tenant: it goes to a checkout, if it has none yet.
async fn customer(owner: &Person, stripe: &Stripe) -> String {
    let checkout = owner.post("/billing/checkout", json!({ "plan": "pro" })).await.ok();
    let session = checkout["data"]["session_id"].as_str().unwrap();
    stripe.state().checkout_sessions[session]["customer"].as_str().unwrap().to_owned()
}

/// A tenant's owner subscribes: the subscription, and the event of it, which has not been sent.
async fn paid(stripe: &Stripe, owner: &Person, price: &str) -> (String, Event) {
    let customer = customer(owner, stripe).await;
    let mut stripe = stripe.state();
    let id = stripe.subscribe(&customer, price);
    let event = stripe.event_of("customer.subscription.created", &id);
    (id, event)
}

/// The same, and it is sent.
async fn subscribed(app: &TestApp, stripe: &Stripe, owner: &Person, price: &str) -> String {
    let (id, event) = paid(stripe, owner, price).await;
    deliver(app, &event).await.ok();
    id
}

/// Changes a subscription at Stripe, which tells.
async fn changed(app: &TestApp, stripe: &Stripe, id: &str, members: Value) {
    stripe.state().change(id, members);
    let event = stripe.state().event_of("customer.subscription.updated", id);
    deliver(app, &event).await.ok();
}

/// All that is stored of what Stripe said, of all tenants, without when it was asked and written.
async fn stored(app: &TestApp) -> Vec<String> {
    let number = |column: &str| format!("coalesce(CAST({column} AS TEXT), '-')");
    let columns = ["current_period_end", "cancel_at_period_end", "trial_end", "past_due_since"].map(number);
    let sql = format!(
        "SELECT t.plan || ' ' || s.plan || ' ' || s.status || ' ' || coalesce(stripe_subscription_id, '-') || ' ' || {} \
         FROM subscriptions s JOIN tenants t ON t.id = s.tenant_id ORDER BY t.slug",
        columns.join(" || ' ' || ")
    );
    app.database.texts(&sql).await
}
