//! Endpoints that are gone or keep failing are turned off, and their owner is told.
use super::{deliveries, endpoint, hasten, on_plan};
use crate::support::{
    Options, Person, TestApp, order,
    receiver::{Manner, Receiver},
    smtp::Smtp,
};
use serde_json::{Value, json};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn with_mail() -> (TestApp, Person, Smtp) {
    let smtp = Smtp::start().await;
    let app = TestApp::start_with(Options { mail: smtp.mail(), ..Options::default() }).await;
    let owner = on_plan(&app, "acme", "pro").await;
    (app, owner, smtp)
}

async fn disabled(owner: &Person) -> Vec<Value> {
    let audit = owner.get("/audit?action=webhook_endpoint.disabled").await.ok();
    audit["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_turned_off_at_once_and_its_owner_is_told() {
    let (app, owner, smtp) = with_mail().await;
    let receiver = Receiver::of(Manner::Answers(500)).await;
    let made = endpoint(&owner, &receiver).await;
    owner.post("/orders", order()).await.created();
    app.run_jobs().await; // waits for its second attempt
    receiver.be(Manner::Answers(410));
    owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    let shown = owner.get(&made.path("")).await;
    assert_eq!(shown.header("etag"), "\"2\"");
    let shown = shown.ok();
    assert_eq!((&shown["enabled"], &shown["disabled_reason"]), (&json!(false), &json!("gone")));
    let failed = deliveries(&owner, "status=failed").await;
    assert_eq!(failed.len(), 2, "what waited has failed too");
    assert_eq!((receiver.count(), &failed[0]["attempt_count"]), (2, &json!(1)));
    let [entry] = &disabled(&owner).await[..] else { panic!() };
    assert_eq!((&entry["actor"], &entry["target"]["id"]), (&Value::Null, &json!(made.id)));
    assert_eq!(entry["details"], json!({ "reason": "gone" }));
    let [mail] = &smtp.received()[..] else { panic!("{:?}", smtp.received()) };
    assert_eq!(mail.to, "owner@acme.test");
    for part in mail.parts() {
        assert!(
            part.contains("410") && part.contains(&made.id) && part.contains("/hook?from=test"),
            "{part}"
        );
    }
    owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_days_with_failures_alone_turn_an_endpoint_off() {
    let (app, owner, smtp) = with_mail().await;
    let receiver = Receiver::of(Manner::Answers(500)).await;
    let made = endpoint(&owner, &receiver).await;
    // an access token does not live for days
    let fail = async || {
        let owner = app.sign_in("acme", "owner").await;
        owner.post_empty(&made.path("/test")).await.status(202);
        app.run_jobs().await;
        owner.get(&made.path("")).await.ok()["disabled_reason"].clone()
    };
    assert_eq!(fail().await, Value::Null);
    app.clock.advance(DAY * 4);
    receiver.be(Manner::Answers(200));
    assert_eq!(fail().await, Value::Null, "one success begins it anew");
    receiver.be(Manner::Answers(503));
    for days in [0, 4] {
        app.clock.advance(DAY * days);
        assert_eq!(fail().await, Value::Null);
    }
    app.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(fail().await, Value::Null, "five days, but for a millisecond");
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(fail().await, "failing");
    assert_eq!(smtp.received().len(), 1);
    assert!(smtp.received()[0].parts()[0].contains("five days"));
    let owner = app.sign_in("acme", "owner").await;
    assert_eq!(deliveries(&owner, "status=pending").await.len(), 0);
    owner.patch(&made.path(""), json!({ "enabled": true })).await.ok();
    assert_eq!(fail().await, Value::Null, "turned on again it is as good as new");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mailer_nobody_is_told_and_nothing_is_left_undone() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::of(Manner::Answers(410)).await;
    let made = endpoint(&owner, &receiver).await;
    owner.post_empty(&made.path("/test")).await.status(202);
    app.run_jobs().await;
    assert_eq!(owner.get(&made.path("")).await.ok()["disabled_reason"], "gone");
    assert_eq!((disabled(&owner).await.len(), app.database.count("jobs").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_ends_what_is_remembered_of_failures() {
    let (app, owner, _) = with_mail().await;
    let receiver = Receiver::of(Manner::Answers(500)).await;
    endpoint(&owner, &receiver).await;
    owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    let failing = "SELECT count(*) FROM webhook_endpoints WHERE failing_since IS NOT NULL";
    assert_eq!(app.database.number(failing).await, 1);
    receiver.be(Manner::Answers(200));
    hasten(&app).await;
    app.run_jobs().await;
    assert_eq!(app.database.number(failing).await, 0);
}
