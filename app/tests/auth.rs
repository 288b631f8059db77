//! Accounts: signing up and in, refresh tokens, and what ends a session.
use crate::support::{
    Options, PASSWORD, TestApp, at_once,
    database::on_postgres,
    http::{Answer, Client},
    login, until,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tenantry::infra::{clock::Clock, password::Scheme};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn register(tenant: &str, email: &str) -> Value {
    json!({ "tenant_name": tenant, "email": email, "password": PASSWORD, "full_name": "Ada" })
}

fn refresh(token: &Value) -> Value {
    json!({ "refresh_token": token })
}

async fn refreshed(client: &Client, token: &Value) -> Value {
    client.post("/auth/refresh", refresh(token)).await.ok()["data"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_signs_up_and_its_owner_is_signed_in() {
    let app = TestApp::start().await;
    let session =
        app.anyone().post("/auth/register", register("Acme, Inc.", " Ada@Acme.Test ")).await.created();
    assert_eq!(session["success"], true);
    let data = &session["data"];
    assert_eq!((&data["token_type"], &data["expires_in"]), (&json!("bearer"), &json!(1800)));
    assert_eq!(data["user"]["email"], "ada@acme.test");
    assert_eq!(data["user"]["role"], "owner");
    assert_eq!((&data["user"]["status"], &data["user"]["is_active"]), (&json!("active"), &json!(true)));
    assert_eq!((&data["tenant"]["slug"], &data["tenant"]["plan"]), (&json!("acme-inc"), &json!("free")));
    assert_eq!(data["tenant"]["created_at"], "2026-01-31T12:00:00.000Z");
    assert!(data["refresh_token"].as_str().unwrap().starts_with("rt_"));

    let me = app.with_token(data["access_token"].as_str().unwrap()).get("/auth/me").await.ok();
    let mut expected = data["user"].clone();
    expected["tenant"] = data["tenant"].clone();
    assert_eq!(me, json!({ "success": true, "data": expected }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_slug_is_a_conflict_when_given_and_told_apart_when_made() {
    let app = TestApp::start().await;
    let mut slugs = Vec::new();
    for i in 0..3 {
        let session =
            app.anyone().post("/auth/register", register("Acme", &format!("a{i}@acme.test"))).await.created();
        slugs.push(session["data"]["tenant"]["slug"].as_str().unwrap().to_owned());
    }
    assert_eq!(slugs[0], "acme");
    assert!(
        slugs[1].starts_with("acme-") && slugs[2].starts_with("acme-") && slugs[1] != slugs[2],
        "{slugs:?}"
    );

    let mut taken = register("Other", "b@other.test");
    taken["tenant_slug"] = json!("acme");
    let before = app.database.count("users").await;
    app.anyone().post("/auth/register", taken).await.refused(409, "CONFLICT");
    assert_eq!((app.database.count("users").await, app.database.count("tenants").await), (before, 3));
    // one address may be in many tenants
    app.anyone().post("/auth/register", register("Third", "a0@acme.test")).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_sign_ups_with_one_name_at_once_all_get_a_tenant() {
    let app = TestApp::start().await;
    let sign_up = |body: Value| {
        let anyone = app.anyone();
        async move { anyone.post("/auth/register", body).await }
    };
    let answers = at_once(10, |_| sign_up(register("Acme", "ada@acme.test"))).await;
    let mut slugs: Vec<_> =
        answers.into_iter().map(|a| a.created()["data"]["tenant"]["slug"].clone()).collect();
    slugs.sort_by_key(ToString::to_string);
    slugs.dedup();
    assert_eq!(slugs.len(), 10);
    let mut given = register("Acme", "ada@acme.test");
    given["tenant_slug"] = json!("the-one");
    let answers = at_once(10, |_| sign_up(given.clone())).await;
    assert_eq!(statuses(&answers, 201), 1);
    assert_eq!(statuses(&answers, 409), 9);
}

fn statuses(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_sign_in_it_gets_one_answer() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for (role, status) in [("admin", "invited"), ("viewer", "deactivated")] {
        app.database.execute(&format!("UPDATE users SET status = '{status}' WHERE role = '{role}'")).await;
    }
    app.tenant_of_one("globex").await;
    let wrong = [
        json!({ "tenant_slug": "nobody", "email": "member@acme.test", "password": PASSWORD }),
        json!({ "tenant_slug": "acme", "email": "nobody@acme.test", "password": PASSWORD }),
        json!({ "tenant_slug": "acme", "email": "member@acme.test", "password": "another walk" }),
        json!({ "tenant_slug": "globex", "email": "member@acme.test", "password": PASSWORD }),
        json!({ "tenant_slug": "ACME", "email": "member@acme.test", "password": PASSWORD }),
        json!({ "tenant_slug": "acme", "email": "not an address", "password": PASSWORD }),
        json!({ "tenant_slug": "acme", "email": "member@acme.test", "password": format!("{PASSWORD} ") }),
        json!({ "tenant_slug": "acme", "email": "member@acme.test", "password": "x".repeat(128) }),
        login("acme", "admin"),
        login("acme", "viewer"),
    ];
    let mut bodies = Vec::new();
    for body in &wrong {
        let headers = [("x-request-id", "one")];
        let answer =
            app.anyone().send("POST", "/auth/login", &headers, Some(body.to_string().into_bytes())).await;
        bodies.push(answer.text());
        let document = answer.refused(401, "UNAUTHORIZED");
        assert_eq!(document["detail"], "Invalid credentials", "{body}");
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    let mut spelled = login("acme", "member");
    spelled["email"] = json!(" MEMBER@Acme.test");
    app.anyone().post("/auth/login", spelled).await.ok();
    acme.admin.get("/auth/me").await.refused(401, "UNAUTHORIZED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_renews_an_old_hash_and_notes_the_time() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    // as another system has stored it: bcrypt of "correct horse" with the prefix 2a, by Python
    let imported = "$2a$04$hVoaZ2QC.8rVXPSY4EVpKuzfphEnk/V4zjHWjp32A5ObqoHv4zVmu";
    let costlier = Options { scheme: (Scheme::Bcrypt(5), 1), clock: app.clock.clone(), ..Options::default() };
    let node = TestApp::on(app.database.clone(), costlier).await;
    app.database
        .execute(&format!("UPDATE users SET password_hash = '{imported}' WHERE role = 'member'"))
        .await;
    let mut body = login("acme", "member");
    body["password"] = json!("correct horse");
    app.clock.advance(DAY);
    let session = node.anyone().post("/auth/login", body.clone()).await.ok();
    assert_eq!(session["data"]["user"]["last_login_at"], "2026-02-01T12:00:00.000Z");
    let renewed = "SELECT count(*) FROM users WHERE role = 'member' AND password_hash LIKE '$2b$05$%'";
    assert_eq!(app.database.number(renewed).await, 1);
    node.anyone().post("/auth/login", body).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_replaced_at_every_use() {
    let app = TestApp::start().await;
    let session =
        app.anyone().post("/auth/register", register("Acme", "ada@acme.test")).await.created()["data"].take();
    let first = refreshed(&app.anyone(), &session["refresh_token"]).await;
    let second = refreshed(&app.anyone(), &first["refresh_token"]).await;
    assert_eq!(second["user"], session["user"]);
    app.with_token(second["access_token"].as_str().unwrap()).get("/auth/me").await.ok();
    assert_eq!(app.database.count("sessions").await, 1, "one family");
    let stored = if on_postgres() { "encode(hash, 'hex')" } else { "hex(hash)" };
    let found = format!("SELECT count(*) FROM refresh_tokens WHERE lower({stored}) LIKE '%{}%'", "rt_");
    assert_eq!(app.database.number(&found).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn using_a_replaced_token_again_ends_the_whole_session() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let stolen = json!(acme.member.refresh_token);
    let rightful = refreshed(&app.anyone(), &stolen).await;
    let other = app.sign_in("acme", "member").await;
    app.anyone().post("/auth/refresh", refresh(&stolen)).await.refused(401, "UNAUTHORIZED");
    // every descendant, and the access tokens of the family
    app.anyone()
        .post("/auth/refresh", refresh(&rightful["refresh_token"]))
        .await
        .refused(401, "UNAUTHORIZED");
    acme.member.get("/auth/me").await.refused(401, "UNAUTHORIZED");
    app.with_token(rightful["access_token"].as_str().unwrap())
        .get("/orders")
        .await
        .refused(401, "UNAUTHORIZED");
    other.get("/auth/me").await.ok();
    refreshed(&app.anyone(), &json!(other.refresh_token)).await;
}

/// Fifty that all arrive before the first can commit: the database is held until each request's body has been read.
async fn fifty_uses_of_one_token(nodes: &[TestApp]) {
    nodes[0].tenant("acme").await;
    for round in 0..4 {
        let person = nodes[0].sign_in("acme", "member").await;
        let body = refresh(&json!(person.refresh_token));
        let hold = nodes[0].database.hold("refresh_tokens").await;
        let arrived = Arc::new(AtomicUsize::new(0));
        let uses: Vec<_> = (0..50)
            .map(|i| {
                let client = nodes[i % nodes.len()].anyone();
                let request = client.build_counted("POST", "/auth/refresh", &body, arrived.clone());
                tokio::spawn(async move { client.request(request).await })
            })
            .collect();
        until(|| arrived.load(SeqCst) == 50).await;
        hold.release().await;
        let answers: Vec<_> = join_all(uses).await.into_iter().map(Result::unwrap).collect();
        assert_eq!((statuses(&answers, 200), statuses(&answers, 401)), (1, 49), "round {round}");
        // the losers were on their way before the winner had won: its session lives
        let winner = answers.iter().find(|answer| answer.status == 200).unwrap().json();
        let token = winner["data"]["access_token"].as_str().unwrap();
        nodes[0].with_token(token).get("/auth/me").await.ok();
        refreshed(&nodes[0].anyone(), &winner["data"]["refresh_token"]).await;
        // but whoever comes after that is a thief
        nodes[0].anyone().post("/auth/refresh", body).await.refused(401, "UNAUTHORIZED");
        nodes[0].with_token(token).get("/auth/me").await.refused(401, "UNAUTHORIZED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_concurrent_refreshes_of_one_token_give_one_session() {
    let few = Options { connections: 3, ..Options::default() };
    fifty_uses_of_one_token(&[TestApp::start_with(few).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_concurrent_refreshes_on_two_nodes_give_one_session() {
    let first = TestApp::start_with(Options { connections: 30, ..Options::default() }).await;
    let second = TestApp::on(first.database.clone(), Options { connections: 30, ..Options::default() }).await;
    fifty_uses_of_one_token(&[first, second]).await;
}

/// Between the replacing and its commit: only the node itself can tell who arrived then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_that_arrive_while_the_winner_commits_end_nothing_on_postgres() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::start_with(Options { connections: 1, ..Options::default() }).await;
    app.tenant("acme").await;
    let person = app.sign_in("acme", "member").await;
    let body = refresh(&json!(person.refresh_token));
    let hold = app.database.hold("sessions").await;
    let arrived = Arc::new(AtomicUsize::new(0));
    let use_it = || {
        let client = app.anyone();
        let request = client.build_counted("POST", "/auth/refresh", &body, arrived.clone());
        tokio::spawn(async move { client.request(request).await })
    };
    let winner = use_it();
    let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                   WHERE d.datname = current_database() AND NOT l.granted";
    while app.database.number(waiting).await == 0 {
        tokio::task::yield_now().await; // it has replaced the token and waits for its session
    }
    let losers: Vec<_> = (0..10).map(|_| use_it()).collect();
    until(|| arrived.load(SeqCst) == 11).await;
    hold.release().await;
    let session = winner.await.unwrap().ok();
    for loser in losers {
        loser.await.unwrap().refused(401, "UNAUTHORIZED");
    }
    app.with_token(session["data"]["access_token"].as_str().unwrap()).get("/auth/me").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn within_the_grace_period_a_client_that_lost_the_answer_may_ask_again() {
    // a clock that runs: the grace period is by the database's
    let options =
        Options { reuse_grace: Duration::from_secs(10), clock: Clock::System, ..Options::default() };
    let app = TestApp::start_with(options).await;
    let session =
        app.anyone().post("/auth/register", register("Acme", "ada@acme.test")).await.created()["data"].take();
    let anyone = app.anyone();
    let lost = refreshed(&anyone, &session["refresh_token"]).await;
    let again = refreshed(&anyone, &session["refresh_token"]).await;
    assert_ne!(again["refresh_token"], lost["refresh_token"]);
    let child = refreshed(&anyone, &again["refresh_token"]).await;
    // its child is used now: the grace is over, and so is the session
    anyone.post("/auth/refresh", refresh(&session["refresh_token"])).await.refused(401, "UNAUTHORIZED");
    anyone.post("/auth/refresh", refresh(&child["refresh_token"])).await.refused(401, "UNAUTHORIZED");
}

#[tokio::test(flavor = "multi_thread")]
async fn within_the_grace_period_the_lost_child_is_dead() {
    let options =
        Options { reuse_grace: Duration::from_secs(10), clock: Clock::System, ..Options::default() };
    let app = TestApp::start_with(options).await;
    let session =
        app.anyone().post("/auth/register", register("Acme", "ada@acme.test")).await.created()["data"].take();
    let anyone = app.anyone();
    let lost = refreshed(&anyone, &session["refresh_token"]).await;
    let again = refreshed(&anyone, &session["refresh_token"]).await;
    // within the grace of its own it may stand for a lost answer too, but never beside its sibling
    let third = refreshed(&anyone, &lost["refresh_token"]).await;
    anyone.post("/auth/refresh", refresh(&again["refresh_token"])).await;
    let alive = "SELECT count(*) FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id \
                 WHERE t.replaced_at IS NULL AND s.ended_at IS NULL";
    assert!(app.database.number(alive).await <= 1, "one live token a session, whatever is lost: {third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_sessions_end_by_themselves() {
    let app = TestApp::start().await;
    let session =
        app.anyone().post("/auth/register", register("Acme", "ada@acme.test")).await.created()["data"].take();
    let anyone = app.anyone();
    // 30 minutes and the leeway of 30 seconds
    app.clock.advance(Duration::from_secs(30 * 60 + 29));
    let owner = app.with_token(session["access_token"].as_str().unwrap());
    owner.get("/auth/me").await.ok();
    app.clock.advance(Duration::from_secs(2));
    owner.get("/auth/me").await.refused(401, "UNAUTHORIZED");
    // each rotation prolongs by 7 days, up to 60 days from the sign-in
    let mut token = session["refresh_token"].clone();
    for _ in 0..9 {
        app.clock.advance(6 * DAY);
        token = refreshed(&anyone, &token).await["refresh_token"].clone();
    }
    app.clock.advance(5 * DAY); // day 59
    token = refreshed(&anyone, &token).await["refresh_token"].clone();
    app.clock.advance(DAY);
    anyone.post("/auth/refresh", refresh(&token)).await.refused(401, "UNAUTHORIZED");

    let idle =
        app.anyone().post("/auth/register", register("Globex", "ada@globex.test")).await.created()["data"]
            .take();
    app.clock.advance(7 * DAY);
    anyone.post("/auth/refresh", refresh(&idle["refresh_token"])).await.refused(401, "UNAUTHORIZED");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_and_answers_alike_for_any_token() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let other = app.sign_in("acme", "member").await;
    let logged_out = json!({ "success": true, "data": { "message": "Logged out" } });
    let token = json!(acme.member.refresh_token);
    for body in [refresh(&token), refresh(&token), refresh(&json!("rt_unknown")), refresh(&json!("x"))] {
        assert_eq!(app.anyone().post("/auth/logout", body).await.ok(), logged_out);
    }
    acme.member.get("/auth/me").await.refused(401, "UNAUTHORIZED");
    app.anyone().post("/auth/refresh", refresh(&token)).await.refused(401, "UNAUTHORIZED");
    other.get("/auth/me").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_for_hashing_is_a_503_and_no_other_route_gets_one() {
    let slow = Options { scheme: (Scheme::Bcrypt(11), 1), ..Options::default() };
    let app = Arc::new(TestApp::start_with(slow).await);
    let body = json!({ "tenant_slug": "nobody", "email": "a@b.test", "password": PASSWORD });
    let answers = join_all((0..40).map(|_| {
        let (client, body) = (app.anyone(), body.clone());
        async move { client.post("/auth/login", body).await }
    }))
    .await;
    assert!(statuses(&answers, 401) >= 16 && statuses(&answers, 503) >= 1);
    assert_eq!(statuses(&answers, 401) + statuses(&answers, 503), 40);
    answers.into_iter().find(|a| a.status == 503).unwrap().refused(503, "SERVICE_UNAVAILABLE");
    app.anyone().get("//health/ready").await.ok();
}
