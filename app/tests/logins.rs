//! What a failed sign-in tells: nothing, neither by its words nor by its work. `scripts/bench-logins` measures the time.
use crate::support::{
    Options, PASSWORD, Tenant, TestApp,
    database::on_postgres,
    http::{Answer, Client},
    login, order,
    proxy::Proxy,
    until,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tenantry::infra::password::Scheme;
use tokio::task::JoinHandle;

/// A tenant whose admin is invited and whose viewer is deactivated; and a sign-in of each kind that fails.
async fn failures(app: &TestApp) -> (Tenant, [(&'static str, Value); 5]) {
    let acme = app.tenant("acme").await;
    for (role, status) in [("admin", "invited"), ("viewer", "deactivated")] {
        app.database.execute(&format!("UPDATE users SET status = '{status}' WHERE role = '{role}'")).await;
    }
    let with = |member: &str, value: &str| {
        let mut body = login("acme", "member");
        body[member] = json!(value);
        body
    };
    let failures = [
        ("an unknown tenant", with("tenant_slug", "nobody")),
        ("an unknown address", with("email", "nobody@acme.test")),
        ("a wrong password", with("password", "another walk in the rain")),
        ("an invited person", login("acme", "admin")),
        ("a deactivated person", login("acme", "viewer")),
    ];
    (acme, failures)
}

async fn fail(client: &Client, body: &Value) -> Answer {
    let headers = [("x-request-id", "the-same")];
    client.send("POST", "/auth/login", &headers, Some(body.to_string().into_bytes())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failed_sign_in_gets_one_answer_after_one_comparison() {
    let app = TestApp::start().await;
    let (_, failures) = failures(&app).await;
    let mut answers = BTreeMap::new();
    for _ in 0..20 {
        for (kind, body) in &failures {
            let before = app.core.passwords.done();
            let answer = fail(&app.anyone(), body).await;
            assert_eq!(app.core.passwords.done() - before, 1, "{kind}");
            let headers: BTreeMap<_, _> =
                answer.headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
            answers.insert((answer.text(), format!("{headers:?}")), *kind);
            answer.refused(401, "UNAUTHORIZED");
        }
    }
    assert_eq!(answers.len(), 1, "byte for byte: {answers:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failed_sign_in_waits_as_often_for_the_database_on_postgres() {
    if !on_postgres() {
        return;
    }
    let proxy = Proxy::start().await;
    let through = Some(proxy.port);
    let app = TestApp::start_with(Options { connections: 1, through, ..Options::default() }).await;
    let (_, failures) = failures(&app).await;
    let mut flights = BTreeMap::new();
    for round in 0..3 {
        for (kind, body) in &failures {
            app.database.settle().await;
            proxy.quiet().await;
            let before = proxy.answered();
            fail(&app.anyone(), body).await.refused(401, "UNAUTHORIZED");
            if round > 0 {
                flights.entry(proxy.answered() - before).or_insert_with(Vec::new).push(*kind);
            }
        }
    }
    assert_eq!(flights.len(), 1, "the first round prepares the statements: {flights:?}");
}

/// Hashing has threads of its own: while they and their queue are full, everything else is answered as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_sign_ins_is_refused_and_holds_up_nobody() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let placed = acme.member.post("/orders", order()).await.created();
    let path = format!("/orders/{}", placed["id"].as_str().unwrap());
    // a quarter of a second each, and more in a busy hour
    let slow = Options { scheme: (Scheme::Bcrypt(12), 1), clock: app.clock.clone(), ..Options::default() };
    let node = TestApp::on(app.database.clone(), slow).await;
    let body = json!({ "tenant_slug": "nobody", "email": "a@b.test", "password": PASSWORD });
    let storm: Vec<_> = (0..64)
        .map(|_| {
            let (client, body) = (node.anyone(), body.clone());
            tokio::spawn(async move { client.post("/auth/login", body).await })
        })
        .collect();
    // one is under way, sixteen are in the queue, and a few may be through
    let refused = || storm.iter().filter(|sign_in| sign_in.is_finished()).count();
    until(|| refused() >= 64 - 17).await;
    let reader = node.with_token(&acme.member.access_token);
    for _ in 0..50 {
        reader.get(&path).await.ok();
    }
    let done = node.core.passwords.done();
    assert!(done < 16, "fifty orders were read while not even the queue was hashed: {done}");
    let (over, waiting): (Vec<_>, Vec<_>) = storm.into_iter().partition(JoinHandle::is_finished);
    assert!(!waiting.is_empty());
    waiting.iter().for_each(JoinHandle::abort);
    let mut refused = 0;
    for answer in join_all(over).await.into_iter().map(Result::unwrap) {
        if answer.status == 503 {
            answer.refused(503, "SERVICE_UNAVAILABLE"); // with Retry-After
            refused += 1;
        } else {
            answer.refused(401, "UNAUTHORIZED");
        }
    }
    assert!(refused >= 64 - 17 - 16, "{refused}");
}
