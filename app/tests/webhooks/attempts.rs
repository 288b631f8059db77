//! What an attempt sends, what it makes of the answer, and when the next one follows.
use super::{deliveries, endpoint, endpoint_at, hasten, machine_time, on_plan, the_delivery};
use crate::support::{
    Options, Person, TestApp, order,
    receiver::{Manner, Received, Receiver, refusing_url},
    webhooks,
};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use std::time::Duration;
use tenantry::{config::RetrySchedule, infra::clock::Clock, values::Timestamp};

/// On the machine's clock, since receivers compare timestamps with theirs.
async fn on_real_time() -> (TestApp, Person, Receiver) {
    let app = TestApp::start_with(Options { clock: Clock::System, ..Options::default() }).await;
    let owner = on_plan(&app, "acme", "pro").await;
    (app, owner, Receiver::start().await)
}

fn verified(received: &Received, secret: &str) -> bool {
    Webhook::new(secret).unwrap().verify(&received.body, &received.headers).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_whole_and_the_libraries_of_standard_webhooks_verify_it() {
    let (app, owner, receiver) = on_real_time().await;
    let made = endpoint(&owner, &receiver).await;
    let placed = owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    let [received] = &receiver.received()[..] else { panic!("{:?}", receiver.received()) };
    assert!(verified(received, &made.secret));
    let mut forged = received.clone();
    forged.body.push(b' ');
    assert!(!verified(&forged, &made.secret));
    assert_eq!(received.line, "POST /hook?from=test HTTP/1.1");
    assert_eq!(received.header("content-type"), "application/json");
    assert!(received.header("user-agent").starts_with("Tenantry/"));
    let body = received.json();
    let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["data", "id", "tenant_id", "timestamp", "type"]);
    assert_eq!((&body["type"], &body["data"]), (&json!("order.created"), &placed));
    assert_eq!(body["timestamp"], placed["created_at"]);
    assert_eq!(body["id"], received.header("webhook-id"));
    let delivery = the_delivery(&owner).await;
    let shown =
        json!([delivery["status"], delivery["event_id"], delivery["event_type"], delivery["attempt_count"]]);
    assert_eq!(shown, json!(["succeeded", body["id"], "order.created", 1]));
    assert_eq!((&delivery["payload"], &delivery["next_attempt_at"]), (&body, &Value::Null));
    let attempt = &delivery["attempts"][0];
    let shown = json!([attempt["number"], attempt["outcome"], attempt["response_status"], attempt["error"]]);
    assert_eq!(shown, json!([1, "succeeded", 200, null]));
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_day_after_a_rotation_both_secrets_verify() {
    let (app, owner, receiver) = on_real_time().await;
    let made = endpoint(&owner, &receiver).await;
    let rotate = async || {
        owner.post_empty(&made.path("/rotate-secret")).await.ok()["secret"].as_str().unwrap().to_owned()
    };
    let secrets = [made.secret.clone(), rotate().await, rotate().await];
    let send = async || {
        receiver.take();
        owner.post_empty(&made.path("/test")).await.status(202);
        app.run_jobs().await;
        let received = receiver.take().remove(0);
        secrets.each_ref().map(|secret| verified(&received, secret))
    };
    assert_eq!(send().await, [true, true, true]);
    // the first was replaced a day ago
    let before_last = "SELECT min(expires_at) FROM webhook_secrets";
    app.database
        .execute(&format!(
            "UPDATE webhook_secrets SET expires_at = created_at WHERE expires_at = ({before_last})"
        ))
        .await;
    assert_eq!(send().await, [false, true, true]);
    app.worker().chores().await.unwrap();
    assert_eq!(app.database.count("webhook_secrets").await, 2);
    for _ in 0..7 {
        rotate().await;
    }
    owner.post_empty(&made.path("/rotate-secret")).await.refused(422, "BUSINESS_RULE_VIOLATION");
    let sealed = app.database.number("SELECT count(*) FROM webhook_secrets WHERE length(secret) = 60").await;
    assert_eq!(sealed, 9, "nonce, 32 bytes and a tag, and none of them plain");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_with_the_same_id_and_bytes_until_it_is_given_up() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::of(Manner::Answers(500)).await;
    endpoint(&acme.owner, &receiver).await;
    acme.member.post("/orders", order()).await.created();
    assert_eq!(app.run_jobs().await, 1);
    for (attempt, step) in (1..).zip([5.0, 300.0, 1800.0, 7200.0, 18_000.0]) {
        let delivery = the_delivery(&acme.owner).await;
        assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("pending"), &json!(attempt)));
        let wait = seconds_until(&delivery["next_attempt_at"]);
        assert!((step * 0.79 - 2.0..=step * 1.21).contains(&wait), "{attempt}: {wait}");
        assert_eq!(app.run_jobs().await, 0, "not yet");
        hasten(&app).await;
        assert_eq!(app.run_jobs().await, 1);
    }
    let delivery = the_delivery(&acme.owner).await;
    assert_eq!((&delivery["status"], &delivery["next_attempt_at"]), (&json!("failed"), &Value::Null));
    assert_eq!(delivery["completed_at"], "2026-01-31T12:00:00.000Z");
    let attempts = delivery["attempts"].as_array().unwrap();
    let shown: Vec<_> =
        attempts.iter().map(|a| json!([a["number"], a["outcome"], a["response_status"]])).collect();
    let expected: Vec<_> = (1..=6).map(|number| json!([number, "failed", 500])).collect();
    assert_eq!(shown, expected);
    let received = receiver.received();
    assert_eq!(received.len(), 6);
    for again in &received {
        assert_eq!(
            (&again.body, again.header("webhook-id")),
            (&received[0].body, received[0].header("webhook-id"))
        );
    }
    hasten(&app).await;
    assert_eq!(app.run_jobs().await, 0);
}

