//! Endpoints: made, shown, changed, deleted, and no more of them than the plan allows.
use super::{Made, deliveries, endpoint, endpoint_at, endpoint_for, made, on_plan};
use crate::support::{Options, TestApp, at_once, order, receiver::Receiver};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_shown_changed_and_deleted() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let body = json!({ "url": "https://example.com/hook?a=b", "description": "Books\norders", "event_types": ["order.*"] });
    let answer = acme.admin.post("/webhooks/endpoints", body).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let one = format!("/webhooks/endpoints/{id}");
    assert_eq!(
        (answer.header("location"), answer.header("etag")),
        (format!("/api/v1{one}").as_str(), "\"1\"")
    );
    let mut shown = answer.created();
    let secret = shown.as_object_mut().unwrap().remove("secret").unwrap();
    assert!(secret.as_str().unwrap().starts_with("whsec_") && secret.as_str().unwrap().len() == 50);
    let expected = json!({
        "id": id, "url": "https://example.com/hook?a=b", "description": "Books\norders", "event_types": ["order.*"],
        "enabled": true, "disabled_reason": null, "created_at": "2026-01-31T12:00:00.000Z",
        "updated_at": "2026-01-31T12:00:00.000Z"
    });
    assert_eq!(shown, expected);
    assert_eq!(acme.admin.get(&one).await.ok(), expected);
    assert_eq!(acme.admin.get("/webhooks/endpoints").await.ok()["data"], json!([expected]));
    assert_eq!(acme.admin.get(&format!("{one}/secret")).await.ok(), json!({ "secret": secret }));
    acme.admin.get_with(&one, &[("if-none-match", "\"1\"")]).await.status(304);

    app.clock.advance(std::time::Duration::from_secs(60));
    let change = json!({ "description": "", "event_types": [], "enabled": false });
    let stale = acme.admin.patch_with(&one, &[("if-match", "\"7\"")], change.clone()).await;
    stale.refused(412, "PRECONDITION_FAILED");
    let answer = acme.admin.patch_with(&one, &[("if-match", "\"1\"")], change.clone()).await;
    assert_eq!(answer.header("etag"), "\"2\"");
    let changed = answer.ok();
    let seen = |value: &Value| {
        ["description", "event_types", "enabled", "disabled_reason", "updated_at"]
            .map(|member| value[member].clone())
    };
    assert_eq!(
        seen(&changed),
        [Value::Null, json!([]), json!(false), json!("manual"), json!("2026-01-31T12:01:00.000Z")]
    );
    let same = acme.admin.patch(&one, change).await;
    assert_eq!(same.header("etag"), "\"2\"", "what is so already is no change");
    let on = acme.admin.patch(&one, json!({ "enabled": true })).await.ok();
    assert_eq!((&on["enabled"], &on["disabled_reason"]), (&json!(true), &Value::Null));

    acme.admin.send("DELETE", &one, &[("if-match", "\"1\"")], None).await.refused(412, "PRECONDITION_FAILED");
    acme.admin.send("DELETE", &one, &[("if-match", "\"3\"")], None).await.status(204);
    for path in [one.clone(), format!("{one}/secret")] {
        acme.admin.get(&path).await.refused(404, "NOT_FOUND");
    }
    acme.admin.delete(&one).await.refused(404, "NOT_FOUND");
    assert_eq!(acme.admin.get("/webhooks/endpoints").await.ok()["data"], json!([]));
    assert_eq!(app.database.count("webhook_secrets").await, 0);
    let audit = acme.owner.get("/audit?per_page=100").await.ok();
    let of_endpoint = audit["items"].as_array().unwrap().iter().filter(|entry| entry["target"]["id"] == id);
    let actions: Vec<_> = of_endpoint.map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "webhook_endpoint.deleted",
            "webhook_endpoint.updated",
            "webhook_endpoint.updated",
            "webhook_endpoint.created"
        ]
    );
    assert!(!audit.to_string().contains("example.com"), "an address may hold what is secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_and_what_an_endpoint_may_not_be() {
    let app = TestApp::start_with(Options { allow_private: false, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let refused = async |body: Value, fields: &[&str]| {
        acme.admin.post("/webhooks/endpoints", body).await.invalid(fields);
    };
    for url in [
        "http://example.com/",
        "https://user@example.com/",
        "https://example.com:22/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://printer.local/",
        "https://[::1]/",
        "https://169.254.169.254/latest",
        "ftp://example.com/",
        "example.com",
        "",
    ] {
        refused(json!({ "url": url }), &["url"]).await;
    }
    let url = "https://example.com/";
    refused(
        json!({ "url": url, "event_types": ["order.created", "order.eaten", "meals.*"] }),
        &["event_types[1]", "event_types[2]"],
    )
    .await;
    refused(json!({ "url": url, "event_types": ["Order"] }), &["event_types[0]"]).await;
    refused(json!({ "url": "https://10.0.0.1/", "event_types": ["meals.*"] }), &["url", "event_types[0]"])
        .await;
    refused(
        json!({ "url": "no", "event_types": ["?"], "description": "\u{0}", "more": 1 }),
        &["url", "event_types[0]", "description", "more"],
    )
    .await;
    refused(json!({}), &["url"]).await;
    let made =
        acme.admin.post("/webhooks/endpoints", json!({ "url": url, "event_types": ["*"] })).await.created();
    let one = format!("/webhooks/endpoints/{}", made["id"].as_str().unwrap());
    acme.admin.patch(&one, json!({ "url": "https://192.168.1.1/" })).await.invalid(&["url"]);
    acme.admin.patch(&one, json!({ "event_types": ["meals.*"] })).await.invalid(&["event_types[0]"]);
    assert_eq!(acme.admin.get(&one).await.ok()["url"], url);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_are_made_than_the_plan_allows_however_many_ask_at_once() {
    let app = TestApp::start().await;
    for (slug, plan, most) in [("free-co", "free", 1), ("starter-co", "starter", 5)] {
        let owner = on_plan(&app, slug, plan).await;
        let asked = owner.clone();
        let answers = at_once(20, move |i| {
            let owner = asked.clone();
            async move {
                owner.post("/webhooks/endpoints", json!({ "url": format!("https://example.com/{i}") })).await
            }
        });
        let (made, refused): (Vec<_>, Vec<_>) =
            answers.await.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), most, "{plan}");
        for answer in refused {
            let document = answer.refused(422, "BUSINESS_RULE_VIOLATION");
            assert!(document["detail"].as_str().unwrap().contains(plan), "{document}");
        }
        let one = made[0].json()["id"].as_str().unwrap().to_owned();
        owner.delete(&format!("/webhooks/endpoints/{one}")).await.status(204);
        owner.post("/webhooks/endpoints", json!({ "url": "https://example.com/" })).await.created();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_listed_page_by_page_newest_first() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let mut made = Vec::new();
    for i in 0..5 {
        made.push(endpoint_at(&owner, &format!("https://example.com/{i}")).await.id);
    }
    made.reverse();
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = owner.get(&format!("/webhooks/endpoints?limit=2{cursor}")).await.ok();
        listed.extend(
            page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, made);
    owner.get(&format!("/webhooks/deliveries?{}", "cursor=x")).await.invalid(&["cursor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_repeated_makes_one_endpoint_with_one_secret() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::start().await;
    let key = [("idempotency-key", "the-same"), ("content-type", "application/json")];
    let body = json!({ "url": receiver.url() }).to_string().into_bytes();
    let first = owner.send("POST", "/webhooks/endpoints", &key, Some(body.clone())).await;
    let again = owner.send("POST", "/webhooks/endpoints", &key, Some(body)).await;
    assert_eq!((again.status, &again.bytes), (first.status, &first.bytes));
    assert_eq!(
        (again.header("idempotency-replayed"), app.database.count("webhook_endpoints").await),
        ("true", 1)
    );
    let Made { id, secret } = made(&first.created());
    let path = format!("/webhooks/endpoints/{id}/rotate-secret");
    let rotated = owner.send("POST", &path, &key[..1], None).await;
    let again = owner.send("POST", &path, &key[..1], None).await;
    assert_eq!(rotated.bytes, again.bytes);
    let rotated = rotated.ok()["secret"].clone();
    assert_ne!(rotated, secret);
    assert_eq!(owner.get(&format!("/webhooks/endpoints/{id}/secret")).await.ok()["secret"], rotated);
    let test = format!("/webhooks/endpoints/{id}/test");
    let sent = owner.send("POST", &test, &key[..1], None).await.status(202);
    assert_eq!(owner.send("POST", &test, &key[..1], None).await.status(202), sent);
    app.run_jobs().await;
    assert_eq!(receiver.count(), 1);
    let retry = format!("/webhooks/deliveries/{}/retry", sent["id"].as_str().unwrap());
    for _ in 0..2 {
        owner.send("POST", &retry, &key[..1], None).await.status(202);
    }
    app.run_jobs().await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_sent_what_it_wants() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let [all, orders, created, users, off] = [
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    ];
    endpoint(&owner, &all).await;
    endpoint_for(&owner, &orders, &["order.*"]).await;
    endpoint_for(&owner, &created, &["order.created", "user.deactivated"]).await;
    endpoint_for(&owner, &users, &["user.*"]).await;
    let off_one = endpoint(&owner, &off).await;
    owner.patch(&off_one.path(""), json!({ "enabled": false })).await.ok();
    let placed = owner.post("/orders", order()).await.created();
    let status = format!("/orders/{}/status", placed["id"].as_str().unwrap());
    owner.patch(&status, json!({ "status": "confirmed" })).await.ok();
    app.run_jobs().await;
    assert_eq!([&all, &orders, &created, &users, &off].map(Receiver::count), [2, 2, 1, 0, 0]);
    assert_eq!(created.received()[0].json()["type"], "order.created");
    owner.patch(&off_one.path(""), json!({ "enabled": true })).await.ok();
    owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    assert_eq!([&all, &orders, &created, &users, &off].map(Receiver::count), [3, 3, 2, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_endpoint_that_is_turned_off_or_deleted_has_failed() {
    let app = TestApp::start().await;
    let owner = on_plan(&app, "acme", "pro").await;
    let receiver = Receiver::of(crate::support::receiver::Manner::Answers(500)).await;
    let (off, deleted) = (endpoint(&owner, &receiver).await, endpoint(&owner, &receiver).await);
    owner.post("/orders", order()).await.created();
    app.run_jobs().await;
    assert_eq!(deliveries(&owner, "status=pending").await.len(), 2);
    owner.patch(&off.path(""), json!({ "enabled": false })).await.ok();
    owner.delete(&deleted.path("")).await.status(204);
    app.run_jobs().await;
    let failed = deliveries(&owner, "status=failed").await;
    assert_eq!(failed.len(), 2, "the log of a deleted endpoint stays");
    assert!(failed.iter().all(|one| one["next_attempt_at"].is_null() && !one["completed_at"].is_null()));
    assert_eq!(receiver.count(), 2);
    for one in &failed {
        let retry = format!("/webhooks/deliveries/{}/retry", one["id"].as_str().unwrap());
        owner.post_empty(&retry).await.refused(422, "BUSINESS_RULE_VIOLATION");
    }
    owner.post_empty(&off.path("/test")).await.refused(422, "BUSINESS_RULE_VIOLATION");
    let since = json!({ "since": "2026-01-31T00:00:00Z" });
    owner.post(&off.path("/recover"), since.clone()).await.refused(422, "BUSINESS_RULE_VIOLATION");
    owner.post(&deleted.path("/recover"), since).await.refused(404, "NOT_FOUND");
}
