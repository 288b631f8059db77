//! Subscribing: what is asked of Stripe, and once.
use super::{beside, customer, start, subscribed, subscription};
use crate::support::{
    Options, TestApp, at_once,
    stripe::{ENTERPRISE, PRO},
};
use serde_json::{Value, json};
use tenantry::{infra::plans::Plan, uuid::Uuid};

fn plan(word: &str) -> Value {
    json!({ "plan": word })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_subscribes_and_manages_what_it_has() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    assert_eq!(
        subscription(&acme.viewer).await,
        json!({
            "plan": "free", "status": "none", "seats": { "used": 4, "limit": 5 }, "current_period_end": null,
            "cancel_at_period_end": false, "trial_end": null, "grace_period_end": null
        })
    );
    let page = acme.admin.post("/billing/checkout", plan("pro")).await.ok()["data"].take();
    let session = page["session_id"].as_str().unwrap();
    assert_eq!(page["checkout_url"], format!("https://checkout.stripe.test/c/pay/{session}"));
    let id = acme.id.to_string();
    let kept = stripe.state().checkout_sessions[session].clone();
    assert_eq!(kept["metadata"]["tenant_id"], id);
    assert_eq!(kept["subscription_metadata"]["tenant_id"], id);
    let made = stripe.state().customers[kept["customer"].as_str().unwrap()].clone();
    assert_eq!((&made["metadata"]["tenant_id"], &made["description"]), (&json!(id), &json!("acme")));
    let asked = stripe.asked_for("POST /v1/checkout/sessions").remove(0);
    assert_eq!((asked.parameter("mode"), asked.parameter("line_items[0][price]")), ("subscription", PRO));
    assert_eq!(asked.parameter("client_reference_id"), id);
    assert_eq!(
        asked.parameter("success_url"),
        "https://app.example.test/billing?checkout=success&session_id={CHECKOUT_SESSION_ID}"
    );
    assert_eq!(asked.parameter("cancel_url"), "https://app.example.test/billing?checkout=cancelled");
    let keys: Vec<_> =
        stripe.asked().iter().map(|asked| asked.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys[0], format!("tenantry-customer-{id}"));
    assert!(keys[1].starts_with("tenantry-checkout-"), "{keys:?}");

    let paid = stripe.state().pay(session);
    let event = stripe.state().event_of("checkout.session.completed", &paid);
    assert_eq!(super::deliver(&app, &event).await.ok(), json!({ "received": true }));
    assert_eq!(
        subscription(&acme.viewer).await,
        json!({
            "plan": "pro", "status": "active", "seats": { "used": 4, "limit": 50 },
            "current_period_end": "2026-03-02T12:00:00.000Z", "cancel_at_period_end": false, "trial_end": null,
            "grace_period_end": null
        })
    );
    assert_eq!(acme.viewer.get("/tenant").await.ok()["data"]["plan"], "pro");
    let portal = json!({ "return_url": "http://localhost:3000/settings" });
    let portal = acme.owner.post("/billing/portal", portal).await.ok()["data"].take();
    let url = portal["portal_url"].as_str().unwrap();
    assert!(url.starts_with("https://billing.stripe.test/p/session/bps_"), "{url}");
    let back = stripe.asked_for("POST /v1/billing_portal/sessions").remove(0);
    assert_eq!(back.parameter("return_url"), "http://localhost:3000/settings");

    let told = app.database.texts("SELECT payload FROM outbox WHERE type = 'subscription.updated'").await;
    let told: Vec<Value> = told.iter().map(|payload| serde_json::from_str(payload).unwrap()).collect();
    assert_eq!(told, [subscription(&acme.viewer).await]);
    let audit = acme.owner.get("/audit?per_page=100").await.ok();
    let entry = |action: &str| {
        audit["items"].as_array().unwrap().iter().find(|entry| entry["action"] == action).unwrap().clone()
    };
    let started = entry("billing.checkout_started");
    assert_eq!(started["actor"]["id"], json!(acme.admin.user_id));
    assert_eq!(started["details"], json!({ "plan": "pro", "session_id": session }));
    let changed = entry("billing.subscription_changed");
    assert_eq!((&changed["actor"], &changed["target"]["id"]), (&Value::Null, &json!(acme.id)));
    assert_eq!(
        changed["details"],
        json!({ "from": { "plan": "free", "status": "none" }, "to": { "plan": "pro", "status": "active" } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_told_to_anyone() {
    let app = TestApp::start().await;
    let row = |plan: &str, seats: Option<u32>, requests: u32, endpoints: u32| json!({ "plan": plan, "seats": seats, "requests_per_minute": requests, "webhook_endpoints": endpoints });
    let plans = [
        row("free", Some(5), 600, 1),
        row("starter", Some(15), 3000, 5),
        row("pro", Some(50), 12_000, 25),
        row("enterprise", None, 60_000, 100),
    ];
    assert_eq!(
        app.anyone().get("/billing/plans").await.ok(),
        json!({ "success": true, "data": { "plans": plans } })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_has_one_customer_however_often_it_goes_to_a_checkout_at_once() {
    let (app, stripe) = start().await;
    let other = beside(&app, &stripe).await;
    let acme = app.tenant("acme").await;
    let there = other.sign_in("acme", "admin").await;
    stripe.hold(); // so that they are all under way before the first is answered
    let checkouts = tokio::spawn(at_once(20, move |i| {
        let person = if i % 2 == 0 { acme.owner.clone() } else { there.clone() };
        async move { person.post("/billing/checkout", plan("pro")).await }
    }));
    let watched = stripe.clone();
    crate::support::until(move || watched.asked_for("POST /v1/customers").len() >= 20).await;
    stripe.let_out();
    let sessions: Vec<_> = checkouts
        .await
        .unwrap()
        .into_iter()
        .map(|answer| answer.ok()["data"]["session_id"].as_str().unwrap().to_owned())
        .collect();
    let made = stripe.state().customers.keys().cloned().collect::<Vec<_>>();
    assert_eq!(made.len(), 1, "one customer at Stripe");
    for session in &sessions {
        assert_eq!(stripe.state().checkout_sessions[session]["customer"], made[0]);
    }
    assert_eq!(app.database.texts("SELECT stripe_customer_id FROM tenants").await, made);
    assert_eq!(app.database.count("subscriptions").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_stripe_and_the_database_makes_no_second_customer() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    stripe.hold();
    let owner = acme.owner.clone();
    let first = tokio::spawn(async move { owner.post("/billing/checkout", plan("pro")).await });
    let watched = stripe.clone();
    crate::support::until(move || watched.asked().len() == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    stripe.let_out();
    let held = stripe.clone();
    crate::support::until(move || held.answered() == 1).await;
    assert_eq!(app.database.number("SELECT count(stripe_customer_id) FROM tenants").await, 0);
    acme.owner.post("/billing/checkout", plan("pro")).await.ok();
    assert_eq!(stripe.state().customers.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_is_one_session() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let key = [("idempotency-key", "a-click")];
    let body = |word: &str| Some(plan(word).to_string().into_bytes());
    let answers = at_once(5, |_| {
        let (owner, body) = (acme.owner.clone(), body("pro"));
        async move { owner.send("POST", "/billing/checkout", &[("idempotency-key", "a-click")], body).await }
    })
    .await;
    for answer in &answers {
        assert!([200, 409].contains(&answer.status.as_u16()), "{}", answer.text());
    }
    let again = acme.owner.send("POST", "/billing/checkout", &key, body("pro")).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    again.ok();
    assert_eq!(stripe.state().checkout_sessions.len(), 1);
    let refused = acme.owner.send("POST", "/billing/checkout", &key, body("starter")).await;
    refused.refused(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(
        app.database
            .number("SELECT count(*) FROM audit_events WHERE action = 'billing.checkout_started'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_pays_twice() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, PRO).await;
    for status in ["active", "trialing", "past_due", "unpaid", "paused"] {
        super::changed(&app, &stripe, &id, json!({ "status": status })).await;
        let refused = acme.owner.post("/billing/checkout", plan("enterprise")).await;
        let refused = refused.refused(422, "BUSINESS_RULE_VIOLATION");
        assert!(refused["detail"].as_str().unwrap().contains(status), "{refused}");
    }
    for status in ["canceled", "incomplete", "incomplete_expired"] {
        super::changed(&app, &stripe, &id, json!({ "status": status })).await;
        acme.owner.post("/billing/checkout", plan("enterprise")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    for person in [&acme.viewer, &acme.member] {
        person.post("/billing/checkout", plan("pro")).await.refused(403, "FORBIDDEN");
        person.post("/billing/portal", json!({})).await.refused(403, "FORBIDDEN");
    }
    acme.admin.post("/billing/portal", json!({})).await.refused(422, "BUSINESS_RULE_VIOLATION");
    assert_eq!(stripe.asked().len(), 0);
    for (body, field) in [
        (json!({}), "plan"),
        (plan("free"), "plan"),
        (plan("platinum"), "plan"),
        (json!({ "plan": "pro", "price": "price_pro" }), "price"),
        (json!({ "plan": "pro", "success_url": "https://evil.test/" }), "success_url"),
        (json!({ "plan": "pro", "cancel_url": "//app.example.test" }), "cancel_url"),
        (json!({ "plan": "pro", "cancel_url": "https://app.example.test\u{7}/" }), "cancel_url"),
        (
            json!({ "plan": "pro", "cancel_url": format!("https://app.example.test/{}", "x".repeat(2000)) }),
            "cancel_url",
        ),
    ] {
        acme.owner.post("/billing/checkout", body).await.invalid(&[field]);
    }
    let both = json!({ "plan": "pro", "success_url": "https://evil.test", "cancel_url": "http://evil.test" });
    acme.owner.post("/billing/checkout", both).await.invalid(&["success_url", "cancel_url"]);
    let foreign = json!({ "return_url": "https://app.example.test.evil.test/" });
    acme.owner.post("/billing/portal", foreign).await.invalid(&["return_url"]);
    assert_eq!(stripe.asked().len(), 0);
    let (globex, session) = (app.tenant("globex").await, "/billing/subscription");
    subscribed(&app, &stripe, &acme.owner, ENTERPRISE).await;
    assert_eq!(acme.member.get(session).await.ok()["data"]["seats"], json!({ "used": 4, "limit": null }));
    assert_eq!(globex.member.get(session).await.ok()["data"]["plan"], "free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_a_price_is_not_for_sale() {
    let stripe = crate::support::stripe::Stripe::start().await;
    let mut billing = stripe.settings();
    let prices = tenantry::infra::stripe::Prices::new(vec![(Plan::Pro, PRO.to_owned())]);
    billing.stripe.as_mut().unwrap().prices = prices;
    let app = TestApp::start_with(Options { billing, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    acme.member.post("/billing/checkout", plan("starter")).await.refused(403, "FORBIDDEN");
    acme.owner.post("/billing/checkout", plan("starter")).await.invalid(&["plan"]);
    acme.owner.post("/billing/checkout", plan("pro")).await.ok();
}

/// Without a key everything is there that can be, and the rest says what to set.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_without_stripe() {
    let app = TestApp::start().await;
    app.app.seed(&app.core.db, &app.clock).await.unwrap();
    let sign_in =
        |email: &str| json!({ "tenant_slug": "acme", "email": email, "password": tenantry::DEMO_PASSWORD });
    let token = async |email: &str| {
        let session = app.anyone().post("/auth/login", sign_in(email)).await.ok();
        app.with_token(session["data"]["access_token"].as_str().unwrap())
    };
    let (owner, viewer) = (token("owner@acme.test").await, token("viewer@acme.test").await);
    let has = viewer.get("/billing/subscription").await.ok()["data"].take();
    assert_eq!((&has["plan"], &has["status"]), (&json!("pro"), &json!("none")));
    assert_eq!(has["seats"], json!({ "used": 4, "limit": 50 }));
    assert_eq!(app.anyone().get("/billing/plans").await.ok()["data"]["plans"].as_array().unwrap().len(), 4);
    let body = Some(b"{}".to_vec());
    for answer in [
        owner.post("/billing/checkout", plan("pro")).await,
        owner.post("/billing/portal", json!({})).await,
        app.anyone().send("POST", "/billing/webhook", &[], body.clone()).await,
        app.anyone().send("POST", "/billing/webhook", &[("stripe-signature", "t=1,v1=00")], body).await,
    ] {
        let refused = answer.refused(503, "BILLING_NOT_CONFIGURED");
        let said = refused["detail"].as_str().unwrap();
        assert!(said.contains("set STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET"), "{said}");
    }
    viewer.post("/billing/checkout", plan("pro")).await.refused(403, "FORBIDDEN");
    assert_eq!(app.worker().chores().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_nobodys_but_its_tenants() {
    let (app, stripe) = start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let (first, second) = (customer(&acme.owner, &stripe).await, customer(&globex.owner, &stripe).await);
    assert_ne!(first, second);
    let taken = format!(
        "UPDATE tenants SET stripe_customer_id = '{first}' WHERE id = {}",
        app.database.literal(Uuid::nil())
    );
    app.database.execute(&taken).await; // nobody: the index itself is what keeps two from having one
    assert_eq!(app.database.number("SELECT count(DISTINCT stripe_customer_id) FROM tenants").await, 2);
}
