//! How often things may be done, by whom, and what they are told.
mod redis;

use crate::support::{
    Options, PASSWORD, TestApp,
    http::{Answer, Client},
    login, no_limits, order,
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tenantry::{core::LimitSettings, infra::plans::TenantLimit, uuid::Uuid};

/// Ten in a quarter of an hour from an address, and tenants by their plan.
fn limits() -> LimitSettings {
    LimitSettings { auth: "10/15m".parse().unwrap(), tenant: TenantLimit::ByPlan, ..no_limits() }
}

fn limited() -> Options {
    Options { limits: limits(), ..Options::default() }
}

fn wrong() -> Value {
    json!({ "tenant_slug": "acme", "email": "nobody@acme.test", "password": "not the password" })
}

#[track_caller]
fn told(answer: &Answer, policy: &str, standing: &str) {
    assert_eq!(
        (answer.header("ratelimit-policy"), answer.header("ratelimit")),
        (policy, standing),
        "{}",
        answer.asked
    );
}

/// Sign-ins until one is limited; how many were not.
async fn until_limited(client: &Client) -> usize {
    for tried in 0..200 {
        let answer = client.post("/auth/login", wrong()).await;
        if answer.status == 429 {
            return tried;
        }
        answer.refused(401, "UNAUTHORIZED");
    }
    panic!("never limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eleventh_from_an_address_is_refused_before_its_body_is_looked_into() {
    let app = TestApp::start_with(limited()).await;
    let client = app.anyone().at("203.0.113.1");
    for n in 1..=10 {
        let answer = client.post("/auth/login", wrong()).await;
        told(&answer, "\"auth\";q=10;w=900", &format!("\"auth\";r={};t={}", 10 - n, 90 * n));
        answer.refused(401, "UNAUTHORIZED");
    }
    let read = Arc::new(AtomicUsize::new(0));
    let request = client.build_counted("POST", "/auth/login", &wrong(), read.clone());
    let answer = client.request(request).await;
    told(&answer, "\"auth\";q=10;w=900", "\"auth\";r=0;t=900");
    assert_eq!(answer.header("retry-after"), "90");
    answer.refused(429, "RATE_LIMITED");
    assert_eq!(read.load(SeqCst), 0, "without a body there is nothing to hash");
    app.clock.advance(Duration::from_secs(89));
    client.post("/auth/login", wrong()).await.refused(429, "RATE_LIMITED");
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(until_limited(&client).await, 1, "one comes back in 90 seconds");
    app.clock.advance(Duration::from_secs(900));
    assert_eq!(until_limited(&client).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_addresses_and_routes_have_counts_of_their_own() {
    let app = TestApp::start_with(limited()).await;
    let client = app.anyone().at("203.0.113.1");
    assert_eq!(until_limited(&client).await, 10);
    assert_eq!(until_limited(&app.anyone().at("203.0.113.2")).await, 10);
    for (route, body) in [
        ("/auth/register", json!({})),
        ("/auth/password/forgot", json!({ "tenant_slug": "acme", "email": "x@acme.test" })),
        ("/auth/password/reset", json!({})),
        ("/auth/invitations/accept", json!({})),
    ] {
        for _ in 0..10 {
            let answer = client.post(route, body.clone()).await;
            assert!(matches!(answer.status.as_u16(), 202 | 422), "{}: {}", answer.asked, answer.text());
        }
        client.post(&format!("{route}/"), body).await.refused(429, "RATE_LIMITED");
    }
    client.post("/auth/logout", json!({ "refresh_token": "rt_x" })).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_is_limited_by_its_64_and_mapped_ipv4_as_ipv4() {
    let app = TestApp::start_with(limited()).await;
    for n in 0..10 {
        let client = app.anyone().at(&format!("2001:db8:1:2:{n}::{n}"));
        client.post("/auth/login", wrong()).await.refused(401, "UNAUTHORIZED");
    }
    app.anyone().at("2001:db8:1:2:ffff::").post("/auth/login", wrong()).await.refused(429, "RATE_LIMITED");
    assert_eq!(until_limited(&app.anyone().at("2001:db8:1:3::")).await, 10);
    assert_eq!(until_limited(&app.anyone().at("::ffff:203.0.113.5")).await, 10);
    assert_eq!(until_limited(&app.anyone().at("203.0.113.5")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_forwarded_for_changes_nothing() {
    let trusted_proxies = vec!["10.0.0.0/8", "fd00::/8"];
    let app = TestApp::start_with(Options { trusted_proxies, ..limited() }).await;
    let body = || Some(wrong().to_string().into_bytes());
    let send = async |peer: &str, lines: &[&str]| {
        let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        app.anyone().at(peer).send("POST", "/auth/login", &headers, body()).await.status.as_u16()
    };
    for n in 0..10 {
        let forged = [format!("198.51.100.{n}, 10.0.0.2"), format!("2001:db8:{n}::1")];
        assert_eq!(send("203.0.113.1", &[&forged[0], &forged[1]]).await, 401);
    }
    assert_eq!(
        send("203.0.113.1", &["198.51.100.77"]).await,
        429,
        "a peer that is not trusted is the client"
    );
    for n in 0..10 {
        let forged = format!("198.51.100.{n} , 2001:db8:{n}::1");
        let hops: &[&str] = match n % 4 {
            0 => &["203.0.113.9 ,10.0.0.2"],
            1 => &["203.0.113.9:4711", " 10.0.0.2:80 "],
            2 => &["[::ffff:203.0.113.9]:1", "[fd00::1]:80, 10.0.0.3"],
            _ => &["203.0.113.9"],
        };
        let lines: Vec<_> = std::iter::once(forged.as_str()).chain(hops.iter().copied()).collect();
        assert_eq!(send("10.0.0.1", &lines).await, 401);
    }
    assert_eq!(
        send("fd00::7", &["198.51.100.78", "203.0.113.9"]).await,
        429,
        "the last hop that is not trusted"
    );
    assert_eq!(send("10.0.0.1", &["203.0.113.10"]).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_remember_the_address_that_is_limited() {
    let trusted_proxies = vec!["10.0.0.0/8"];
    let app = TestApp::start_with(Options { trusted_proxies, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let proxied = app.anyone().at("10.0.0.1");
    let body = login("acme", "owner").to_string().into_bytes();
    proxied.send("POST", "/auth/login", &[("x-forwarded-for", "203.0.113.9:4711")], Some(body)).await.ok();
    let sessions = acme.owner.get("/auth/sessions").await.ok();
    assert_eq!(sessions["items"][0]["ip"], "203.0.113.9", "{sessions}");
}

/// 100 failures an hour, from whatever address, whether there is such an account or not.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_a_hundred_failures_an_hour() {
    let app = TestApp::start_with(limited()).await;
    let acme = app.tenant("acme").await;
    app.tenant("globex").await;
    for (email, spelt) in
        [("member@acme.test", " MEMBER@acme.test "), ("nobody@acme.test", "Nobody@ACME.test")]
    {
        let attempt = |n: usize, email: &str, password: &str| {
            let body = json!({ "tenant_slug": "acme", "email": email, "password": password });
            let client = app.anyone().at(&format!("2001:db8:{n:x}::1"));
            async move { client.post("/auth/login", body).await }
        };
        for n in 0..100 {
            let answer = attempt(n, if n % 2 == 0 { email } else { spelt }, "not the password").await;
            told(&answer, "\"auth\";q=10;w=900", answer.header("ratelimit"));
            answer.refused(401, "UNAUTHORIZED");
        }
        let answer = attempt(200, email, PASSWORD).await;
        assert_eq!(answer.header("retry-after"), "36");
        assert!(
            answer.header("ratelimit").contains("\"account\";r=0;t=3600"),
            "{}",
            answer.header("ratelimit")
        );
        answer.refused(429, "RATE_LIMITED");
        app.clock.advance(Duration::from_secs(3600));
    }
    app.anyone().at("203.0.113.1").post("/auth/login", login("globex", "member")).await.ok();
    drop(acme);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_well_is_no_failure() {
    let app = TestApp::start_with(limited()).await;
    app.tenant("acme").await;
    for n in 0..120 {
        app.anyone()
            .at(&format!("2001:db8:{n:x}::1"))
            .post("/auth/login", login("acme", "member"))
            .await
            .ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_attempts_at_once_are_no_way_around_the_limit() {
    let app = TestApp::start_with(Options { scheme: (crate::support::SCHEME, 2), ..limited() }).await;
    app.tenant_of_one("acme").await;
    let anyone = app.anyone();
    let statuses = crate::support::at_once(400, |n| {
        let client = anyone.at(&format!("2001:db8:{n:x}::1"));
        async move { client.post("/auth/login", wrong()).await.status.as_u16() }
    });
    let statuses = statuses.await;
    let compared = statuses.iter().filter(|status| **status == 401).count();
    assert!(compared <= 100, "{compared}");
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429 | 503)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_current_password_is_limited_like_a_login() {
    let app = TestApp::start_with(limited()).await;
    let acme = app.tenant("acme").await;
    let change =
        |password: &str| json!({ "current_password": password, "new_password": "another long walk" });
    let transfer = |password: &str| json!({ "user_id": acme.admin.user_id, "password": password });
    for (client, path, field, wrong, right) in [
        (
            acme.member.at("203.0.113.1"),
            "/auth/password/change",
            "current_password",
            change("wrong one"),
            change(PASSWORD),
        ),
        (
            acme.owner.at("203.0.113.1"),
            "/tenant/transfer-ownership",
            "password",
            transfer("wrong one"),
            transfer(PASSWORD),
        ),
    ] {
        for _ in 0..10 {
            client.post(path, wrong.clone()).await.invalid(&[field]);
        }
        let answer = client.post(path, wrong).await;
        assert!(answer.header("ratelimit").contains("\"auth\";r=0;t=900"), "{}", answer.header("ratelimit"));
        answer.refused(429, "RATE_LIMITED");
        client.post(path, right.clone()).await.refused(429, "RATE_LIMITED");
        client.at("203.0.113.2").post(path, right).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_of_one_account_count_together_wherever_they_are_tried() {
    let app = TestApp::start_with(limited()).await;
    let acme = app.tenant("acme").await;
    for n in 0..100 {
        let address = format!("2001:db8:{n:x}::1");
        let body = json!({ "current_password": "wrong one", "new_password": "another long walk" });
        acme.member.at(&address).post("/auth/password/change", body).await.invalid(&["current_password"]);
    }
    app.anyone()
        .at("203.0.113.1")
        .post("/auth/login", login("acme", "member"))
        .await
        .refused(429, "RATE_LIMITED");
    app.anyone().at("203.0.113.1").post("/auth/login", login("acme", "viewer")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_refreshed_sixty_times_in_a_quarter_of_an_hour() {
    let app = TestApp::start_with(limited()).await;
    let acme = app.tenant("acme").await;
    let (client, mut token) = (app.anyone().at("203.0.113.1"), acme.member.refresh_token.clone());
    for n in 1..=60 {
        let answer = client.post("/auth/refresh", json!({ "refresh_token": token })).await;
        let standing = format!("\"auth\";r=10;t=0, \"session\";r={};t={}", 60 - n, 15 * n);
        told(&answer, "\"auth\";q=10;w=900, \"session\";q=60;w=900", &standing);
        token = answer.ok()["data"]["refresh_token"].as_str().unwrap().to_owned();
    }
    let refresh = json!({ "refresh_token": token });
    client.post("/auth/refresh", refresh.clone()).await.refused(429, "RATE_LIMITED");
    client.post("/auth/refresh", json!({ "refresh_token": acme.viewer.refresh_token })).await.ok();
    app.clock.advance(Duration::from_secs(15));
    client.post("/auth/refresh", refresh).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_refreshes_are_limited_by_address() {
    let app = TestApp::start_with(limited()).await;
    let acme = app.tenant("acme").await;
    let client = app.anyone().at("203.0.113.1");
    for _ in 0..10 {
        client
            .post("/auth/refresh", json!({ "refresh_token": "rt_guess" }))
            .await
            .refused(401, "UNAUTHORIZED");
    }
    let good = json!({ "refresh_token": acme.member.refresh_token });
    client.post("/auth/refresh", good.clone()).await.refused(429, "RATE_LIMITED");
    client.at("203.0.113.2").post("/auth/refresh", good).await.ok();
}

/// Sends until one is refused; how many were not.
async fn asked_until_limited(client: &Client) -> usize {
    for asked in 0..20_000 {
        let answer = client.get("/auth/me").await;
        if answer.status == 429 {
            assert!(
                answer.header("ratelimit").starts_with("\"tenant\";r=0;t="),
                "{}",
                answer.header("ratelimit")
            );
            answer.refused(429, "RATE_LIMITED");
            return asked;
        }
        answer.ok();
    }
    panic!("never limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_limited_by_its_plan_and_by_another_from_the_next_request_on() {
    let app = TestApp::start_with(limited()).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let answer = acme.member.post("/orders", order()).await;
    told(&answer, "\"tenant\";q=600;w=60", "\"tenant\";r=599;t=1");
    answer.created();
    assert_eq!(asked_until_limited(&acme.viewer).await, 599, "one count for the whole tenant");
    acme.owner.get("/orders").await.refused(429, "RATE_LIMITED");
    globex.owner.get("/orders").await.ok();
    app.clock.advance(Duration::from_millis(100));
    acme.owner.get("/orders").await.ok();

    let upgrade = format!("UPDATE tenants SET plan = 'starter' WHERE id = {}", app.database.literal(acme.id));
    app.database.execute(&upgrade).await;
    app.clock.advance(Duration::from_secs(60));
    let answer = acme.member.get("/auth/me").await;
    assert_eq!(
        answer.header("ratelimit-policy"),
        "\"tenant\";q=3000;w=60",
        "told by the plan that was just read"
    );
    assert_eq!(answer.ok()["data"]["tenant"]["plan"], "starter");
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(asked_until_limited(&acme.member).await, 3000);

    app.database.execute(&upgrade.replace("starter", "free")).await;
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(asked_until_limited(&acme.member).await, 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_can_be_limited_alike_or_not_at_all() {
    let database = TestApp::start().await.database;
    let fixed = LimitSettings { tenant: TenantLimit::Fixed("5/1m".parse().unwrap()), ..no_limits() };
    let app = TestApp::on(database.clone(), Options { limits: fixed, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    assert_eq!(asked_until_limited(&acme.member).await, 5);
    acme.member.get("/auth/me").await.refused(429, "RATE_LIMITED");
    app.with_token("forged").get("/auth/me").await.refused(401, "UNAUTHORIZED");
    let open = TestApp::on(database, Options::default()).await;
    let answer = open.with_token(&acme.member.access_token).get("/auth/me").await;
    told(&answer, "", "");
    answer.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_names_every_limited_route() {
    let app = TestApp::start().await;
    let document = app.anyone().get("//openapi.json").await.ok();
    let mut open = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            let Some(refusal) = responses.get("429") else {
                open.push(format!("{method} {path}"));
                continue;
            };
            assert!(refusal["headers"]["Retry-After"].is_object(), "{method} {path}");
            for (status, response) in responses {
                if status.starts_with('2') || status == "429" {
                    for header in ["RateLimit", "RateLimit-Policy"] {
                        assert!(response["headers"][header].is_object(), "{method} {path} {status} {header}");
                    }
                }
            }
        }
    }
    let public = [
        "get /.well-known/jwks.json",
        "post /api/v1/auth/logout",
        "get /api/v1/billing/plans",
        "post /api/v1/billing/webhook",
        "get /health",
        "get /health/ready",
    ];
    assert_eq!(open, public);
}

/// An address that no other test counts for.
fn fresh_address() -> String {
    let bits = Uuid::new_v4().as_u128();
    std::net::Ipv6Addr::from(bits >> 8 | 0xfd << 120).to_string()
}
