//! Errors: one document, whoever refuses, and nothing in it that only the log should say.
use crate::support::{Options, TestApp, http::Answer, order};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use tenantry::{
    Domain,
    access::{Permission, Role, Scope},
    body,
    error::{Code, Error, Result},
    http::{Data, Public, Query, Routes},
    sql,
    values::Int,
};

/// What only the log may say.
const SECRET: &str = "password=hunter2 at 10.0.0.7";

struct Spoil;
impl Permission for Spoil {
    const NAME: &'static str = "clumsy.spoil";
    const MIN_ROLE: Role = Role::Viewer;
}

body! {
    /// Which refusal.
    struct Which {
        /// Its place among all codes.
        index: Int<0, 18>,
    }
}

async fn panics(_: Public) -> Result<Data<String>> {
    panic!("{SECRET}")
}

async fn hangs(_: Public) -> Result<Data<String>> {
    std::future::pending().await
}

async fn breaks(_: Public) -> Result<Data<String>> {
    Err(Error::internal(SECRET))
}

async fn is_busy(_: Public) -> Result<Data<String>> {
    Err(Error::unavailable(SECRET))
}

async fn refuses(_: Public, Query(which): Query<Which>) -> Result<Data<String>> {
    let code = Code::ALL[usize::try_from(which.index.get()).unwrap()];
    Err(Error::new(code, "As it was asked to").caused_by(SECRET))
}

async fn spoils_and_panics(scope: Scope<Spoil>) -> Result<Data<String>> {
    scope
        .write(async |tx| {
            tx.execute(sql!("UPDATE orders SET notes = 'spoilt' WHERE tenant_id = $1"), &[]).await?;
            panic!("{SECRET}")
        })
        .await
}

async fn spoils_and_hangs(scope: Scope<Spoil>) -> Result<Data<String>> {
    scope
        .write(async |tx| {
            tx.execute(sql!("UPDATE orders SET notes = 'spoilt' WHERE tenant_id = $1"), &[]).await?;
            std::future::pending().await
        })
        .await
}

/// A domain that does everything wrong.
fn clumsy() -> Domain {
    let routes = Routes::new("clumsy")
        .get("/clumsy/panic", panics, "Panics")
        .get("/clumsy/hang", hangs, "Never answers")
        .get("/clumsy/break", breaks, "Has a fault of its own")
        .get("/clumsy/busy", is_busy, "Cannot reach what it needs")
        .get("/clumsy/refuse", refuses, "Refuses as it is asked to")
        .post("/clumsy/spoil-and-panic", spoils_and_panics, "Panics in a transaction")
        .post("/clumsy/spoil-and-hang", spoils_and_hangs, "Never ends its transaction");
    Domain::new("clumsy").routes(routes)
}

async fn clumsy_app(request_timeout: Duration) -> TestApp {
    TestApp::start_with(Options {
        domains: vec![clumsy()],
        request_timeout,
        connections: 2,
        ..Options::default()
    })
    .await
}

const PATIENT: Duration = Duration::from_secs(30);
const HASTY: Duration = Duration::from_millis(300);

