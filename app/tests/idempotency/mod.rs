//! Requests that are sent again with their `Idempotency-Key`: the effect once, and the first answer to the byte.
mod kept;
mod probe;
mod races;
mod reserved;
mod routes;

use crate::{
    support::{
        Options, Tenant, TestApp,
        database::on_postgres,
        http::{Answer, Client},
        order,
    },
    transactions::WAITING,
};
use serde_json::{Value, json};
use std::time::Duration;

const KEY: &str = "7b2f0f2e-first";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The product with a domain that tries things, and a tenant.
async fn probing() -> (TestApp, Tenant) {
    probing_with(options()).await
}

async fn probing_with(options: Options) -> (TestApp, Tenant) {
    let app = TestApp::start_with(options).await;
    let acme = app.tenant("acme").await;
    (app, acme)
}

fn options() -> Options {
    Options { domains: vec![probe::domain()], ..Options::default() }
}

/// How often a handler of the probe has had an effect.
async fn notes(app: &TestApp) -> i64 {
    app.database.number("SELECT count(*) FROM outbox WHERE type = 'probe'").await
}

async fn tried(client: &Client, key: &str, end: &str) -> Answer {
    client.post_once("/probe", key, json!({ "end": end })).await
}

/// The second is the first again, to the byte; its request's id is its own.
#[track_caller]
fn replayed(first: &Answer, again: &Answer) {
    assert_eq!(first.header("idempotency-replayed"), "", "{}", first.text());
    assert_eq!(again.header("idempotency-replayed"), "true", "{}: {}", again.asked, again.text());
    same(first, again);
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
}

