//! API keys: section 7 of the contract. What each operation makes of a key of each role is in `guards.rs`.
use crate::support::{Options, Tenant, TestApp, at_once, http::Client, no_limits, order};
use serde_json::{Value, json};
use std::time::Duration;
use tenantry::{core::LimitSettings, infra::plans::TenantLimit, uuid::Uuid};

const MINUTE: Duration = Duration::from_secs(60);

fn key(role: &str) -> Value {
    json!({ "name": "Nightly export", "role": role })
}

async fn audited(tenant: &Tenant, action: &str) -> Vec<Value> {
    let page = tenant.owner.get(&format!("/audit?action={action}")).await.ok();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_listed_without_it_and_revoked() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut body = key("member");
    body["expires_at"] = json!("2026-03-01T00:00:00+01:00");
    let made = acme.admin.post("/api-keys", body).await.created();
    assert_eq!(made["success"], true);
    let mut data = made["data"].clone();
    let secret = data["key"].as_str().unwrap().to_owned();
    data.as_object_mut().unwrap().remove("key");
    let (id, prefix) = (data["id"].as_str().unwrap(), data["prefix"].as_str().unwrap());
    assert!(secret.starts_with(prefix) && prefix.starts_with("tk_") && secret.len() > 80, "{secret}");
    let shown = json!({
        "id": id, "name": "Nightly export", "prefix": prefix, "role": "member", "created_by": acme.admin.user_id,
        "created_at": "2026-01-31T12:00:00.000Z", "last_used_at": null, "expires_at": "2026-02-28T23:00:00.000Z"
    });
    assert_eq!(data, shown);
    let page = json!({ "items": [shown], "total": 1, "page": 1, "per_page": 20, "pages": 1 });
    assert_eq!(acme.owner.get("/api-keys").await.ok(), page);
    app.clock.advance(Duration::from_millis(1));
    let other = acme.owner.post("/api-keys", key("viewer")).await.created()["data"].take();
    assert_ne!(other["prefix"], json!(prefix), "people tell keys apart by it");
    assert_eq!(acme.owner.get("/api-keys?per_page=1&page=2").await.ok()["items"][0]["id"], other["id"]);

    let node = TestApp::on(app.database.clone(), Options::default()).await;
    let programs = [app.with_token(&secret), node.with_token(&secret)];
    for program in &programs {
        program.post("/orders", order()).await.created();
    }
    let path = format!("/api-keys/{id}");
    acme.owner.delete(&path).await.status(204);
    acme.owner.delete(&path).await.refused(404, "NOT_FOUND");
    for program in &programs {
        program.get("/orders").await.refused(401, "UNAUTHORIZED");
    }
    assert_eq!(acme.owner.get("/api-keys").await.ok()["items"], json!([other_as_listed(&other)]));

    let created = &audited(&acme, "api_key.created").await[1];
    assert_eq!(created["actor"]["id"], json!(acme.admin.user_id));
    assert_eq!(created["target"], json!({ "type": "api_key", "id": id }));
    let details =
        json!({ "name": "Nightly export", "role": "member", "expires_at": "2026-02-28T23:00:00.000Z" });
    assert_eq!(created["details"], details);
    let revoked = &audited(&acme, "api_key.revoked").await[0];
    assert_eq!((&revoked["actor"]["id"], &revoked["target"]["id"]), (&json!(acme.owner.user_id), &json!(id)));
    assert_eq!(app.database.count("api_keys").await, 2, "who did what can still be told");
}

