//! What an attacker tries besides the routes: credentials in other places, other methods, ambiguous messages.
use crate::support::{
    Options, TestApp,
    binary::{Folder, Running},
    http::Answer,
    order,
};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_or_a_query_is_nobodys_credential() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = &acme.member.access_token;
    for name in ["access_token", "token", "session", "Authorization"] {
        let cookie = format!("{name}={token}; {name}=Bearer%20{token}");
        app.anyone().get_with("/auth/me", &[("cookie", &cookie)]).await.refused(401, "UNAUTHORIZED");
        let path = format!("/auth/me?{name}={token}");
        app.anyone().get(&format!("/orders?{name}={token}")).await.refused(401, "UNAUTHORIZED");
        // where there are no parameters at all, that is said first
        app.anyone().get(&path).await.invalid(&[name]);
        app.anyone().post(&format!("/orders?{name}={token}"), order()).await.invalid(&[name]);
        acme.member.get(&path).await.invalid(&[name]);
    }
    let never = |answer: &Answer| assert!(!answer.headers.contains_key("set-cookie"), "{}", answer.asked);
    never(&app.anyone().post("/auth/login", crate::support::login("acme", "member")).await);
    never(&app.anyone().get("//docs").await);
    // tokens of other kinds are no access tokens
    let cursor = {
        acme.member.post("/orders", order()).await.created();
        acme.member.post("/orders", order()).await.created();
        acme.member.get("/orders?limit=1").await.ok()["next_cursor"].as_str().unwrap().to_owned()
    };
    let invited = acme
        .owner
        .post("/users", json!({ "email": "ada@acme.test", "full_name": "Ada", "role": "admin" }))
        .await;
    let invitation = invited.created()["data"]["invitation"]["token"].as_str().unwrap().to_owned();
    for other in [&acme.owner.refresh_token, &cursor, &invitation, &acme.id.to_string()] {
        app.with_token(other).get("/auth/me").await.refused(401, "UNAUTHORIZED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_for_is_not_said_by_a_header() {
    let app = TestApp::start_with(Options { public_url_is_https: true, ..Options::default() }).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let theirs = globex.member.post("/orders", order()).await.created()["id"].as_str().unwrap().to_owned();
    let forged = [
        ("x-tenant-id", globex.id.to_string()),
        ("x-user-id", globex.owner.user_id.to_string()),
        ("x-role", "owner".to_owned()),
        ("x-forwarded-host", "evil.example".to_owned()),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("x-real-ip", "127.0.0.1".to_owned()),
        ("forwarded", "for=127.0.0.1;host=evil.example;proto=http".to_owned()),
        ("x-original-url", format!("/api/v1/orders/{theirs}")),
        ("x-rewrite-url", "/health".to_owned()),
        ("x-http-method-override", "DELETE".to_owned()),
        ("host", "evil.example".to_owned()),
    ];
    let headers: Vec<_> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let me = acme.member.get_with("/auth/me", &headers).await;
    assert!(me.headers.contains_key("strict-transport-security"));
    let me = me.ok();
    assert_eq!((&me["data"]["tenant_id"], &me["data"]["role"]), (&json!(acme.id), &json!("member")));
    acme.member.get_with(&format!("/orders/{theirs}"), &headers).await.refused(404, "NOT_FOUND");
    let body = Some(order().to_string().into_bytes());
    let placed = acme.member.send("POST", "/orders", &headers, body).await;
    assert!(placed.header("location").starts_with("/api/v1/orders/"), "{}", placed.header("location"));
    placed.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_is_taken_but_those_of_the_document() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for method in ["TRACE", "TRACK", "CONNECT", "PROPFIND", "DEBUG", "get", "PUT"] {
        for path in ["/orders", "/auth/me", "/auth/login", "//health", "//openapi.json"] {
            let answer = acme.owner.send(method, path, &[("x-secret", "echo")], None).await;
            assert!(!answer.text().contains("echo"));
            answer.refused(405, "METHOD_NOT_ALLOWED");
        }
    }
    for path in [
        "//.git/config",
        "//.env",
        "//Cargo.toml",
        "//static/",
        "//docs/",
        "//..%2f",
        "//admin",
        "//debug/pprof",
    ] {
        let answer = acme.owner.get(path).await;
        assert!(path == "//docs/" || answer.status == 404, "{path}: {}", answer.status);
        assert!(!answer.text().contains("Index of"), "{path}");
    }
}

/// Sends bytes as they are, and answers all that comes until the service closes.
fn raw(demo: &Running, bytes: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", demo.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // a service that closes on unread bytes may reset the connection after its answer
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// RFC 9112, section 11.2: what two readers could take for different messages must not let a second one through.
#[test]
fn an_ambiguous_message_is_the_last_of_its_connection() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let second = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let both =
        raw(&demo, &format!("{second}GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
    assert_eq!(both.matches("HTTP/1.1 200").count(), 2, "what is not ambiguous may be pipelined: {both}");
    let long = format!("transfer-encoding: chunked\r\n\r\n{}\r\n", "F".repeat(17));
    for (what, refused, rest) in [
        ("two lengths", true, "content-length: 0\r\ncontent-length: 5\r\n\r\n"),
        ("a length and chunks", false, "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("chunks and a length", false, "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
        ("an encoding of another name", true, "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("an encoding after chunked", true, "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("a blank before the colon", true, "transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("a folded header", true, "x-a: b\r\n c: d\r\n\r\n"),
        ("a signed length", true, "content-length: +5\r\n\r\n"),
        ("a negative length", true, "content-length: -1\r\n\r\n"),
        ("a chunk of any size", false, &long),
        ("a chunk of no size", false, "transfer-encoding: chunked\r\n\r\nx\r\n"),
        ("a NUL in a header", true, "x-a: b\0c\r\n\r\n"),
    ] {
        let head =
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        let answer = raw(&demo, &format!("{head}{rest}{second}"));
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        assert!(!answer.contains(r#"{"status":"ok"}"#), "{what}: {answer}");
        let status = if refused { "HTTP/1.1 400" } else { "HTTP/1.1 4" };
        assert!(answer.starts_with(status), "{what}: {answer}");
    }
    let old = raw(
        &demo,
        &format!("POST /api/v1/auth/login HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{second}"),
    );
    assert!(
        old.starts_with("HTTP/1.") && old.contains(" 400") && old.matches("HTTP/1.").count() == 1,
        "{old}"
    );
    assert_eq!(demo.ask("GET", "/health", None, "").0, 200);
}
