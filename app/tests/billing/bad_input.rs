//! What is not of Stripe, and what of it is nothing to us: told so, and nothing is half applied.
use super::{customer, deliver, paid, send, start, stored, subscribed, subscription};
use crate::support::{
    TestApp,
    http::Answer,
    stripe::{OLD_SECRET, OTHER, PRO, SECRET, STARTER, Stripe, hex, signature},
};
use serde_json::{Value, json};
use std::time::Duration;

/// What was there before is there, and Stripe was not asked.
async fn untouched(app: &TestApp, stripe: &Stripe, asked: usize) {
    assert_eq!(app.database.count("stripe_events").await, 0);
    assert_eq!(app.database.count("outbox").await, 0);
    assert!(
        stored(app).await.iter().all(|row| row.starts_with("free free none - ")),
        "{:?}",
        stored(app).await
    );
    assert_eq!(stripe.asked().len(), asked, "{:?}", stripe.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_stripe_has_signed_just_now_is_taken() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let (id, event) = paid(&stripe, &acme.owner, PRO).await;
    let (asked, now) = (stripe.asked().len(), app.clock.now());
    let body = event.body.as_slice();
    let time = now.as_seconds();
    let good = hex(body, SECRET, time);
    let late = now.minus(Duration::from_secs(301));
    let early = now.plus(Duration::from_secs(301));
    let refused = |answer: Answer| {
        let document = answer.refused(400, "BAD_REQUEST");
        assert_eq!(document["details"], json!([]));
    };
    refused(send(&app, body, None).await);
    for header in [
        String::new(),
        "nonsense".to_owned(),
        format!("v1={good}"),
        format!("t={time}"),
        format!("t={time},v1="),
        format!("t={time},v0={good}"),
        format!("t={time},v1={}", good.replace(char::is_alphabetic, "0")),
        format!("t={},v1={good}", time + 1),
        format!("t={time},t={time},v1={good}"),
        format!("t=now,v1={good}"),
        signature(body, &["whsec_of_somebody_else"], now),
        signature(body, &[SECRET], late),
        signature(body, &[SECRET], early),
    ] {
        refused(send(&app, body, Some(&header)).await);
    }
    // one byte, one space, one key moved, one byte more
    let whole = signature(body, &[SECRET], now);
    let mut altered = event.body.clone();
    let at = altered.windows(6).position(|bytes| bytes == b"active").unwrap();
    altered[at] = b'A';
    let again: Value = serde_json::from_slice(body).unwrap();
    let pretty = serde_json::to_vec_pretty(&again).unwrap();
    for body in [altered, pretty, [body, b" "].concat(), body[1..].to_vec(), Vec::new()] {
        refused(send(&app, &body, Some(&whole)).await);
    }
    // twice the header is none
    let twice = [("stripe-signature", whole.as_str()), ("stripe-signature", whole.as_str())];
    refused(app.anyone().send("POST", "/billing/webhook", &twice, Some(body.to_vec())).await);
    untouched(&app, &stripe, asked).await;
    // and this is what would have been taken, of any media type: one of two, and with the secret of before
    let other = "0".repeat(64);
    let two = [
        ("stripe-signature", format!("t={time},v1={other},v1={good}")),
        ("content-type", "text/plain".to_owned()),
    ];
    let two: Vec<_> = two.iter().map(|(name, value)| (*name, value.as_str())).collect();
    app.anyone().send("POST", "/billing/webhook", &two, Some(body.to_vec())).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "pro");
    let next = stripe.state().event_of("invoice.paid", &id);
    let rolled = signature(&next.body, &["whsec_unknown", OLD_SECRET], now.minus(Duration::from_secs(300)));
    send(&app, &next.body, Some(&rolled)).await.ok();
    assert_eq!(app.database.count("stripe_events").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_and_no_event() {
    let (app, stripe) = start().await;
    app.tenant("acme").await;
    let signed =
        async |body: &[u8]| send(&app, body, Some(&signature(body, &[SECRET], app.clock.now()))).await;
    for body in [
        b"".as_slice(),
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"{\"id\": \"evt_1\"}",
        b"{\"id\": 7, \"type\": \"invoice.paid\"}",
        b"{\"id\": \"evt_1\", \"type\": \"invoice.paid\xff\"}",
        b"\xff\xfe",
        b"{\"id\": \"evt\\u00001\", \"type\": \"invoice.paid\"}",
    ] {
        signed(body).await.refused(400, "BAD_REQUEST");
    }
    let deep = format!("{{\"id\": \"evt_1\", \"type\": \"invoice.paid\", \"data\": {}", "[".repeat(100_000));
    signed(deep.as_bytes()).await.refused(400, "BAD_REQUEST");
    // the largest is taken, and one byte more is not
    let event = |padding: usize| {
        let padding = "x".repeat(padding);
        json!({ "id": "evt_1", "type": "charge.refunded", "data": { "object": { "x": padding } } })
            .to_string()
    };
    let frame = event(0).len();
    signed(event(1024 * 1024 - frame).as_bytes()).await.ok();
    signed(event(1024 * 1024 - frame + 1).as_bytes()).await.refused(413, "PAYLOAD_TOO_LARGE");
    untouched(&app, &stripe, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nothing_to_us_is_acknowledged() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let customer = customer(&acme.owner, &stripe).await;
    let asked = stripe.asked().len();
    let object = json!({ "id": "obj_1", "customer": customer });
    for r#type in
        ["charge.refunded", "customer.updated", "customer.subscription.imagined", "invoice", "v9.new", "*"]
    {
        let event = stripe.state().event(r#type, &object);
        assert_eq!(deliver(&app, &event).await.ok(), json!({ "received": true }));
    }
    for object in [
        json!(null),
        json!([]),
        json!("sub_1"),
        json!({}),
        json!({ "id": "sub_1", "customer": null }),
        json!({ "id": "sub_1", "customer": 7 }),
        json!({ "id": "sub_1", "customer": { "object": "customer" } }),
        json!({ "id": "sub_1", "customer": "cus_of_nobody", "metadata": { "tenant_id": acme.id } }),
        json!({ "id": "sub_1", "customer": "cus_' OR 1 = 1", "status": "active" }),
    ] {
        let event = stripe.state().event("customer.subscription.updated", &object);
        assert_eq!(deliver(&app, &event).await.ok(), json!({ "received": true }));
    }
    untouched(&app, &stripe, asked).await;
}

/// Whose an event is says the customer that we stored, and nothing that whoever pays can write.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_makes_nobody_elses_subscription_ones_own() {
    let (app, stripe) = start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let theirs = customer(&globex.owner, &stripe).await;
    customer(&acme.owner, &stripe).await;
    let id = stripe.state().subscribe(&theirs, PRO);
    stripe.state().change(&id, json!({ "metadata": { "tenant_id": acme.id } }));
    for r#type in ["customer.subscription.created", "checkout.session.completed", "invoice.paid"] {
        let event = stripe.state().event_of(r#type, &id);
        deliver(&app, &event).await.ok();
    }
    assert_eq!(subscription(&acme.owner).await["plan"], "free");
    assert_eq!(subscription(&globex.owner).await["plan"], "pro");
    // an event that names one customer and another's subscription gives nobody anything
    let event = json!({ "id": id, "customer": stripe_customer_of(&app, "acme").await, "status": "active" });
    let event = stripe.state().event("customer.subscription.updated", &event);
    deliver(&app, &event).await.ok();
    assert_eq!(subscription(&acme.owner).await["plan"], "free");
}

async fn stripe_customer_of(app: &TestApp, slug: &str) -> String {
    let sql = format!("SELECT stripe_customer_id FROM tenants WHERE slug = '{slug}'");
    app.database.texts(&sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn words_and_prices_that_are_new_to_us_break_nothing() {
    let (app, stripe) = start().await;
    let acme = app.tenant("acme").await;
    let id = subscribed(&app, &stripe, &acme.owner, PRO).await;
    super::changed(&app, &stripe, &id, json!({ "status": "hibernating", "new_member": { "a": [1] } })).await;
    let has = subscription(&acme.owner).await;
    assert_eq!((&has["plan"], &has["status"]), (&json!("free"), &json!("hibernating")));
    super::changed(&app, &stripe, &id, json!({ "status": { "word": "active" }, "trial_end": "soon" })).await;
    assert_eq!(subscription(&acme.owner).await["plan"], "free");
    super::changed(&app, &stripe, &id, json!({ "status": "active", "trial_end": 1_770_000_000 })).await;
    let has = subscription(&acme.owner).await;
    assert_eq!((&has["plan"], &has["trial_end"]), (&json!("pro"), &json!("2026-02-02T02:40:00.000Z")));
    // a price that is none of ours is free, and back again
    stripe.state().set_price(&id, OTHER);
    super::changed(&app, &stripe, &id, json!({})).await;
    let has = subscription(&acme.owner).await;
    assert_eq!((&has["plan"], &has["status"]), (&json!("free"), &json!("active")));
    stripe.state().set_price(&id, STARTER);
    super::changed(&app, &stripe, &id, json!({})).await;
    assert_eq!(subscription(&acme.owner).await["plan"], "starter");
    // an older version, in which the period was the subscription's and a price a plan
    let items = json!({ "data": [{ "plan": { "id": PRO } }] });
    super::changed(&app, &stripe, &id, json!({ "items": items, "current_period_end": 1_772_000_000 })).await;
    let has = subscription(&acme.owner).await;
    assert_eq!(
        (&has["plan"], &has["current_period_end"]),
        (&json!("pro"), &json!("2026-02-25T06:13:20.000Z"))
    );
    // what is cancelled at the end of its period, said either way
    super::changed(&app, &stripe, &id, json!({ "cancel_at_period_end": true })).await;
    assert_eq!(subscription(&acme.owner).await["cancel_at_period_end"], true);
    let at = json!({ "cancel_at_period_end": false, "cancel_at": 1_772_000_000 });
    super::changed(&app, &stripe, &id, at).await;
    assert_eq!(subscription(&acme.owner).await["cancel_at_period_end"], true);
}
