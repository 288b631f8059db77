//! The log of deliveries: lists, sending again, and how long it is kept.
use super::{deliveries, endpoint, hasten, on_plan, the_delivery};
use crate::support::{
    TestApp, order,
    receiver::{Manner, Receiver},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_by_endpoint_status_and_event() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let (good, bad) = (Receiver::start().await, Receiver::of(Manner::Answers(500)).await);
    let (to_good, to_bad) = (endpoint(&owner, &good).await, endpoint(&owner, &bad).await);
    for _ in 0..3 {
        let placed = owner.post("/orders", order()).await.created();
        owner.patch(&format!("/orders/{}/status", id(&placed)), json!({ "status": "confirmed" })).await.ok();
    }
    owner.post_empty(&to_good.path("/test")).await.status(202);
    app.run_jobs().await;
    let (of_good, of_bad) = (format!("endpoint_id={}", to_good.id), format!("endpoint_id={}", to_bad.id));
    for (query, count) in [
        (String::new(), 13),
        (of_good.clone(), 7),
        (of_bad.clone(), 6),
        ("status=succeeded".to_owned(), 7),
        ("status=pending".to_owned(), 6),
        ("status=failed".to_owned(), 0),
        ("event_type=order.created".to_owned(), 6),
        ("event_type=webhook.test".to_owned(), 1),
        (format!("{of_bad}&status=pending&event_type=order.status_changed"), 3),
        (format!("{of_bad}&status=succeeded"), 0),
        (format!("{of_good}&status=succeeded"), 7),
        (format!("{of_good}&status=failed"), 0),
        ("endpoint_id=0192f0c1-0000-7000-8000-000000000000".to_owned(), 0),
    ] {
        assert_eq!(deliveries(&owner, &query).await.len(), count, "{query}");
    }
    let everything = deliveries(&owner, "limit=100").await;
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = owner.get(&format!("/webhooks/deliveries?limit=5{cursor}")).await.ok();
        walked.extend(page["data"].as_array().unwrap().clone());
        if walked.len() == 5 {
            owner.post("/orders", order()).await.created(); // what comes meanwhile moves nothing
            app.run_jobs().await;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(walked, everything);
    for wrong in ["status=lost", "endpoint_id=x", "limit=0", "more=1"] {
        owner
            .get(&format!("/webhooks/deliveries?{wrong}"))
            .await
            .invalid(&[wrong.split('=').next().unwrap()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_sent_again_whatever_its_state() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::start().await;
    endpoint(&acme.owner, &receiver).await;
    acme.member.post("/orders", order()).await.created();
    app.run_jobs().await;
    let delivery = the_delivery(&acme.owner).await;
    let retry = format!("/webhooks/deliveries/{}/retry", id(&delivery));
    // one that succeeded
    let again = acme.admin.post_empty(&retry).await.status(202);
    let stands = json!([again["status"], again["completed_at"], again["attempt_count"]]);
    assert_eq!(stands, json!(["pending", null, 1]));
    assert!(!again["next_attempt_at"].is_null());
    app.run_jobs().await;
    // one that waits, and then has its whole schedule again
    receiver.be(Manner::Answers(500));
    acme.admin.post_empty(&retry).await.status(202);
    app.run_jobs().await;
    acme.admin.post_empty(&retry).await.status(202);
    for _ in 0..6 {
        app.run_jobs().await;
        hasten(&app).await;
    }
    let delivery = the_delivery(&acme.owner).await;
    assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("failed"), &json!(9)));
    // one that failed
    receiver.be(Manner::Answers(200));
    acme.admin.post_empty(&retry).await.status(202);
    app.run_jobs().await;
    let delivery = the_delivery(&acme.owner).await;
    assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("succeeded"), &json!(10)));
    let numbers: Vec<_> =
        delivery["attempts"].as_array().unwrap().iter().map(|a| a["number"].clone()).collect();
    assert_eq!(numbers, (1..=10).map(Value::from).collect::<Vec<_>>());
    let bodies: BTreeSet<_> = receiver.received().into_iter().map(|received| received.body).collect();
    assert_eq!((bodies.len(), receiver.count()), (1, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_failed_since_a_time_is_sent_again() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::of(Manner::Answers(500)).await;
    let (made, other) = (endpoint(&owner, &receiver).await, endpoint(&owner, &receiver).await);
    let fail = async |count: usize| {
        for _ in 0..count {
            owner.post("/orders", order()).await.created();
        }
        for _ in 0..6 {
            app.run_jobs().await;
            hasten(&app).await;
        }
        app.clock.advance(Duration::from_secs(60));
    };
    fail(2).await; // at noon
    fail(3).await; // a minute later
    assert_eq!(deliveries(&owner, "status=failed").await.len(), 10);
    receiver.be(Manner::Answers(200));
    let answer =
        owner.post(&made.path("/recover"), json!({ "since": "2026-01-31T12:01:00Z" })).await.status(202);
    assert_eq!(answer, json!({ "endpoint_id": made.id, "since": "2026-01-31T12:01:00.000Z" }));
    app.run_jobs().await;
    let left = async |endpoint: &str| {
        deliveries(&owner, &format!("status=failed&endpoint_id={endpoint}")).await.len()
    };
    assert_eq!((left(&made.id).await, left(&other.id).await), (2, 5));
    owner.post(&made.path("/recover"), json!({ "since": "2026-01-31T00:00:00Z" })).await.status(202);
    app.run_jobs().await;
    assert_eq!((left(&made.id).await, left(&other.id).await), (0, 5));
    owner.post(&made.path("/recover"), json!({ "since": "yesterday" })).await.invalid(&["since"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_goes_to_one_endpoint_alone_whatever_it_wants() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let made = super::endpoint_for(&owner, &receiver, &["user.*"]).await;
    endpoint(&owner, &other).await;
    let delivery = owner.post_empty(&made.path("/test")).await.status(202);
    let stands = json!([
        delivery["endpoint_id"],
        delivery["event_type"],
        delivery["status"],
        delivery["attempt_count"]
    ]);
    assert_eq!(stands, json!([made.id, "webhook.test", "pending", 0]));
    app.run_jobs().await;
    assert_eq!((receiver.count(), other.count()), (1, 0));
    let body = receiver.received()[0].json();
    assert_eq!((&body["type"], &body["data"]["endpoint_id"]), (&json!("webhook.test"), &json!(made.id)));
    assert_eq!(body["id"], delivery["event_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_is_kept_for_ninety_days_and_what_nobody_wanted_for_one() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    let receiver = Receiver::start().await;
    let made = endpoint(&owner, &receiver).await;
    owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    receiver.be(Manner::Answers(500));
    owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    let counts = async || {
        let mut counts = Vec::new();
        for table in ["outbox", "webhook_deliveries", "webhook_attempts", "webhook_endpoints"] {
            counts.push(app.database.count(table).await);
        }
        counts
    };
    assert_eq!(counts().await, [3, 2, 2, 1]);
    app.clock.advance(DAY);
    app.worker().chores().await.unwrap();
    assert_eq!(counts().await, [2, 2, 2, 1], "nobody wanted the first");
    app.clock.advance(DAY * 89 - Duration::from_secs(1));
    app.worker().chores().await.unwrap();
    assert_eq!(counts().await, [2, 2, 2, 1]);
    app.clock.advance(Duration::from_secs(1));
    app.worker().chores().await.unwrap();
    assert_eq!(counts().await, [1, 1, 1, 1], "what is not through stays");
    let owner = app.sign_in("acme", "owner").await;
    owner.delete(&made.path("")).await.status(204);
    app.run_jobs().await;
    app.worker().chores().await.unwrap();
    assert_eq!(counts().await, [0, 0, 0, 1], "given up now, but made 90 days ago");
    app.clock.advance(DAY);
    app.worker().chores().await.unwrap();
    assert_eq!(counts().await, [0, 0, 0, 0]);
}
