//! What no event brings about: lost events made good, grace periods that end, and what is forgotten.
use super::{beside, changed, customer, deliver, start, stored, subscribed, subscription};
use crate::support::{
    TestApp,
    stripe::{Manner, PRO, STARTER, Stripe},
    until,
};
use serde_json::{Value, json};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An hour has passed by the database's clock, which stands still for nobody.
async fn an_hour_later(app: &TestApp) {
    app.database.execute("UPDATE subscriptions SET check_at = updated_at").await;
}

async fn chores(app: &TestApp) -> u64 {
    app.worker().chores().await.unwrap()
}

fn fetches(stripe: &Stripe) -> usize {
    stripe.asked_for("GET /v1/subscriptions").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_were_lost_are_made_good() {
    let (app, stripe) = start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let paid = subscribed(&app, &stripe, &acme.owner, PRO).await;
    let theirs = customer(&globex.owner, &stripe).await;
    let lost = stripe.state().subscribe(&theirs, STARTER);
    stripe.state().change(&paid, json!({ "status": "canceled" }));
    assert_eq!(chores(&app).await, 1, "of a new customer nothing is known yet");
    assert_eq!(subscription(&globex.owner).await["plan"], "starter");
    assert_eq!(chores(&app).await, 0, "what is fresh is left alone");
    assert_eq!(subscription(&acme.owner).await["plan"], "pro");
    an_hour_later(&app).await;
    assert_eq!(chores(&app).await, 2);
    assert_eq!(subscription(&acme.owner).await["plan"], "free");
    let told = "SELECT count(*) FROM outbox WHERE type = 'subscription.updated'";
    assert_eq!(app.database.number(told).await, 3, "what has not changed is not told");
    let (states, fetched) = (stored(&app).await, fetches(&stripe));
    an_hour_later(&app).await;
    assert_eq!(chores(&app).await, 2);
    assert_eq!((stored(&app).await, fetches(&stripe)), (states, fetched + 2));
    assert_eq!(app.database.number(told).await, 3);
    // the event that comes after all changes nothing any more
    let late = stripe.state().event_of("customer.subscription.created", &lost);
    deliver(&app, &late).await.ok();
    assert_eq!(app.database.number(told).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tenants_are_compared_a_few_at_a_time_and_at_one_node() {
    let (app, stripe) = start().await;
    let other = beside(&app, &stripe).await;
    for i in 0..11 {
        let owner = app.tenant_of_one(&format!("tenant-{i}")).await;
        customer(&owner, &stripe).await;
    }
    stripe.hold();
    let first = tokio::spawn(async move { (chores(&app).await, app) });
    let watched = stripe.clone();
    until(move || fetches(&watched) == 4).await;
    assert_eq!(chores(&other).await, 0, "the other node has it");
    assert_eq!(fetches(&stripe), 4, "and no more than four are under way");
    stripe.let_out();
    let (compared, app) = first.await.unwrap();
    assert_eq!((compared, fetches(&stripe)), (11, 11), "each once");
    an_hour_later(&app).await;
    assert_eq!(chores(&other).await, 11, "the lease was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_holds_nothing_up_for_long() {
    let (app, stripe) = start().await;
    let owner = app.tenant_of_one("acme").await;
    customer(&owner, &stripe).await;
    stripe.hold();
    let worker = app.worker();
    let dying = tokio::spawn(async move { worker.chores().await });
    let watched = stripe.clone();
    until(move || fetches(&watched) == 1).await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    stripe.let_out();
    assert_eq!(chores(&app).await, 0, "its lease and its claim hold for a while");
    app.database.execute("UPDATE leases SET held_until = (SELECT min(created_at) FROM tenants)").await;
    assert_eq!(chores(&app).await, 0);
    an_hour_later(&app).await;
    assert_eq!(chores(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_being_away_is_waited_out_and_one_odd_tenant_holds_up_nobody() {
    let (app, stripe) = start().await;
    for slug in ["acme", "globex", "initech"] {
        customer(&app.tenant_of_one(slug).await, &stripe).await;
    }
    stripe.be(Manner::Fails(usize::MAX, 401, vec![]));
    assert_eq!(chores(&app).await, 0);
    assert!(fetches(&stripe) <= 4, "nobody else is tried: {}", fetches(&stripe));
    assert_eq!(chores(&app).await, 0, "and not at once again");
    stripe.be(Manner::Answers);
    let before = stored(&app).await;
    let gone = stripe.state().customers.keys().next().unwrap().clone();
    stripe.state().customers.remove(&gone);
    an_hour_later(&app).await;
    assert_eq!(chores(&app).await, 3);
    assert_eq!(stored(&app).await, before, "a customer that is not there says nothing of its plan");
    let fetched = "SELECT count(*) FROM subscriptions WHERE fetched_at IS NOT NULL";
    assert_eq!(app.database.number(fetched).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_kept_for_a_week_after_a_payment_has_failed() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, PRO).await;
    changed(&app, &stripe, &id, json!({ "status": "past_due" })).await;
    let has = subscription(&acme.owner).await;
    assert_eq!((&has["plan"], &has["status"]), (&json!("pro"), &json!("past_due")));
    assert_eq!(has["grace_period_end"], "2026-02-07T12:00:00.000Z");
    app.clock.advance(6 * DAY);
    // it fails again, and again: that begins no new week
    changed(&app, &stripe, &id, json!({ "status": "past_due" })).await;
    let again = stripe.state().event_of("invoice.payment_failed", &id);
    deliver(&app, &again).await.ok();
    let owner = app.sign_in("acme", "owner").await;
    assert_eq!(subscription(&owner).await["grace_period_end"], "2026-02-07T12:00:00.000Z");
    assert_eq!(chores(&app).await, 0);
    app.clock.advance(DAY);
    // without any event, and before anybody has written it down
    let owner = app.sign_in("acme", "owner").await;
    let has = subscription(&owner).await;
    assert_eq!((&has["plan"], &has["status"]), (&json!("free"), &json!("past_due")));
    assert_eq!(has["seats"]["limit"], 5);
    assert_eq!(owner.get("/tenant").await.ok()["data"]["plan"], "pro");
    let told = "SELECT count(*) FROM outbox WHERE type = 'subscription.updated'";
    let before = app.database.number(told).await;
    assert!(chores(&app).await >= 1);
    assert_eq!(owner.get("/tenant").await.ok()["data"]["plan"], "free");
    assert_eq!(app.database.number(told).await, before + 1);
    chores(&app).await;
    assert_eq!(app.database.number(told).await, before + 1, "once");
    let audit = owner.get("/audit?action=billing.subscription_changed").await.ok();
    assert_eq!(
        audit["items"][0]["details"],
        json!({ "from": { "plan": "pro", "status": "past_due" }, "to": { "plan": "free", "status": "past_due" } })
    );
    // paid at last; and the next time there is a whole week again
    changed(&app, &stripe, &id, json!({ "status": "active" })).await;
    assert_eq!(subscription(&owner).await["plan"], "pro");
    changed(&app, &stripe, &id, json!({ "status": "past_due" })).await;
    assert_eq!(subscription(&owner).await["grace_period_end"], "2026-02-14T12:00:00.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_status_grants() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, PRO).await;
    for (status, plan) in [
        ("trialing", "pro"),
        ("incomplete", "free"),
        ("active", "pro"),
        ("paused", "free"),
        ("past_due", "pro"),
        ("unpaid", "free"),
        ("incomplete_expired", "free"),
        ("canceled", "free"),
    ] {
        changed(&app, &stripe, &id, json!({ "status": status })).await;
        let has = subscription(&acme.owner).await;
        assert_eq!((&has["plan"], &has["status"]), (&json!(plan), &json!(status)));
    }
    // a plan that an operator has given stays until there is a subscription, and does not come back after it
    let globex = app.tenant("globex").await;
    app.database.execute("UPDATE tenants SET plan = 'enterprise' WHERE slug = 'globex'").await;
    customer(&globex.owner, &stripe).await;
    chores(&app).await;
    let has = subscription(&globex.owner).await;
    assert_eq!((&has["plan"], &has["status"]), (&json!("enterprise"), &json!("none")));
    let id = subscribed(&app, &stripe, &globex.owner, STARTER).await;
    assert_eq!(subscription(&globex.owner).await["plan"], "starter");
    let event = stripe.state().event_of("customer.subscription.deleted", &id);
    stripe.state().forget_subscription(&id);
    deliver(&app, &event).await.ok();
    let has = subscription(&globex.owner).await;
    assert_eq!((&has["plan"], &has["status"]), (&json!("free"), &json!("none")));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_forgotten_when_stripe_no_longer_sends_them() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, PRO).await;
    app.clock.advance(29 * DAY);
    changed(&app, &stripe, &id, json!({})).await;
    chores(&app).await;
    assert_eq!(app.database.count("stripe_events").await, 2);
    app.clock.advance(DAY);
    chores(&app).await;
    assert_eq!(app.database.count("stripe_events").await, 1);
    let told: Vec<Value> = stored(&app).await.into_iter().map(Value::from).collect();
    assert_eq!(told.len(), 1);
}