/// The contract's table, and what HTTP says of heads that are too large.
const TABLE: [(u16, &str, &str); 19] = [
    (400, "BAD_REQUEST", "Bad Request"),
    (401, "UNAUTHORIZED", "Unauthorized"),
    (403, "FORBIDDEN", "Forbidden"),
    (404, "NOT_FOUND", "Not Found"),
    (405, "METHOD_NOT_ALLOWED", "Method Not Allowed"),
    (413, "PAYLOAD_TOO_LARGE", "Payload Too Large"),
    (414, "URI_TOO_LONG", "URI Too Long"),
    (415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type"),
    (409, "CONFLICT", "Conflict"),
    (412, "PRECONDITION_FAILED", "Precondition Failed"),
    (422, "VALIDATION_ERROR", "Validation Error"),
    (422, "BUSINESS_RULE_VIOLATION", "Business Rule Violation"),
    (422, "IDEMPOTENCY_KEY_REUSED", "Idempotency Key Reused"),
    (429, "RATE_LIMITED", "Too Many Requests"),
    (431, "REQUEST_HEADER_FIELDS_TOO_LARGE", "Request Header Fields Too Large"),
    (500, "INTERNAL_ERROR", "Internal Server Error"),
    (502, "UPSTREAM_ERROR", "Bad Gateway"),
    (503, "BILLING_NOT_CONFIGURED", "Service Unavailable"),
    (503, "SERVICE_UNAVAILABLE", "Service Unavailable"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_code_has_the_status_and_the_title_of_the_contract() {
    let codes: Vec<_> =
        Code::ALL.iter().map(|code| (code.status().as_u16(), code.name(), code.title())).collect();
    assert_eq!(codes, TABLE);
    let app = clumsy_app(PATIENT).await;
    for (index, (status, code, title)) in TABLE.into_iter().enumerate() {
        let answer = app.anyone().get(&format!("/clumsy/refuse?index={index}")).await;
        // the biller's absence does not end by waiting
        if code == "BILLING_NOT_CONFIGURED" {
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, ""));
            assert_eq!(answer.json()["title"], title);
            continue;
        }
        let document = answer.refused(status, code);
        assert_eq!(document["title"], title);
        assert_eq!(document["detail"], "As it was asked to");
        assert_eq!(document["details"], json!([]));
    }
}

fn tells_nothing(answer: &Answer) {
    let headers = format!("{:?}", answer.headers);
    for word in ["hunter2", "10.0.0.7", "panick", ".rs"] {
        assert!(
            !answer.text().contains(word) && !headers.contains(word),
            "{}: {}",
            answer.asked,
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_is_never_told() {
    let app = clumsy_app(PATIENT).await;
    for (path, status, code) in [
        ("/clumsy/panic", 500, "INTERNAL_ERROR"),
        ("/clumsy/break", 500, "INTERNAL_ERROR"),
        ("/clumsy/busy", 503, "SERVICE_UNAVAILABLE"),
    ] {
        let answer = app.anyone().get(path).await;
        tells_nothing(&answer);
        answer.refused(status, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_says_is_never_told() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.database.execute("ALTER TABLE orders RENAME TO hidden").await;
    for answer in [acme.member.get("/orders").await, acme.member.post("/orders", order()).await] {
        let text = answer.text().to_lowercase();
        for word in ["orders", "relation", "table", "sql", "select", "insert"] {
            assert!(!text.contains(word), "{}: {text}", answer.asked);
        }
        answer.refused(500, "INTERNAL_ERROR");
    }
    app.database.execute("ALTER TABLE hidden RENAME TO orders").await;
    acme.member.post("/orders", order()).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_transaction_leaves_nothing_behind() {
    let app = clumsy_app(PATIENT).await;
    let acme = app.tenant("acme").await;
    let placed = acme.member.post("/orders", order()).await.created();
    // more of them than there are connections
    for _ in 0..5 {
        let answer = acme.member.send("POST", "/clumsy/spoil-and-panic", &[], None).await;
        tells_nothing(&answer);
        answer.refused(500, "INTERNAL_ERROR");
    }
    app.database.settle().await;
    let path = format!("/orders/{}", placed["id"].as_str().unwrap());
    assert_eq!(acme.member.get(&path).await.ok(), placed);
    acme.member.post("/orders", order()).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_given_up() {
    let app = clumsy_app(HASTY).await;
    let origin = [("origin", "http://localhost:3000")];
    let answer = app.anyone().get_with("/clumsy/hang", &origin).await;
    assert_eq!(answer.header("access-control-allow-origin"), "http://localhost:3000", "a page can read it");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.refused(503, "SERVICE_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_takes_too_long_leaves_nothing_behind() {
    let app = clumsy_app(HASTY).await;
    let patient = TestApp::on(app.database.clone(), Options::default()).await;
    let acme = patient.tenant("acme").await;
    let placed = acme.member.post("/orders", order()).await.created();
    let hasty = app.with_token(&acme.member.access_token);
    for _ in 0..3 {
        hasty.send("POST", "/clumsy/spoil-and-hang", &[], None).await.refused(503, "SERVICE_UNAVAILABLE");
    }
    app.database.settle().await;
    let path = format!("/orders/{}", placed["id"].as_str().unwrap());
    assert_eq!(acme.member.get(&path).await.ok(), placed);
    acme.member.post("/orders", order()).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_none_is_404_for_everybody() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for path in [
        "/nothing",
        "//nothing",
        "//api",
        "//api/v1",
        "//api/v2/orders",
        "//API/v1/orders",
        "/orders/0192f0c1-2a3b-7c4d-8e5f-000000000001/nothing",
        "/auth",
        "//health/nothing",
        "//.env",
        "//%2e%2e/etc/passwd",
        "//api/v1/..%2f..%2fhealth",
        "//%00",
        "//%ff",
        "//docs/nothing.js",
        "//docs/..%2fopenapi.json",
    ] {
        for client in [&app.anyone(), &*acme.owner] {
            client.get(path).await.refused(404, "NOT_FOUND");
            client.get(&format!("{path}/?no=such")).await.refused(404, "NOT_FOUND");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_an_address_does_not_take_is_405_with_those_it_takes() {
    let app = TestApp::start().await;
    let id = "0192f0c1-2a3b-7c4d-8e5f-000000000001";
    for (method, path, allowed) in [
        ("DELETE", "/orders", "GET HEAD POST"),
        ("PUT", "/orders/", "GET HEAD POST"),
        ("DELETE", "/orders?no=such", "GET HEAD POST"),
        ("PUT", &format!("/orders/{id}"), "GET HEAD"),
        ("POST", &format!("/orders/{id}/status"), "PATCH"),
        ("GET", &format!("/orders/{id}/status"), "PATCH"),
        ("GET", "/auth/login", "POST"),
        ("POST", "/auth/me?no=such", "GET HEAD"),
        ("BREW", "/auth/me", "GET HEAD"),
        ("POST", "//health", "GET HEAD"),
        ("PATCH", "//openapi.json", "GET HEAD"),
        ("DELETE", "//docs", "GET HEAD"),
    ] {
        let answer = app.anyone().send(method, path, &[], Some(b"{".to_vec())).await;
        let found: BTreeSet<_> = answer.header("allow").split(',').map(str::trim).collect();
        assert_eq!(found, allowed.split(' ').collect(), "{method} {path}");
        answer.refused(405, "METHOD_NOT_ALLOWED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_the_id_that_its_caller_gave_it() {
    let app = TestApp::start().await;
    let longest = "x".repeat(128);
    for id in ["1", "0192f0c1-2a3b-7c4d-8e5f-000000000001", "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~", &longest] {
        for path in ["//health", "/auth/me", "//nothing"] {
            let answer = app.anyone().get_with(path, &[("x-request-id", id)]).await;
            assert_eq!(answer.header("x-request-id"), id, "{path}");
            if path != "//health" {
                assert_eq!(answer.json()["request_id"], id, "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_id_or_with_a_bad_one_gets_a_new_one() {
    let app = TestApp::start().await;
    let mut seen = BTreeSet::new();
    let too_long = "x".repeat(129);
    for id in [None, None, Some(""), Some(" "), Some("a b"), Some("a\tb"), Some("é"), Some(&*too_long)] {
        let headers: Vec<_> = id.map(|id| ("x-request-id", id)).into_iter().collect();
        for path in ["//health", "/auth/me", "//nothing"] {
            let answer = app.anyone().get_with(path, &headers).await;
            let made = answer.header("x-request-id").to_owned();
            assert!((16..=128).contains(&made.len()) && made.bytes().all(|b| b.is_ascii_graphic()), "{made}");
            if path != "//health" {
                assert_eq!(answer.json()["request_id"], made, "{path}");
            }
            assert!(seen.insert(made), "each request has its own");
        }
    }
}
