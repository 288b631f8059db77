//! What a use case and its client may get wrong: whatever they do, all of it is written or nothing, nobody comes in who
//! may not, and the connection is used on.
mod clumsy;
mod flights;

pub use clumsy::domain as clumsy_domain;

use crate::support::{
    Options, Person, Tenant, TestApp, at_once, database::on_postgres, dropped_after, order, proxy::Proxy,
};
use axum::extract::Request;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// The product and the clumsy domain, on this many connections.
async fn clumsy(connections: usize) -> (TestApp, Tenant) {
    let app = TestApp::start_with(options(connections)).await;
    let acme = app.tenant("acme").await;
    (app, acme)
}

fn options(connections: usize) -> Options {
    Options {
        connections,
        acquire_timeout: Duration::from_millis(200),
        domains: vec![clumsy::domain()],
        ..Options::default()
    }
}

/// Every order has its two lines, and every step its event.
pub async fn all_or_nothing(app: &TestApp) {
    let database = &app.database;
    let orders = database.count("orders").await;
    assert_eq!(database.count("order_items").await, orders * 2);
    let steps = database.count("order_history").await;
    assert_eq!(database.number("SELECT CAST(coalesce(sum(version), 0) AS BIGINT) FROM orders").await, steps);
    assert_eq!(database.count("outbox").await, steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_case_that_does_wrong_writes_nothing() {
    let (app, acme) = clumsy(1).await;
    for (path, status, code) in [
        ("/clumsy/twice", 500, "INTERNAL_ERROR"),
        ("/clumsy/scribbles", 500, "INTERNAL_ERROR"),
        ("/clumsy/scribbles-at-once", 500, "INTERNAL_ERROR"),
        ("/clumsy/panics", 500, "INTERNAL_ERROR"),
    ] {
        for _ in ["cold", "warm"] {
            acme.member.post(path, json!({})).await.refused(status, code);
            assert_eq!(app.database.count("outbox").await, 0, "{path}");
            acme.member.get("/orders").await.ok(); // on the same connection
        }
    }
    acme.member.post("/clumsy/silent", json!({})).await.status(204);
    app.database.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_dropped_forbids_the_commit() {
    let (app, acme) = clumsy(1).await;
    for _ in ["cold", "warm"] {
        if on_postgres() {
            let held = app.database.hold("outbox").await; // so that it cannot end at its first poll
            let answer = acme.member.post("/clumsy/abandons", json!({})).await;
            answer.refused(500, "INTERNAL_ERROR");
            held.release().await;
        } else {
            acme.member.post("/clumsy/abandons", json!({})).await.status(204); // there it always does
        }
        app.database.settle().await;
        assert_eq!(app.database.count("outbox").await, i64::from(!on_postgres()));
        app.database.execute("DELETE FROM outbox").await;
        acme.member.post("/clumsy/silent", json!({})).await.status(204);
        acme.member.post("/orders", order()).await.created(); // prepares it
        app.database.execute("DELETE FROM outbox").await;
    }
}

/// It was polled while another had the only connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_set_aside_is_an_error_and_no_dead_lock() {
    let app = TestApp::start_with(Options { acquire_timeout: Duration::from_secs(20), ..options(1) }).await;
    let acme = app.tenant("acme").await;
    let mut forgetful = Box::pin(acme.member.post("/clumsy/forgets", json!({})));
    let begun = tokio::time::timeout(Duration::from_millis(300), &mut forgetful).await;
    assert!(begun.is_err(), "it holds the connection");
    let member = acme.member.clone();
    let began = Instant::now();
    let setting_aside = tokio::spawn(async move { member.post("/clumsy/sets-aside", json!({})).await });
    tokio::time::sleep(Duration::from_millis(100)).await; // so that its first poll finds the connection taken
    drop(forgetful);
    setting_aside.await.unwrap().refused(500, "INTERNAL_ERROR");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    app.database.settle().await;
    assert_eq!(app.database.count("outbox").await, 0);
    acme.member.post("/orders", order()).await.created();
    acme.member.post("/clumsy/sets-aside", json!({})).await; // with a connection at hand it may well succeed
    acme.member.get("/orders").await.ok();
}

async fn asked_each_time(app: &TestApp, other: &TestApp, who: &Person, change: &str, reads: bool) {
    let asked = |node: &TestApp| node.with_token(&who.access_token);
    let one = format!("/orders/{}", who.post("/orders", order()).await.created()["id"].as_str().unwrap());
    let before = app.database.count("outbox").await;
    for path in ["/orders", "/clumsy/silent"] {
        assert!(asked(other).post(path, order()).await.status.is_success());
        app.database.execute("DELETE FROM outbox WHERE type = 'clumsy'").await;
    }
    app.database.execute(change).await;
    for node in [app, other] {
        let client = asked(node);
        let (status, code) = if reads { (403, "FORBIDDEN") } else { (401, "UNAUTHORIZED") };
        for path in ["/orders", "/clumsy/silent", "/clumsy/deaf", "/clumsy/twice"] {
            client.post(path, order()).await.refused(status, code);
        }
        let step = json!({ "status": "confirmed" });
        client.patch(&format!("{one}/status"), step.clone()).await.refused(status, code);
        let unknown = "/orders/0192f0c1-2a3b-7c4d-8e5f-000000000009/status";
        client.patch(unknown, step).await.refused(status, code);
        for path in [&*one, "/orders", "/clumsy/peek", "/auth/me"] {
            let answer = client.get(path).await;
            if reads {
                answer.ok()
            } else {
                answer.refused(401, "UNAUTHORIZED")
            };
        }
    }
    app.database.settle().await;
    assert_eq!(app.database.count("outbox").await, before + 1, "after {change}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_is_asked_each_time_on_every_node() {
    let (app, acme) = clumsy(2).await;
    let other = TestApp::on(app.database.clone(), options(2)).await;
    let literal = |person: &Person| app.database.literal(person.user_id);
    let change = format!("UPDATE users SET role = 'viewer' WHERE id = {}", literal(&acme.member));
    asked_each_time(&app, &other, &acme.member, &change, true).await;
    let change = format!("UPDATE users SET status = 'deactivated' WHERE id = {}", literal(&acme.admin));
    asked_each_time(&app, &other, &acme.admin, &change, false).await;
    let change =
        format!("UPDATE sessions SET ended_at = created_at WHERE user_id = {}", literal(&acme.owner));
    asked_each_time(&app, &other, &acme.owner, &change, false).await;
    all_or_nothing(&app).await;
}

/// Drops a request after its first poll, after its second, and so on until it gets through.
async fn dropped_at_any_point(app: &TestApp, who: &Person, method: &str, path: &str, body: &Value) -> usize {
    for limit in 1.. {
        let body = Some(body.to_string().into_bytes());
        let answer = dropped_after(limit, who.send(method, path, &[], body)).await;
        who.get("/orders").await.ok(); // the next user of the only connection
        app.database.settle().await;
        all_or_nothing(app).await;
        if answer.is_some() {
            return limit;
        }
    }
    unreachable!()
}

/// A way to PostgreSQL so long that no answer has come as soon as it is asked for.
async fn far_away() -> (Option<Proxy>, Option<u16>) {
    let proxy = if on_postgres() { Some(Proxy::at(Duration::from_millis(2)).await) } else { None };
    let port = proxy.as_ref().map(|proxy| proxy.port);
    (proxy, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_dropped_at_any_point_leaves_all_or_nothing() {
    let (_proxy, through) = far_away().await;
    let app = TestApp::start_with(Options { connections: 1, through, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    for statements in ["to be prepared", "prepared"] {
        let polls = dropped_at_any_point(&app, &acme.member, "POST", "/orders", &order()).await;
        let flights = if on_postgres() { 2 } else { 0 };
        assert!(polls > flights, "with statements {statements} it was dropped in the middle: {polls}");
    }
    let id = acme.member.post("/orders", order()).await.created()["id"].as_str().unwrap().to_owned();
    let (path, body) = (format!("/orders/{id}/status"), json!({ "status": "confirmed" }));
    dropped_at_any_point(&app, &acme.member, "PATCH", &path, &body).await;
    for _ in ["cold", "warm"] {
        dropped_at_any_point(&app, &acme.member, "GET", &format!("/orders/{id}"), &Value::Null).await;
    }
}

/// A server that ends with its test.
pub struct Abort(tokio::task::JoinHandle<std::io::Result<()>>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A client on a real socket that has sent a request and waits.
pub async fn waiting_client(
    app: &TestApp,
    who: &Person,
    path: &str,
    headers: &str,
    body: &Value,
) -> (TcpStream, Abort) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = axum::ServiceExt::<Request>::into_make_service(app.service.clone());
    let server = tokio::spawn(axum::serve(listener, service).into_future());
    let mut client = TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        who.access_token,
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    (client, Abort(server))
}

/// Asks until the answer has this status: the only connection is taken, or is free again.
async fn until_status(who: &Person, status: u16) {
    for _ in 0..1000 {
        let answer = who.post("/orders", order()).await;
        if answer.status.as_u16() == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never answered {status}");
}

const CONNECTIONS: &str = "SELECT CAST(min(pid) AS BIGINT) FROM pg_stat_activity \
     WHERE datname = current_database() AND usename = 'tenantry_test_login'";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_in_a_transaction_frees_its_connection() {
    let (app, acme) = clumsy(1).await;
    acme.member.post("/orders", order()).await.created();
    let connection = async || {
        if on_postgres() { app.database.number(CONNECTIONS).await } else { 0 }
    };
    let before = connection().await;
    for _ in 0..3 {
        let (client, _server) = waiting_client(&app, &acme.member, "/clumsy/forgets", "", &json!({})).await;
        until_status(&acme.member, 503).await;
        drop(client);
        until_status(&acme.member, 201).await;
        app.database.settle().await;
        all_or_nothing(&app).await;
    }
    assert_eq!(connection().await, before, "the same connection is used on");
}

/// How many wait for what another holds, on PostgreSQL.
pub const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_in_a_statement_frees_its_connection_on_postgres() {
    if !on_postgres() {
        return;
    }
    let (app, acme) = clumsy(1).await;
    acme.member.post("/orders", order()).await.created();
    let before = app.database.number(CONNECTIONS).await;
    let held = app.database.hold("orders").await;
    let (client, _server) = waiting_client(&app, &acme.member, "/orders", "", &order()).await;
    app.database.until(WAITING, 1).await;
    drop(client);
    held.release().await;
    until_status(&acme.member, 201).await;
    app.database.settle().await;
    all_or_nothing(&app).await;
    assert_eq!(app.database.number(CONNECTIONS).await, before, "the same connection is used on");
}

/// A statement that still runs, or that is still being prepared, keeps its connection out of the pool.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_an_abandoned_statement_on_postgres() {
    if !on_postgres() {
        return;
    }
    let (app, acme) = clumsy(2).await;
    for known in [0, 1] {
        let held = app.database.hold("orders").await;
        let mut abandoned = Box::pin(acme.member.post("/orders", order()));
        tokio::select! {
            _ = &mut abandoned => panic!("it waits for the lock"),
            () = app.database.until(WAITING, 1) => {}
        }
        drop(abandoned);
        for _ in 0..4 {
            acme.member.get("/orders").await.ok();
        }
        assert_eq!(app.database.number(WAITING).await, 1, "and it still runs");
        held.release().await;
        app.database.settle().await;
        assert_eq!(app.database.count("orders").await, known);
        acme.member.post("/orders", order()).await.created(); // now the statements are prepared
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_clients_some_go_away_and_what_was_answered_is_there() {
    let app = TestApp::start_with(Options { connections: 3, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let served: i64 = at_once(8, |task| {
        let member = acme.member.clone();
        async move {
            let mut served = 0;
            for i in 0..40 {
                let patience = Duration::from_micros((task as u64 * 7919 + i * 104_729) % 12_000);
                if let Ok(answer) = tokio::time::timeout(patience, member.post("/orders", order())).await {
                    answer.created();
                    served += 1;
                }
            }
            served
        }
    })
    .await
    .into_iter()
    .sum();
    app.database.settle().await;
    all_or_nothing(&app).await;
    assert!(app.database.count("orders").await >= served);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_keep_their_order_when_only_some_are_prepared() {
    let (app, acme) = clumsy(1).await;
    let before = app.database.count("refresh_tokens").await;
    for _ in ["cold", "warm"] {
        acme.member.post("/clumsy/child-first", json!({})).await.status(204);
    }
    assert_eq!(app.database.count("refresh_tokens").await, before + 2);
}
