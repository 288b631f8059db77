//! Stripe down, slow, busy and at fault: it is tried again while there is time, told in our words, and nothing is half
//! applied.
use super::{customer, deliver, paid, start, stored, subscription};
use crate::support::{
    Options, TestApp,
    stripe::{KEY, Manner, PRO, Stripe},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A product whose Stripe has so long.
async fn hasty(deadline: Duration) -> (TestApp, Stripe) {
    let stripe = Stripe::start().await;
    let mut billing = stripe.settings();
    billing.stripe.as_mut().unwrap().deadline = deadline;
    (TestApp::start_with(Options { billing, ..Options::default() }).await, stripe)
}

fn pro() -> Value {
    json!({ "plan": "pro" })
}

/// 502 in words of ours.
#[track_caller]
fn told(document: &Value) {
    let text = document.to_string();
    for secret in [KEY, "somebody", "api_error", "127.0.0.1"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_with_the_same_key() {
    for manner in [
        Manner::Fails(3, 500, vec![]),
        Manner::Fails(2, 503, vec![]),
        Manner::Fails(4, 429, vec![("retry-after", "0")]),
        Manner::Fails(1, 409, vec![]),
        Manner::Fails(1, 402, vec![("stripe-should-retry", "true")]),
        Manner::Breaks(2),
    ] {
        let (app, stripe) = start().await;
        let acme = app.tenant("acme").await;
        stripe.be(manner.clone());
        acme.owner.post("/billing/checkout", pro()).await.ok();
        assert!(stripe.asked_for("POST /v1/customers").len() >= 2, "{manner:?}");
        for call in ["POST /v1/customers", "POST /v1/checkout/sessions"] {
            let mut keys: Vec<_> = stripe
                .asked_for(call)
                .iter()
                .map(|asked| asked.header("idempotency-key").to_owned())
                .collect();
            keys.dedup();
            assert_eq!(keys.len(), 1, "{manner:?} {call}");
        }
        let known = stripe.state();
        let made = (known.customers.len(), known.checkout_sessions.len());
        assert_eq!(made, (1, 1), "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_is_502_and_leaves_nothing() {
    let always = usize::MAX;
    for (manner, attempts) in [
        (Manner::Fails(always, 500, vec![]), 5),
        (Manner::Fails(always, 429, vec![]), 5),
        (Manner::Fails(always, 409, vec![]), 5),
        (Manner::Breaks(always), 5),
        (Manner::Fails(always, 400, vec![]), 1),
        (Manner::Fails(always, 401, vec![]), 1),
        (Manner::Fails(always, 404, vec![]), 1),
        (Manner::Fails(always, 500, vec![("stripe-should-retry", "false")]), 1),
        (Manner::Fails(always, 302, vec![("location", "https://evil.test/")]), 1),
        (Manner::Babbles, 1),
    ] {
        let (app, stripe) = start().await;
        let acme = app.tenant("acme").await;
        stripe.be(manner.clone());
        let headers = [("idempotency-key", "a-click")];
        let body = Some(pro().to_string().into_bytes());
        let refused = acme.owner.send("POST", "/billing/checkout", &headers, body.clone()).await;
        told(&refused.refused(502, "UPSTREAM_ERROR"));
        assert_eq!(stripe.asked().len(), attempts, "{manner:?}");
        assert_eq!(
            app.database.number("SELECT count(stripe_customer_id) FROM tenants").await,
            0,
            "{manner:?}"
        );
        // nothing of it is kept under the key
        stripe.be(Manner::Answers);
        let again = acme.owner.send("POST", "/billing/checkout", &headers, body).await;
        assert_eq!(again.header("idempotency-replayed"), "");
        again.ok();
        assert_eq!(stripe.state().customers.len(), 1, "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_stripe_is_not_waited_for() {
    let (app, stripe) = hasty(Duration::from_millis(300)).await;
    let acme = app.tenant("acme").await;
    for manner in [Manner::Hangs, Manner::Fails(usize::MAX, 429, vec![("retry-after", "3600")])] {
        stripe.be(manner);
        let began = Instant::now();
        told(&acme.owner.post("/billing/checkout", pro()).await.refused(502, "UPSTREAM_ERROR"));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    stripe.be(Manner::Answers);
    let cus = customer(&acme.owner, &stripe).await;
    stripe.be(Manner::Hangs);
    told(&acme.owner.post("/billing/portal", json!({})).await.refused(502, "UPSTREAM_ERROR"));
    let id = stripe.state().subscribe(&cus, PRO);
    let event = stripe.state().event_of("invoice.paid", &id);
    told(&deliver(&app, &event).await.refused(502, "UPSTREAM_ERROR"));
    assert_eq!(app.database.count("stripe_events").await, 0);
    stripe.be(Manner::Answers);
    deliver(&app, &event).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "pro");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_where_stripe_should_be() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let mut billing = Stripe::start().await.settings();
    billing.stripe.as_mut().unwrap().api_base = format!("http://{closed}");
    let app = TestApp::start_with(Options { billing, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    told(&acme.owner.post("/billing/checkout", pro()).await.refused(502, "UPSTREAM_ERROR"));
    assert_eq!(app.worker().chores().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_fetch_fails_is_sent_again_and_takes_effect_then() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let (_, event) = paid(&stripe, &acme.owner, PRO).await;
    let before = stored(&app).await;
    for manner in [
        Manner::Fails(usize::MAX, 500, vec![]),
        Manner::Fails(usize::MAX, 429, vec![]),
        Manner::Fails(usize::MAX, 401, vec![]),
        Manner::Breaks(usize::MAX),
        Manner::Babbles,
    ] {
        stripe.be(manner);
        told(&deliver(&app, &event).await.refused(502, "UPSTREAM_ERROR"));
        assert_eq!((app.database.count("stripe_events").await, stored(&app).await), (0, before.clone()));
    }
    stripe.be(Manner::Fails(2, 503, vec![]));
    deliver(&app, &event).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "pro");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_is_sent_again_and_takes_effect_then() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let (_, event) = paid(&stripe, &acme.owner, PRO).await;
    let before = stored(&app).await;
    // the last of what is written is refused: nothing before it stays
    let hold = app.database.hold("audit_events").await;
    deliver(&app, &event).await.refused(503, "SERVICE_UNAVAILABLE");
    hold.release().await;
    assert_eq!((app.database.count("stripe_events").await, stored(&app).await), (0, before));
    assert_eq!(app.database.count("outbox").await, 0);
    deliver(&app, &event).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "pro");
}