/// From now, on the clock by which deliveries are due.
fn seconds_until(instant: &Value) -> f64 {
    let instant = Timestamp::from_rfc3339(instant.as_str().unwrap()).unwrap();
    instant.as_micros() as f64 / 1e6 - machine_time().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_says_when_to_come_back_is_heeded_up_to_twice_the_step() {
    let schedule = RetrySchedule::new(vec![Duration::from_secs(100)]).unwrap();
    let options = Options {
        webhooks: tenantry::config::WebhookSettings { schedule, ..webhooks() },
        ..Options::default()
    };
    let app = TestApp::start_with(options).await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::start().await;
    let made = endpoint(&owner, &receiver).await;
    let spread = 79.0..=120.5;
    for (retry_after, expected) in [
        ("150", 148.0..=150.5),
        ("Sat, 31 Jan 2026 12:03:00 GMT", 178.0..=180.5), // the clock of the test stands at noon
        ("1", spread.clone()),
        ("100000", 198.0..=200.5),
        ("soon", spread.clone()),
        ("-1", spread),
    ] {
        receiver.be(Manner::Says(format!(
            "HTTP/1.1 429 Slow down\r\nretry-after: {retry_after}\r\ncontent-length: 0\r\n\r\n"
        )));
        let sent = owner.post_empty(&made.path("/test")).await.status(202);
        app.run_jobs().await;
        let one = format!("/webhooks/deliveries/{}", sent["id"].as_str().unwrap());
        let wait = seconds_until(&owner.get(&one).await.ok()["next_attempt_at"]);
        assert!(expected.contains(&wait), "{retry_after}: {wait}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_bad_answer_is_told_and_none_does_harm() {
    let limits = tenantry::config::WebhookSettings { timeout: Duration::from_millis(400), ..webhooks() };
    let app = TestApp::start_with(Options { webhooks: limits, ..Options::default() }).await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::start().await;
    let made = endpoint(&owner, &receiver).await;
    let elsewhere = Receiver::start().await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let says = |text: &str| Manner::Says(text.to_owned());
    for (manner, outcome, status, body) in [
        (Manner::Answers(204), "succeeded", Some(204), Some("")),
        (Manner::Pours(200), "succeeded", Some(200), None),
        (Manner::Pours(500), "failed", Some(500), None),
        (Manner::Answers(404), "failed", Some(404), Some("")),
        (Manner::Says(redirect), "failed", Some(302), Some("")),
        (
            says("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na\0b\x1b"),
            "succeeded",
            Some(200),
            Some("a\u{FFFD}b\u{FFFD}"),
        ),
        (Manner::Hangs, "timeout", None, None),
        (Manner::Trickles, "timeout", None, None),
        (says("SSH-2.0-OpenSSH\r\n\r\n"), "failed", None, None),
        (says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut"), "failed", None, None),
    ] {
        receiver.be(manner.clone());
        let sent = owner.post_empty(&made.path("/test")).await.status(202);
        app.run_jobs().await;
        let delivery =
            owner.get(&format!("/webhooks/deliveries/{}", sent["id"].as_str().unwrap())).await.ok();
        let attempt = &delivery["attempts"][0];
        assert_eq!(
            (&attempt["outcome"], &attempt["response_status"]),
            (&json!(outcome), &json!(status)),
            "{manner:?}"
        );
        if let Some(body) = body {
            assert_eq!(attempt["response_body"], body, "{manner:?}");
        }
        if matches!(manner, Manner::Pours(_)) {
            assert_eq!(attempt["response_body"], "x".repeat(1024));
        }
        assert_eq!(attempt["error"].is_null(), outcome == "succeeded", "{manner:?}: {attempt}");
        assert!(attempt["duration_ms"].as_i64().unwrap() < 5000);
    }
    assert_eq!(elsewhere.count(), 0, "redirects are not followed");
    let refusing = endpoint_at(&owner, &refusing_url().await).await;
    owner.post_empty(&refusing.path("/test")).await.status(202);
    app.run_jobs().await;
    assert_eq!(deliveries(&owner, &format!("endpoint_id={}&status=pending", refusing.id)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_where_it_must_not_is_blocked_and_said_so() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::start().await;
    endpoint(&owner, &receiver).await;
    // the operator has changed his mind
    let strict =
        TestApp::on(app.database.clone(), Options { allow_private: false, ..Options::default() }).await;
    owner.post("/orders", order()).await.created();
    strict.run_jobs().await;
    let delivery = the_delivery(&owner).await;
    let attempt = &delivery["attempts"][0];
    assert_eq!(
        (&attempt["outcome"], &attempt["response_status"]),
        (&json!("blocked"), &Value::Null),
        "{attempt}"
    );
    assert_eq!((receiver.count(), &delivery["status"]), (0, &json!("pending")));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_another_key_nothing_is_sent_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::start().await;
    let made = endpoint(&acme.owner, &receiver).await;
    let other =
        Options { webhook_secret: "another-webhook-secret-0918273645-of-a-test", ..Options::default() };
    let other = TestApp::on(app.database.clone(), other).await;
    acme.member.post("/orders", order()).await.created();
    other.run_jobs().await;
    let delivery = the_delivery(&acme.owner).await;
    let stands = json!([delivery["status"], delivery["attempt_count"], delivery["attempts"]]);
    assert_eq!((receiver.count(), stands), (0, json!(["pending", 0, []])));
    assert!((55.0..=60.5).contains(&seconds_until(&delivery["next_attempt_at"])));
    let admin = other.with_token(&acme.admin.access_token);
    admin.get(&made.path("/secret")).await.refused(500, "INTERNAL_ERROR");
    hasten(&app).await;
    app.run_jobs().await;
    assert_eq!(receiver.count(), 1);
}