fn other_as_listed(made: &Value) -> Value {
    let mut listed = made.clone();
    listed.as_object_mut().unwrap().remove("key");
    listed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_is_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for (change, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": "x".repeat(101) }), "name"),
        (json!({ "name": "a\u{7}b" }), "name"),
        (json!({ "name": null }), "name"),
        (json!({ "role": "owner" }), "role"),
        (json!({ "role": "king" }), "role"),
        (json!({ "role": 1 }), "role"),
        (json!({ "expires_at": "tomorrow" }), "expires_at"),
        (json!({ "expires_at": "2026-01-31T12:00:00Z" }), "expires_at"),
        (json!({ "expires_at": "1969-01-31T12:00:00Z" }), "expires_at"),
        (json!({ "created_by": acme.owner.user_id }), "created_by"),
        (json!({ "tenant_id": Uuid::nil() }), "tenant_id"),
        (json!({ "key": "tk_mine" }), "key"),
    ] {
        let mut body = key("viewer");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        acme.owner.post("/api-keys", body).await.invalid(&[field]);
    }
    for person in [&acme.member, &acme.viewer] {
        person.post("/api-keys", key("viewer")).await.refused(403, "FORBIDDEN");
        person.get("/api-keys").await.refused(403, "FORBIDDEN");
    }
    assert_eq!(app.database.count("api_keys").await, 0);
    acme.admin.post("/api-keys", key("admin")).await.created(); // as high as one's own
    acme.owner
        .post("/api-keys", json!({ "name": "x", "role": "viewer", "expires_at": null }))
        .await
        .created();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_does_is_done_by_the_key() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let made = acme.key("admin").await;
    let program = app.with_token(made["key"].as_str().unwrap());
    let placed = program.post("/orders", order()).await.created();
    let path = format!("/orders/{}", placed["id"].as_str().unwrap());
    acme.member.patch(&format!("{path}/status"), json!({ "status": "confirmed" })).await.ok();
    let history = program.get(&format!("{path}/history")).await.ok();
    let actors: Vec<_> =
        history["data"].as_array().unwrap().iter().map(|step| step["actor"].clone()).collect();
    assert_eq!(
        actors,
        [
            json!({ "type": "api_key", "id": made["id"] }),
            json!({ "type": "user", "id": acme.member.user_id })
        ]
    );
    program.patch("/tenant", json!({ "name": "Acme 2" })).await.ok();
    let renamed = audited(&acme, "tenant.renamed").await;
    assert_eq!(renamed[0]["actor"], json!({ "type": "api_key", "id": made["id"], "email": null }));
    let own = program.get(&format!("/audit?actor={}", made["id"].as_str().unwrap())).await.ok();
    assert_eq!(own["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_key_manages_people_as_an_admin_may() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let program = acme.program(&app, "admin").await;
    let invite = |role: &str| json!({ "email": "ada@acme.test", "full_name": "Ada", "role": role });
    program.post("/users", invite("admin")).await.refused(403, "FORBIDDEN");
    program.post("/users", invite("member")).await.created();
    // made by the owner, and still no more than an admin
    for person in [&acme.owner, &acme.admin] {
        let path = format!("/users/{}", person.user_id);
        program.patch(&format!("{path}/role"), json!({ "role": "viewer" })).await.refused(403, "FORBIDDEN");
        program.delete(&path).await.refused(403, "FORBIDDEN");
        program.post_empty(&format!("{path}/password-reset")).await.refused(403, "FORBIDDEN");
    }
    let path = format!("/users/{}", acme.member.user_id);
    program.patch(&format!("{path}/role"), json!({ "role": "admin" })).await.refused(403, "FORBIDDEN");
    program.patch(&format!("{path}/role"), json!({ "role": "viewer" })).await.ok();
    program.delete(&path).await.ok();
    assert_eq!(audited(&acme, "user.deactivated").await[0]["actor"]["type"], "api_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_person_is_refused_to_every_key() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let program = acme.program(&app, "admin").await;
    for (method, path) in [
        ("GET", "/auth/me"),
        ("GET", "/auth/sessions"),
        ("DELETE", "/auth/sessions"),
        ("GET", "/api-keys"),
        ("DELETE", "/api-keys/x"),
    ] {
        let refused = program.send(method, path, &[], None).await.refused(403, "FORBIDDEN");
        assert!(refused["detail"].as_str().unwrap().contains("API key"), "{refused}");
    }
    program.post("/api-keys", key("viewer")).await.refused(403, "FORBIDDEN");
    let transfer = json!({ "user_id": acme.admin.user_id, "password": crate::support::PASSWORD });
    program.post("/tenant/transfer-ownership", transfer).await.refused(403, "FORBIDDEN");
    let change = json!({ "current_password": crate::support::PASSWORD, "new_password": "a word of my own" });
    program.post("/auth/password/change", change).await.refused(403, "FORBIDDEN");
    // whether the key holds is asked first
    let made = acme.key("admin").await;
    let dead = app.with_token(made["key"].as_str().unwrap());
    acme.owner.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap())).await.status(204);
    dead.get("/auth/me").await.refused(401, "UNAUTHORIZED");
    dead.get("/api-keys").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_at_its_time() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut body = key("viewer");
    body["expires_at"] = json!("2026-01-31T12:01:00Z");
    let made = acme.owner.post("/api-keys", body).await.created()["data"].take();
    let program = app.with_token(made["key"].as_str().unwrap());
    app.clock.advance(Duration::from_secs(59));
    program.get("/orders").await.ok();
    app.clock.advance(Duration::from_secs(1));
    program.get("/orders").await.refused(401, "UNAUTHORIZED");
    assert_eq!(acme.owner.get("/api-keys").await.ok()["total"], 1, "it is seen why it ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_no_more_than_its_maker_may_now() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let secret = acme.admin.post("/api-keys", key("admin")).await.created()["data"]["key"].take();
    let program = app.with_token(secret.as_str().unwrap());
    program.get("/users").await.ok();
    let maker = format!("/users/{}", acme.admin.user_id);
    let make = async |role: &str| {
        acme.owner.patch(&format!("{maker}/role"), json!({ "role": role })).await.ok();
    };
    make("member").await;
    program.get("/users").await.refused(403, "FORBIDDEN");
    program.post("/orders", order()).await.created();
    make("viewer").await;
    program.post("/orders", order()).await.refused(403, "FORBIDDEN");
    program.get("/orders").await.ok();
    make("admin").await;
    program.get("/users").await.ok();

    acme.owner.delete(&maker).await.ok();
    program.get("/orders").await.refused(401, "UNAUTHORIZED");
    let revoked = audited(&acme, "api_key.revoked").await;
    assert_eq!((revoked.len(), &revoked[0]["actor"]["id"]), (1, &json!(acme.owner.user_id)));
    assert_eq!(revoked[0]["details"]["created_by"], json!(acme.admin.user_id));
    acme.owner.post_empty(&format!("{maker}/reactivate")).await.ok();
    program.get("/orders").await.refused(401, "UNAUTHORIZED");
    assert_eq!(acme.owner.get("/api-keys").await.ok()["total"], 0);
}

/// Whichever comes first, nobody who was let go has a key that works.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_made_while_their_maker_is_let_go_are_dead() {
    let app = TestApp::start_with(Options { connections: 12, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let maker = format!("/users/{}", acme.admin.user_id);
    let answers = at_once(11, |i| {
        let (owner, admin, maker) = (acme.owner.clone(), acme.admin.clone(), maker.clone());
        async move {
            match i {
                5 => owner.delete(&maker).await,
                _ => admin.post("/api-keys", key("admin")).await,
            }
        }
    })
    .await;
    for answer in &answers {
        assert!([200, 201, 401, 403].contains(&answer.status.as_u16()), "{}", answer.text());
    }
    acme.owner.post_empty(&format!("{maker}/reactivate")).await.ok();
    let alive = "SELECT count(*) FROM api_keys WHERE revoked_at IS NULL";
    assert_eq!(app.database.number(alive).await, 0);
    for answer in answers.iter().filter(|answer| answer.status == 201) {
        let secret = answer.json()["data"]["key"].take();
        app.with_token(secret.as_str().unwrap()).get("/orders").await.refused(401, "UNAUTHORIZED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_is_refused_like_any_other_credential() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let ours = acme.key("admin").await["key"].as_str().unwrap().to_owned();
    let theirs = globex.key("admin").await["key"].as_str().unwrap().to_owned();
    app.with_token(&ours).get("/orders").await.ok();
    app.with_token(&theirs).get("/orders").await.ok(); // this node knows both
    let names = "tk_".len() + 42; // 31 bytes of key and tenant
    let swapped = format!("{}{}", &theirs[..names], &ours[names..]);
    let last = ours.chars().last().unwrap();
    for wrong in [
        "tk_",
        "tk_x",
        &ours[3..],
        &ours[..ours.len() - 1],
        &format!("{ours}A"),
        &format!("{ours}="),
        &ours.to_uppercase(),
        &ours.replace("tk_", "TK_"),
        &format!("{}{}", &ours[..ours.len() - 1], if last == 'A' { 'B' } else { 'A' }),
        &format!("tk_{}", "A".repeat(86)),
        &swapped,
        &acme.owner.refresh_token.replace("rt_", "tk_"),
        &acme.owner.refresh_token,
    ] {
        let answer = app.with_token(wrong).get("/orders").await;
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{wrong}");
        assert_eq!(answer.refused(401, "UNAUTHORIZED")["detail"], "Invalid or expired token", "{wrong}");
    }
    // a key opens nothing else
    for path in ["/auth/refresh", "/auth/logout"] {
        app.anyone().post(path, json!({ "refresh_token": ours })).await;
    }
    app.anyone().post("/auth/refresh", json!({ "refresh_token": ours })).await.refused(401, "UNAUTHORIZED");
    app.anyone().get(&format!("/orders?api_key={ours}")).await.refused(401, "UNAUTHORIZED");
    app.anyone().get_with("/orders", &[("x-api-key", &ours)]).await.refused(401, "UNAUTHORIZED");
    let stored = app.database.texts("SELECT prefix FROM api_keys").await.join(" ");
    assert!(!stored.contains(&ours) && stored.contains(&ours[..15]), "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_noted_about_once_a_minute() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let program = acme.program(&app, "member").await;
    let used = "SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL";
    assert_eq!(app.database.number(used).await, 0);
    program.get("/orders").await.ok();
    app.database.until(used, 1).await;
    let last = async || acme.owner.get("/api-keys").await.ok()["items"][0]["last_used_at"].take();
    assert_eq!(last().await, "2026-01-31T12:00:00.000Z");
    app.clock.advance(MINUTE - Duration::from_secs(1));
    // no write for each request: with all changes held up, it is answered and nothing waits
    let hold = app.database.hold("api_keys").await;
    for _ in 0..100 {
        program.get("/orders").await.ok();
    }
    hold.release().await;
    app.database.settle().await;
    assert_eq!(last().await, "2026-01-31T12:00:00.000Z");
    app.clock.advance(Duration::from_secs(1));
    program.post_once("/orders", "a-key", order()).await.created();
    let moved = "SELECT count(*) FROM api_keys WHERE last_used_at > created_at";
    app.database.until(moved, 1).await;
    assert_eq!(last().await, "2026-01-31T12:01:00.000Z");
}

fn limited() -> Options {
    let limits = LimitSettings {
        auth: "10/15m".parse().unwrap(),
        tenant: TenantLimit::Fixed("20/1m".parse().unwrap()),
        ..no_limits()
    };
    Options { limits, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_count_for_their_tenant_and_made_up_ones_for_nobody() {
    let app = TestApp::start_with(limited()).await;
    let owner = app.tenant_of_one("acme").await;
    let secret = owner.post("/api-keys", key("viewer")).await.created()["data"]["key"].take();
    let secret = secret.as_str().unwrap();
    let program = app.with_token(secret);
    let made_up = app.with_token(&format!("{}{}", &secret[..secret.len() - 10], "A".repeat(10)));
    for _ in 0..40 {
        made_up.get("/orders").await.refused(401, "UNAUTHORIZED");
    }
    for n in (0..19).rev() {
        let answer = if n % 2 == 0 { program.get("/orders").await } else { owner.get("/orders").await };
        assert!(answer.header("ratelimit").starts_with(&format!("\"tenant\";r={n};")), "{n}");
        answer.ok();
    }
    program.get("/orders").await.refused(429, "RATE_LIMITED");
    owner.get("/orders").await.refused(429, "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_revoked_counts_for_nobody() {
    let app = TestApp::start_with(limited()).await;
    let owner = app.tenant_of_one("acme").await;
    let made = owner.post("/api-keys", key("viewer")).await.created()["data"].take();
    let program = app.with_token(made["key"].as_str().unwrap());
    program.get("/orders").await.ok();
    owner.delete(&format!("/api-keys/{}", made["id"].as_str().unwrap())).await.status(204);
    for _ in 0..40 {
        program.get("/orders").await.refused(401, "UNAUTHORIZED");
    }
    let answer = owner.get("/orders").await;
    assert!(answer.header("ratelimit").starts_with("\"tenant\";r=15;"), "{}", answer.header("ratelimit"));
    answer.ok();
}

async fn until_limited(client: &Client) -> usize {
    for tried in 0..1000 {
        let answer = client.get("/orders").await;
        if answer.status == 429 {
            assert!(answer.header("ratelimit").starts_with("\"unknown-keys\";r=0;"));
            answer.refused(429, "RATE_LIMITED");
            return tried;
        }
        answer.refused(401, "UNAUTHORIZED");
    }
    panic!("never limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_keys_are_limited_by_the_address_that_tries_them() {
    let app = TestApp::start_with(limited()).await;
    let owner = app.tenant_of_one("acme").await;
    let [known, unknown] = [key("viewer"), key("viewer")]
        .map(async |body| owner.post("/api-keys", body).await.created()["data"]["key"].take());
    let (known, unknown) = (known.await, unknown.await);
    let program = app.with_token(known.as_str().unwrap()).at("203.0.113.1");
    program.get("/orders").await.ok();
    let made_up = app.with_token(&format!("tk_{}", "A".repeat(86))).at("203.0.113.1");
    assert_eq!(until_limited(&made_up).await, 600);
    program.get("/orders").await.ok();
    let new = app.with_token(unknown.as_str().unwrap());
    new.at("203.0.113.1").get("/orders").await.refused(429, "RATE_LIMITED");
    new.at("203.0.113.2").get("/orders").await.ok();
    new.at("203.0.113.1").get("/orders").await.ok(); // it is known now
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_has_asked_once_is_no_answer_for_its_maker() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let [one, other] = [acme.program(&app, "member").await, acme.program(&app, "member").await];
    let mut placed = Vec::new();
    for client in [&one, &one, &other, &*acme.owner] {
        placed.push(client.post_once("/orders", "the-same", order()).await.created()["id"].take());
    }
    assert_eq!(placed[0], placed[1]);
    placed.dedup();
    assert_eq!(placed.len(), 3);
    assert_eq!(app.database.count("orders").await, 3);
}
