//! The service itself: health, one form of a path, the headers of every answer, and the documentation.
use crate::support::{
    Options, TestApp,
    database::on_postgres,
    http::{Answer, Client},
    order,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const LISTED: &str = "http://localhost:3000";
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told() {
    let app = TestApp::start().await;
    assert_eq!(app.anyone().get("//health").await.ok(), json!({ "status": "ok" }));
    let kind = if on_postgres() { "postgresql" } else { "sqlite" };
    let ready =
        json!({ "status": "ready", "dependencies": [{ "name": "database", "kind": kind, "state": "up" }] });
    assert_eq!(app.anyone().get("//health/ready").await.ok(), ready);
    let head = app.anyone().send("HEAD", "//health", &[], None).await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_service_is_alive_and_not_ready() {
    if !on_postgres() {
        return; // a file that was opened stays within reach
    }
    let app = TestApp::start_with(Options { through: Some(1), ..Options::default() }).await; // nobody listens there
    app.anyone().get("//health").await.ok();
    let document = app.anyone().get("//health/ready").await.refused(503, "SERVICE_UNAVAILABLE");
    assert_eq!(document["details"], json!([{ "field": "database", "message": "down" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_answers_the_same_with_and_without_a_trailing_slash() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let placed = acme.member.post("/orders", order()).await.created();
    let id = placed["id"].as_str().unwrap();
    for path in [
        "//health",
        "//health/ready",
        "//openapi.json",
        "//docs",
        "/auth/me",
        "/orders",
        "/nothing",
        &format!("/orders/{id}"),
        &format!("/orders/{id}/history"),
    ] {
        let headers = [("x-request-id", "1")];
        for query in ["", "?limit=1", "?no=such"] {
            let without = acme.member.get_with(&format!("{path}{query}"), &headers).await;
            let with = acme.member.get_with(&format!("{path}/{query}"), &headers).await;
            assert!(!without.status.is_redirection(), "{path}");
            assert_eq!((without.status, without.bytes), (with.status, with.bytes), "{path}{query}");
        }
    }
    // and what changes something
    for path in ["/orders", "/orders/"] {
        acme.member.post(path, order()).await.created();
    }
    for (path, status) in
        [(format!("/orders/{id}/status"), "confirmed"), (format!("/orders/{id}/status/"), "cancelled")]
    {
        assert_eq!(acme.member.patch(&path, json!({ "status": status })).await.ok()["status"], status);
    }
    for path in ["/auth/logout", "/auth/logout/"] {
        app.anyone().post(path, json!({ "refresh_token": "rt_x" })).await.ok();
    }
}

/// One answer of every kind.
async fn answers(app: &TestApp) -> Vec<Answer> {
    let acme = app.tenant("acme").await;
    let anyone = app.anyone();
    let preflight = [("origin", LISTED), ("access-control-request-method", "POST")];
    vec![
        acme.member.post("/orders", order()).await,
        acme.member.get("/orders").await,
        acme.member.post("/orders", json!({})).await,
        acme.viewer.post("/orders", order()).await,
        anyone.get("/orders").await,
        anyone.get("/nothing").await,
        anyone.send("PUT", "/orders", &[], None).await,
        anyone.send("OPTIONS", "/orders", &preflight, None).await,
        anyone.get("//health").await,
        anyone.get("//health/ready").await,
        anyone.get("//nothing").await,
        anyone.get("//openapi.json").await,
        anyone.get("//docs").await,
        anyone.get("//").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers_that_protect() {
    let app = TestApp::start().await;
    for answer in answers(&app).await {
        let asked = &answer.asked;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{asked}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{asked}");
        assert!(!answer.header("x-request-id").is_empty(), "{asked}");
        for silent in ["server", "x-powered-by", "strict-transport-security"] {
            assert!(!answer.headers.contains_key(silent), "{asked}: {silent}");
        }
        let api = asked.contains("/api/v1");
        assert_eq!(answer.header("cache-control") == "no-store", api, "{asked}");
        let policies: Vec<_> = answer.headers.get_all("content-security-policy").iter().collect();
        assert_eq!(policies.len(), 1, "{asked}");
        if api || answer.status == 404 || asked.contains("health") {
            assert_eq!(policies[0], API_POLICY, "{asked}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_come_back_by_https_where_that_is_how_they_came() {
    let app = TestApp::start_with(Options { public_url_is_https: true, ..Options::default() }).await;
    for answer in answers(&app).await {
        let value = answer.header("strict-transport-security");
        // a year at least, and for hosts below this one too
        let seconds =
            value.strip_prefix("max-age=").and_then(|value| value.strip_suffix("; includeSubDomains"));
        let seconds: u64 = seconds.unwrap_or_else(|| panic!("{}: {value}", answer.asked)).parse().unwrap();
        assert!(seconds >= 365 * 24 * 60 * 60, "{}: {value}", answer.asked);
    }
}

fn cors_headers(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.keys().map(|name| name.as_str());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_listed_origin_may_call_with_credentials() {
    let other = "https://app.example.com";
    let options =
        Options { allowed_origins: vec![LISTED.to_owned(), other.to_owned()], ..Options::default() };
    let app = TestApp::start_with(options).await;
    let acme = app.tenant("acme").await;
    for origin in [LISTED, other] {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let wanted = "authorization,content-type,idempotency-key,if-match,if-none-match,x-request-id";
            let headers = [
                ("origin", origin),
                ("access-control-request-method", method),
                ("access-control-request-headers", wanted),
            ];
            let answer = app.anyone().send("OPTIONS", "/orders", &headers, None).await;
            assert!(answer.status.is_success(), "{}", answer.status);
            assert_eq!(answer.header("access-control-allow-origin"), origin);
            assert_eq!(answer.header("access-control-allow-credentials"), "true");
            let listed = |name: &str| -> BTreeSet<String> {
                answer.header(name).split(',').map(|word| word.trim().to_lowercase()).collect()
            };
            assert!(listed("access-control-allow-methods").contains(&method.to_lowercase()));
            let allowed = listed("access-control-allow-headers");
            assert!(wanted.split(',').all(|name| allowed.contains(name)), "{allowed:?}");
            assert!(listed("vary").contains("origin"), "a cache must tell origins apart");
        }
        for (path, status) in
            [("/orders", 200), ("/nothing", 404), ("/orders?no=such", 422), ("//health", 200)]
        {
            let answer = acme.member.get_with(path, &[("origin", origin)]).await;
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(answer.header("access-control-allow-origin"), origin, "{path}");
            assert_eq!(answer.header("access-control-allow-credentials"), "true", "{path}");
            let shown = answer.header("access-control-expose-headers");
            for name in ["etag", "location", "retry-after", "x-request-id"] {
                assert!(shown.contains(name), "{path}: {shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_gets_no_cors_header_at_all() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for origin in [
        "http://localhost:3001",
        "https://localhost:3000",
        "http://LOCALHOST:3000",
        "http://localhost:3000.evil.example",
        "http://localhost",
        "null",
        "*",
        "",
    ] {
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        let answer = app.anyone().send("OPTIONS", "/orders", &preflight, None).await;
        assert_eq!(cors_headers(&answer), [""; 0], "{origin}");
        for path in ["/orders", "/nothing", "//health"] {
            let answer = acme.member.get_with(path, &[("origin", origin)]).await;
            assert_eq!(cors_headers(&answer), [""; 0], "{origin} {path}");
        }
    }
    assert_eq!(cors_headers(&acme.member.get("/orders").await), [""; 0], "no page at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_comes_out_of_the_binary_and_names_no_other_host() {
    let app = TestApp::start().await;
    let anyone = app.anyone();
    assert_eq!(anyone.get("//").await.header("location"), "/docs");
    let page = anyone.get("//docs").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let html = page.text();
    assert!(html.contains("<title>Test API</title>"), "{html}");
    let mut assets: Vec<_> = html.split(['"', '\'']).filter(|word| word.starts_with('/')).collect();
    assets.extend(["/docs/start.js", "/openapi.json"]);
    assert!(assets.len() >= 6, "{assets:?}");
    for foreign in ["http:", "https:", "\"//", "'//", "url(", "@import"] {
        assert!(!html.contains(foreign), "{html}");
        assert!(!anyone.get("//docs/start.js").await.text().contains(foreign));
    }
    assert!(
        !html.contains("<script>") && !html.contains("onload"),
        "no script within the page: its policy forbids it"
    );
    for asset in assets {
        let answer = anyone.get(&format!("/{asset}")).await;
        let kind = match asset.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css",
            "png" => "image/png",
            _ => "application/json",
        };
        assert!(
            answer.header("content-type").starts_with(kind),
            "{asset}: {}",
            answer.header("content-type")
        );
        assert!(!answer.bytes.is_empty());
        assert_own_policy(&answer);
        answer.ok();
    }
    assert_own_policy(&page);
}

/// Everything from its own origin, and nothing else.
#[track_caller]
fn assert_own_policy(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self';",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(rule), "{}: {policy}", answer.asked);
    }
    assert!(!policy.contains("http") && !policy.contains('*') && !policy.contains("unsafe-eval"), "{policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_title_of_the_page_is_text() {
    let app = TestApp::start().await;
    let title = "<script>alert(1)</script> & \"Sons\"";
    let service = app.app.service(&app.core, title);
    let html = Client::new(service, None).get("//docs").await.text();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;Sons&quot;"), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_documentation_is_off_there_is_none() {
    let app = TestApp::start_with(Options { docs: false, ..Options::default() }).await;
    for path in
        ["//docs", "//docs/", "//docs/start.js", "//docs/swagger-ui.css", "//docs/swagger-ui-bundle.js", "//"]
    {
        app.anyone().get(path).await.refused(404, "NOT_FOUND");
    }
    let document: Value = app.anyone().get("//openapi.json").await.ok();
    assert!(document["openapi"].is_string(), "the document itself is always there");
}