#[track_caller]
fn same(first: &Answer, again: &Answer) {
    assert_eq!((first.status, first.text()), (again.status, again.text()));
    for name in ["content-type", "content-length", "location", "etag", "retry-after", "cache-control"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
}

#[track_caller]
fn reused(answer: Answer) {
    assert_eq!(answer.header("idempotency-replayed"), "");
    answer.refused(422, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_sent_again_is_placed_once() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.member.post_once("/orders", KEY, order()).await;
    assert_eq!(first.status, 201);
    assert!(first.header("location").ends_with(first.json()["id"].as_str().unwrap()));
    for path in ["/orders", "/orders/", "/orders"] {
        replayed(&first, &acme.member.post_once(path, KEY, order()).await);
    }
    assert_eq!(app.database.count("orders").await, 1);
    assert_eq!(app.database.count("outbox").await, 1);

    acme.member.post_once("/orders", "another", order()).await.created();
    acme.member.post("/orders", order()).await.created();
    acme.member.post("/orders", order()).await.created();
    assert_eq!(app.database.count("orders").await, 4, "another key, and none");
    assert_eq!(app.database.count("idempotency_keys").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_stays_the_first_one_whatever_has_become_of_the_order() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.member.post_once("/orders", KEY, order()).await;
    let status = format!("/orders/{}/status", first.json()["id"].as_str().unwrap());
    acme.member.patch(&status, json!({ "status": "cancelled" })).await.ok();
    let again = acme.member.post_once("/orders", KEY, order()).await;
    replayed(&first, &again);
    assert_eq!(again.json()["status"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_with_the_key_is_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.member.post_once("/orders", KEY, order()).await;
    let mut other = order();
    other["notes"] = json!("Ring once.");
    reused(acme.member.post_once("/orders", KEY, other).await);
    let send = async |headers: &[(&str, &str)], body: String| {
        let headers = [&[("idempotency-key", KEY)], headers].concat();
        acme.member.send("POST", "/orders", &headers, Some(body.into_bytes())).await
    };
    for space in [format!("{} ", order()), format!("\n{}", order()), order().to_string().replace(':', ": ")] {
        reused(send(&[], space).await); // bytes are compared, not what they mean
    }
    reused(send(&[("if-match", "\"1\"")], order().to_string()).await);
    replayed(
        &first,
        &send(&[("content-type", "application/json; charset=utf-8")], order().to_string()).await,
    );
    assert_eq!(app.database.count("orders").await, 1);
    assert_eq!(app.database.count("idempotency_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_its_callers_and_its_paths() {
    let (app, acme) = probing().await;
    let globex = app.tenant("globex").await;
    let mut ids = std::collections::BTreeSet::new();
    for person in [&acme.member, &acme.admin, &globex.member, &globex.owner] {
        let placed = person.post_once("/orders", KEY, order()).await.created();
        ids.insert(placed["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 4, "each caller has keys of their own");
    tried(&acme.member, KEY, "created").await.created();
    let (one, other) = ("0192f0c1-2a3b-7c4d-8e5f-000000000001", "0192f0c1-2a3b-7c4d-8e5f-000000000002");
    let touch = async |id: &str| {
        let path = format!("/probe/{id}/touch");
        acme.member.send("POST", &path, &[("idempotency-key", KEY)], None).await
    };
    let first = touch(one).await;
    assert_eq!(first.status, 204);
    replayed(&first, &touch(one).await);
    replayed(&first, &touch(&one.replace('-', "%2D")).await); // another way to write the same path
    assert_eq!(touch(other).await.header("idempotency-replayed"), "");
    assert_eq!(notes(&app).await, 3);
    assert_eq!(app.database.count("idempotency_keys").await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_looked_into_is_part_of_the_request() {
    let (app, acme) = probing().await;
    let path = "/probe/0192f0c1-2a3b-7c4d-8e5f-000000000001/touch";
    let touch = async |body: Option<&str>| {
        let headers = [("idempotency-key", KEY), ("content-type", "text/plain")];
        acme.member.send("POST", path, &headers, body.map(|body| body.as_bytes().to_vec())).await
    };
    let first = touch(None).await;
    replayed(&first, &touch(Some("")).await);
    reused(touch(Some("x")).await);
    touch(Some(&"x".repeat(262_145))).await.refused(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(notes(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_is_refused_before_anything_is_done() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
    let body = || Some(order().to_string().into_bytes());
    for key in ["", "a b", "a\tb", "schlüssel", &too_long] {
        let answer = acme.member.send("POST", "/orders", &[("idempotency-key", key)], body()).await;
        answer.refused(400, "BAD_REQUEST");
    }
    for second in ["a", "b"] {
        let two = [("idempotency-key", "a"), ("Idempotency-Key", second)];
        acme.member.send("POST", "/orders", &two, body()).await.refused(400, "BAD_REQUEST");
    }
    assert_eq!(app.database.count("orders").await, 0);
    for key in ["k", "~!,;\"", &longest] {
        let first = acme.member.post_once("/orders", key, order()).await;
        assert_eq!(first.status, 201, "{key}");
        replayed(&first, &acme.member.post_once("/orders", key, order()).await);
    }
    app.anyone().post_once("/orders", "a b", order()).await.refused(401, "UNAUTHORIZED");
    let login = crate::support::login("acme", "member");
    app.anyone().post_once("/auth/login", "a b", login).await.ok(); // takes none
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_for_a_day_through_refreshes_and_new_sessions() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.member.post_once("/orders", KEY, order()).await;
    app.clock.advance(DAY / 2);
    acme.member.post_once("/orders", KEY, order()).await.refused(401, "UNAUTHORIZED"); // it has expired
    let refresh = json!({ "refresh_token": acme.member.refresh_token });
    let session = app.anyone().post("/auth/refresh", refresh).await.ok();
    let refreshed = app.with_token(session["data"]["access_token"].as_str().unwrap());
    replayed(&first, &refreshed.post_once("/orders", KEY, order()).await);
    app.clock.advance(DAY / 2 - Duration::from_micros(1));
    let member = app.sign_in("acme", "member").await;
    replayed(&first, &member.post_once("/orders", KEY, order()).await);

    app.clock.advance(Duration::from_micros(1));
    let mut other = order();
    other["notes"] = Value::Null;
    let second = member.post_once("/orders", KEY, other.clone()).await; // nobody has purged it yet
    assert_eq!((second.status.as_u16(), second.header("idempotency-replayed")), (201, ""));
    replayed(&second, &member.post_once("/orders", KEY, other).await);
    reused(member.post_once("/orders", KEY, order()).await);
    assert_eq!(app.database.count("orders").await, 2);
    assert_eq!(app.database.count("idempotency_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_purged_after_a_day() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.member.post_once("/orders", "old", order()).await.created();
    app.clock.advance(DAY - Duration::from_secs(60));
    let member = app.sign_in("acme", "member").await;
    member.post_once("/orders", "young", order()).await.created();
    let purged = async || {
        app.worker().chores().await.unwrap();
        app.database.count("idempotency_keys").await
    };
    assert_eq!(purged().await, 2);
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(purged().await, 1);
    let young = member.post_once("/orders", "young", order()).await;
    assert_eq!(young.header("idempotency-replayed"), "true");
    app.clock.advance(DAY);
    assert_eq!(purged().await, 0);
}

/// A row that was over when it was found, and is used again before it is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_spares_what_is_used_again_meanwhile() {
    for (table, column) in [("idempotency_keys", "created_at"), ("user_tokens", "expires_at")] {
        let app = TestApp::start().await;
        let acme = app.tenant("acme").await;
        let invite = json!({ "email": "new@acme.test", "full_name": "Nora New", "role": "member" });
        acme.owner.post_once("/users", KEY, invite).await.created();
        app.clock.advance(8 * DAY);
        let later = if on_postgres() { "interval '30 days'" } else { "2592000000000" };
        app.database.execute("BEGIN").await;
        app.database.execute(&format!("UPDATE {table} SET {column} = {column} + {later}")).await;
        let worker = app.worker();
        let purge = tokio::spawn(async move { worker.chores().await });
        if on_postgres() {
            app.database.until(WAITING, 1).await;
        }
        app.database.execute("COMMIT").await;
        purge.await.unwrap().unwrap();
        assert_eq!(app.database.count(table).await, 1, "{table}");
    }
}

/// Who may no longer do it is not told what was answered when they might.
#[tokio::test(flavor = "multi_thread")]
async fn session_and_role_are_asked_before_any_answer_is_given_again() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.member.post_once("/orders", KEY, order()).await;
    let id = app.database.literal(acme.member.user_id);
    app.database.execute(&format!("UPDATE users SET role = 'viewer' WHERE id = {id}")).await;
    acme.member.post_once("/orders", KEY, order()).await.refused(403, "FORBIDDEN");
    let mut other = order();
    other["notes"] = Value::Null;
    acme.member.post_once("/orders", KEY, other).await.refused(403, "FORBIDDEN");
    app.database.execute(&format!("UPDATE users SET role = 'admin' WHERE id = {id}")).await;
    replayed(&first, &acme.member.post_once("/orders", KEY, order()).await);
    app.database.execute(&format!("UPDATE sessions SET ended_at = created_at WHERE user_id = {id}")).await;
    acme.member.post_once("/orders", KEY, order()).await.refused(401, "UNAUTHORIZED");
    app.database.execute(&format!("UPDATE users SET status = 'deactivated' WHERE id = {id}")).await;
    acme.member.post_once("/orders", KEY, order()).await.refused(401, "UNAUTHORIZED");
    assert_eq!(app.database.count("orders").await, 1);
}
